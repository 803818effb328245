package e2e

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestFlags_UnknownOneEndsWithTwo(t *testing.T) {
	out, err := exec.Command(serverBinary, "--no-such-flag", "--data-dir", t.TempDir()).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("it ended with %v, want exit code 2", err)
	}
	if !strings.Contains(string(out), "no-such-flag") {
		t.Errorf("it does not name the flag:\n%s", out)
	}
}

func TestFlags_VersionStartsAsEtcds(t *testing.T) {
	out, err := exec.Command(serverBinary, "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "etcd Version: 3.7.3\n") {
		t.Errorf("--version: %v\n%s", err, out)
	}
}
