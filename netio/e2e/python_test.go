package e2e

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The Python clients that Debian has, each with a program that does what programs do with it.
func TestPython(t *testing.T) {
	t.Parallel()
	python := pythonWith(t, "etcd3", "etcd3gw")
	c := startCluster(t, 3)
	t.Run("etcd3", func(t *testing.T) {
		t.Parallel()
		members := c.others(c.leader())[:1]
		if full {
			members = c.members
		}
		for _, m := range members { // one after the other: they use the same keys
			runPython(t, python, "python3-etcd3.py", m)
		}
	})
	t.Run("etcd3gw", func(t *testing.T) {
		t.Parallel()
		runPython(t, python, "python3-etcd3gw.py", c.members[0], "/v3/")
		runPython(t, python, "python3-etcd3gw.py", c.members[1], "/v3beta/")
		if !stockEtcd { // which has dropped the path that this client takes by itself
			runPython(t, python, "python3-etcd3gw.py", c.members[2])
		}
	})
}

// pythonWith returns a Python that has the modules, or skips the test.
func pythonWith(t *testing.T, modules ...string) (python string) {
	t.Helper()
	said := "there is none"
	for _, python := range []string{"/usr/bin/python3", "python3"} { // the system's own first: packages are installed for it
		path, err := exec.LookPath(python)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, "-c", "import "+strings.Join(modules, ", ")).CombinedOutput()
		if err == nil {
			return path
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		said = path + " says: " + lines[len(lines)-1]
	}
	t.Skipf("needs a Python with the modules %v (Debian: python3-etcd3, python3-etcd3gw); %s", modules, said)
	return ""
}

func runPython(t *testing.T, python, program string, m *member, arguments ...string) {
	t.Helper()
	host, port, err := net.SplitHostPort(m.client)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, append([]string{"-W", "ignore", filepath.Join("testdata", program), host, port}, arguments...)...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "ok\n") {
		t.Errorf("%s %v: %v, %v\n%s", program, arguments, err, ctx.Err(), out)
	}
}
