package main

import (
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
	text, given := fileValue(opt.kind, value)
	if !given {
		return nil, nil
	}
	if err := opt.assign(text, fromFile); err != nil {
		return nil, fmt.Errorf("%s: invalid value %q for %s: %w", path, text, key, err)
	}
	return nil, nil
}

// fileValue renders a YAML value as a flag's. Keys without a value, and empty strings where they mean "not set", keep
// the default.
func fileValue(k kind, value any) (text string, given bool) {
	switch v := value.(type) {
	case nil:
		return "", false
	case string:
		if v == "" && k != kindString {
			return "", false
		}
		return v, true
	case int:
		if k == kindDuration {
			return time.Duration(v).String(), true
		}
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = fmt.Sprint(v[i])
		}
		return strings.Join(words, ","), true
	}
	return fmt.Sprint(value), true
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
