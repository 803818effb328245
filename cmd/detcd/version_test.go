package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

func TestRevision(t *testing.T) {
	built := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	full := debug.BuildSetting{Key: "vcs.revision", Value: "3dffe04aa0e1c9d9a0c6bd0e2e0f6f0bd2a3c1d4"}
	for _, c := range []struct {
		set  string
		info *debug.BuildInfo
		want string
	}{
		{"abc1234-dirty", built("(devel)", full), "abc1234-dirty"},
		{"", built("(devel)", full), "3dffe04"},
		{"", built("(devel)", full, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "3dffe04-dirty"},
		{"", built("v0.1.1-0.20261129160000-3dffe04abcde"), "3dffe04"},
		{"", built("v0.1.0"), "v0.1.0"},
		{"", built("(devel)"), "unknown"},
		{"", nil, "unknown"},
	} {
		if got := revision(c.set, c.info); got != c.want {
			t.Errorf("%q, %+v: %s, want %s", c.set, c.info, got, c.want)
		}
	}
}

// The binary that the Makefile builds, and the one that go build makes of a repository, show the commit.
func TestVersion_ShowsTheCommit(t *testing.T) {
	head, err := exec.Command("git", "rev-parse", "--short=7", "HEAD").Output()
	if err != nil {
		t.Skipf("no repository: %v", err)
	}
	said, err := exec.Command("make", "-C", "../..", "--no-print-directory", "-n", "build").Output()
	if err != nil {
		t.Skipf("no make: %v", err)
	}
	flags := regexp.MustCompile(`-ldflags "([^"]*)"`).FindSubmatch(said)
	if flags == nil {
		t.Fatalf("make build sets no -ldflags:\n%s", said)
	}
	builds := map[string][]string{"make build": {"-buildvcs=false", "-ldflags", string(flags[1])}}
	if info, err := os.Stat("../../.git"); err == nil && info.IsDir() { // Go does not look into linked work trees
		builds["go build"] = []string{"-buildvcs=true"}
	}
	for name, args := range builds {
		path := filepath.Join(t.TempDir(), "detcd")
		if text, err := exec.Command("go", append(append([]string{"build", "-o", path}, args...), ".")...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		text, err := exec.Command(path, "--version").Output()
		want := "\nGit SHA: " + strings.TrimSpace(string(head))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: --version prints %q, %v; want %q", name, text, err, want)
		}
	}
}
