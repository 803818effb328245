package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudoTerminal opens a terminal without a screen: what is written to user comes out of screen.
func pseudoTerminal(t *testing.T) (screen, user *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	user, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { user.Close() })
	return screen, user
}

// onTerminal runs the server with a terminal as its standard error, and returns what that shows. A server that starts is stopped.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	screen, user := pseudoTerminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, serverBinary, args...)
	c.Stderr = user
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	user.Close()
	var mu sync.Mutex
	var text bytes.Buffer
	read := make(chan struct{})
	go func() { // ends when the process has: reading then fails
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := screen.Read(buf)
			mu.Lock()
			text.Write(buf[:n])
			serves := bytes.Contains(text.Bytes(), []byte("serving on ")) || bytes.Contains(text.Bytes(), []byte("ready to serve"))
			mu.Unlock()
			if serves {
				_ = c.Process.Signal(os.Interrupt)
			}
			if err != nil {
				return
			}
		}
	}()
	_ = c.Wait()
	<-read
	return strings.ReplaceAll(text.String(), "\r\n", "\n")
}

func TestTerminal_LogsAreForAPerson(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	dir := t.TempDir()
	port := freePorts(t, 1)[0]
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	args := []string{"--name=n1", "--data-dir=" + filepath.Join(dir, "data"), "--listen-client-urls=" + url, "--advertise-client-urls=" + url,
		"--listen-peer-urls=http://127.0.0.1:0"}
	shown := onTerminal(t, args...)
	line := regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} (INFO |WARN )`)
	for l := range strings.Lines(shown) {
		if !line.MatchString(l) || strings.Contains(l, "became leader") || strings.Contains(l, "serving client traffic") {
			t.Errorf("a person is shown %q", l)
		}
	}
	// Containers are given a terminal, too, and who started them waits for etcd's words.
	if strings.Count(shown, "serving on "+url+": ready to serve client requests") != 1 {
		t.Errorf("a person is not told once where it serves, and a program that waits for it when:\n%s", shown)
	}
	if shown := onTerminal(t, append(args, "--log-level=debug")...); !strings.Contains(shown, "DEBUG") || !strings.Contains(shown, "became leader") {
		t.Errorf("raft's lines are not shown with --log-level=debug:\n%s", shown)
	}
	// Who asks for JSON gets it; so does every program, to which standard error is no terminal (TestNormalWork_LogsNoErrors).
	if shown := onTerminal(t, append(args, "--log-format=json")...); !strings.HasPrefix(shown, `{"level":"info"`) {
		t.Errorf("--log-format=json shows:\n%s", shown)
	}
	if shown := onTerminal(t, "--heartbeat-interval=0"); !strings.HasSuffix(shown, "WARN  failed to verify flags: --heartbeat-interval must be >0 (set to 0ms)\n") {
		t.Errorf("a mistake is shown as:\n%s", shown)
	}
}
