package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"go.etcd.io/etcd/api/v3/version"
)

// detcdVersion is detcd's own version; what clients see is the version of etcd whose API is matched.
const detcdVersion = "0.1.0"

// commit is set by the Makefile. Whoever builds otherwise gets what Go writes into the binary.
var commit string

// printVersion starts with the line that scripts look for: the etcd version that the API matches.
func printVersion(w io.Writer) {
	info, _ := debug.ReadBuildInfo()
	fmt.Fprintf(w, "etcd Version: %s\n", version.Version)
	fmt.Fprintf(w, "Git SHA: %s\n", revision(commit, info))
	fmt.Fprintf(w, "Go Version: %s\n", runtime.Version())
	fmt.Fprintf(w, "Go OS/Arch: %s/%s\n", runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "detcd Version: %s\n", detcdVersion)
}

// revision is the commit that the binary was built from: what the Makefile set; else what go build found in the repository; else what
// the version of the module says, which is all that go install MODULE@VERSION knows.
func revision(set string, info *debug.BuildInfo) string {
	switch {
	case set != "":
		return set
	case info == nil:
		return "unknown"
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if full := settings["vcs.revision"]; len(full) >= 7 {
		if settings["vcs.modified"] == "true" {
			return full[:7] + "-dirty"
		}
		return full[:7]
	}
	// v0.1.1-0.20261129160000-3dffe04abcde, or v0.1.0 for a tag.
	v := info.Main.Version
	if i := strings.LastIndexByte(v, '-'); i >= 0 && len(v)-i-1 == 12 {
		return v[i+1 : i+8]
	}
	if v != "" && v != "(devel)" {
		return v
	}
	return "unknown"
}
