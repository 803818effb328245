package main

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"go.yaml.in/yaml/v2"
)

// sections are the nested parts of the configuration file: key of the section, key within, flag that it stands for.
// An inner key that is not listed stands for prefix + key.
var sections = map[string]struct {
	prefix string
	keys   map[string]string
}{
	"client-transport-security": {"", map[string]string{
		"allowed-hostname": "client-cert-allowed-hostname",
	}},
	"peer-transport-security": {"peer-", map[string]string{
		"allowed-cn":       "peer-cert-allowed-cn",
		"allowed-hostname": "peer-cert-allowed-hostname",
	}},
	"socket-options":   {"socket-", nil},
	"discovery-config": {"discovery-", nil},
}

// insideOnly says which section a flag belongs to that is no key of its own in etcd's files. There such a key is unknown, and does nothing.
func insideOnly(name string) (section string, inside bool) {
	switch {
	case strings.HasPrefix(name, "socket-"):
		return "socket-options", true
	case strings.HasPrefix(name, "discovery-") && !strings.HasPrefix(name, "discovery-srv"):
		return "discovery-config", true
	case name == "peer-skip-client-san-verification":
		return "peer-transport-security", true
	}
	bare, peer := strings.CutPrefix(name, "peer-")
	switch bare {
	case "cert-file", "key-file", "client-cert-auth", "client-cert-file", "client-key-file", "client-crl-file", "crl-file", "client-cert-allowed-hostname",
		"cert-allowed-cn", "cert-allowed-hostname", "trusted-ca-file", "auto-tls":
		if peer {
			return "peer-transport-security", true
		}
		return "client-transport-security", true
	}
	return "", false
}

// parseFile reads a configuration file in YAML. It replaces what flags and environment said. Keys that stand for no flag
// are tolerated, as etcd does; they are returned as warnings.
func (o options) parseFile(path string) (warnings []string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var keys map[string]any
	if err := yaml.Unmarshal(data, &keys); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, opt := range o {
		opt.value, opt.from = opt.def, fromDefault
	}
	for _, key := range sortedKeys(keys) {
		section, nested := sections[key]
		if !nested {
			if section, inside := insideOnly(key); inside {
				warnings = append(warnings, fmt.Sprintf("unknown key in %s: %s (it belongs into the section %s)", path, key, section))
				continue
			}
			w, err := o.fromFile(path, key, key, keys[key])
			if err != nil {
				return warnings, err
			}
			warnings = append(warnings, w...)
			continue
		}
		inner, ok := keys[key].(map[any]any)
		if !ok {
			if keys[key] == nil {
				continue
			}
			return warnings, fmt.Errorf("%s: invalid %s", path, key)
		}
		flat := map[string]any{}
		for k, v := range inner {
			flat[fmt.Sprint(k)] = v
		}
		for _, k := range sortedKeys(flat) {
			name, ok := section.keys[k]
			if !ok {
				name = section.prefix + k
			}
			w, err := o.fromFile(path, key+": "+k, name, flat[k])
			if err != nil {
				return warnings, err
			}
			warnings = append(warnings, w...)
		}
	}
	return warnings, nil
}

// fromFile sets one flag from a value in a file; key is how the file calls it.
func (o options) fromFile(path, key, name string, value any) (warnings []string, err error) {
	opt, ok := o[name]
	if !ok || name == "version" || name == "config-file" {
		return []string{fmt.Sprintf("unknown key in %s: %s", path, key)}, nil
	}
	if value == nil {
		return nil, nil // a key without a value keeps the default
	}
	if words, ok := value.([]any); ok {
		return nil, wrap(path, key, opt.assignWords(words))
	}
	text, err := fileValue(opt.kind, value)
	switch {
	case err != nil:
		return nil, wrap(path, key, err)
	case text == "" && opt.kind != kindString: // where it means "not set"
		return nil, nil
	case opt.kind == kindV2: // deprecated; stock looks at its value on the command line only
		opt.value, opt.from = text, fromFile
		return nil, nil
	}
	if err := opt.assign(text, fromFile); err != nil {
		return nil, fmt.Errorf("%s: invalid value %q for %s: %w", path, text, key, err)
	}
	return nil, nil
}

func wrap(path, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", path, key, err)
}

// assignWords sets a flag from a list in a file. Its words are kept as they are, commas in them, too.
func (o *option) assignWords(list []any) error {
	if o.kind != kindList && o.kind != kindURLs {
		return errors.New("one value is expected, not a list")
	}
	words := make([]string, len(list))
	for i, v := range list {
		text, err := textValue(v)
		if err != nil {
			return err
		}
		words[i] = text
	}
	if err := o.assign(strings.Join(words, ","), fromFile); err != nil {
		return err
	}
	o.words = words
	return nil
}

// plain tells the kinds whose value is a number, a truth value or a time.
func (k kind) plain() bool {
	switch k {
	case kindBool, kindUint, kindUint32, kindInt, kindDuration:
		return true
	}
	return false
}

// fileValue renders a YAML value as a flag's.
func fileValue(k kind, value any) (string, error) {
	if k == kindAnything {
		return fmt.Sprint(value), nil
	}
	if !k.plain() {
		return textValue(value)
	}
	switch v := value.(type) {
	case float64:
		if n := int64(v); float64(n) == v { // 1e3 is a way to write a number
			return fileValue(k, n)
		}
	case int:
		return fileValue(k, int64(v))
	case int64:
		if k == kindDuration {
			return time.Duration(v).String(), nil
		}
	case map[any]any:
		return "", errors.New("one value is expected, not a section")
	}
	return fmt.Sprint(value), nil
}

// textValue takes text only. YAML reads on, 007 and 1e3 as something else, and what was written is lost: a name or a token would not be the one
// that was meant. Stock etcd refuses them, too.
func textValue(value any) (string, error) {
	text, ok := value.(string)
	if !ok {
		return "", fmt.Errorf("text is expected, but YAML reads what is written there as %v; put it in quotes", value)
	}
	return text, nil
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
