package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A cluster of a build that reads one format version less is upgraded, and nothing is lost. A member that steps back too late says why it ends.
func TestUpgrade_FromOneFormatVersionLess(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	old := filepath.Join(t.TempDir(), "detcd-oldformat")
	if err := build(old, "github.com/detcd/detcd/cmd/detcd", "-tags=detcd_oldformat"); err != nil {
		t.Fatal(err)
	}
	upgrade(t, old, func(late *member) {
		if state := late.awaitExit(time.Minute); state.ExitCode() != 1 {
			t.Errorf("it ended with %v, want exit code 1", state)
		}
		if text := late.logText(); !strings.Contains(text, "this build is too old for the cluster") ||
			!strings.Contains(text, "Start a newer build of detcd on this data directory") || strings.Contains(text, "goroutine ") {
			t.Errorf("it does not say what is wrong and what to do, or shows a stack:\n%s", late.logTail())
		}
	})
}

// The same, of the build that DETCD_E2E_OLD names. It may not know of format versions: that it ends is all that is asked of it.
func TestUpgrade_FromAnEarlierBuild(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	old := os.Getenv("DETCD_E2E_OLD")
	if old == "" {
		t.Skip("DETCD_E2E_OLD names no earlier build of detcd")
	}
	upgrade(t, old, func(late *member) {
		if state := late.awaitExit(time.Minute); state.Success() {
			t.Errorf("it ended with %v", state)
		}
	})
}

// upgrade founds a cluster of an older build and upgrades it under writes, one member at a time, with a step back between. refused sees one that was
// started with the older build again when it is too late.
func upgrade(t *testing.T, old string, refused func(*member)) {
	c := newCluster(t, 3)
	for _, m := range c.members {
		m.runBuild(old)
		m.start()
	}
	c.awaitServing()
	s := startStorm(t, c, 3)
	a, b, last := c.members[0], c.members[1], c.members[2]
	for _, step := range []struct {
		m     *member
		build string
	}{
		{a, serverBinary}, {b, serverBinary}, {b, old}, {b, serverBinary},
		{last, old}, // so that one of the others leads, which could raise the version
	} {
		step.m.change(step.build)
		s.awaitAcks(100)
		if v := a.formatVersion(); v != "1" {
			t.Fatalf("with %s still of the older build, the cluster is at format version %s", last.name, v)
		}
	}
	last.change(serverBinary)
	for _, m := range c.members {
		m.awaitRaised()
	}
	s.awaitAcks(20)
	if text := c.leader().logText(); !strings.Contains(text, "the cluster's format version was raised") {
		t.Errorf("the leader's log does not tell of the raise:\n%s", text)
	}
	b.stop()
	b.runBuild(old)
	b.start()
	refused(b)
	s.awaitAcks(20)
	b.runBuild(serverBinary)
	b.start()
	b.awaitServing()
	b.awaitRaised()
	s.check(c)
}

// runBuild has the member run a binary from its next start on.
func (m *member) runBuild(binary string) {
	m.command = func(_ string, args ...string) *exec.Cmd { return exec.Command(binary, args...) }
}

// change stops the member, and starts it with another binary.
func (m *member) change(binary string) {
	m.t.Helper()
	m.stop()
	m.runBuild(binary)
	m.start()
	m.awaitServing()
}

// awaitRaised waits until the member is at a later format version than the first.
func (m *member) awaitRaised() {
	m.t.Helper()
	eventually(m.t, m.name+" is at a later format version", func() error {
		if v := m.formatVersion(); v == "" || v == "1" {
			return fmt.Errorf("it is at %q", v)
		}
		return nil
	})
}

// formatVersion is the cluster's format version as the member's metrics tell it; empty: they do not.
func (m *member) formatVersion() string {
	m.t.Helper()
	answer, err := http.Get("http://" + m.client + "/metrics")
	if err != nil {
		m.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\ndetcd_format_version ")
	version, _, _ := strings.Cut(after, "\n")
	return version
}
