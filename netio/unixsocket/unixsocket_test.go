package unixsocket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestListen_TakesOverOnlyWhatIsLeftBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := Listen(path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second listener: %v, %v", l, err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first cannot be reached any more: %v", err)
	} else {
		c.Close()
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as a killed process leaves it
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatalf("a file that was left behind: %v", err)
	}
	l.Close()
}

func TestListen_LeavesAloneWhatIsNoSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{path, filepath.Dir(path)} {
		if l, err := Listen(taken); err == nil {
			t.Errorf("%s was taken for a socket", taken)
			l.Close()
		}
	}
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}
