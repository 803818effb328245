package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The commands of an introduction work as printed, with the stock etcdctl and with detcdctl under its name.
func TestTour_OneMember(t *testing.T) {
	t.Parallel()
	needsToolsOfTour(t)
	m := startCluster(t, 1).members[0]
	tour(t, "etcdctl", etcdctlBinary, m)
	tour(t, "detcdctl", ourEtcdctl(t), m)
}

// They work at each of three members. What may go wrong there lies in what the member is, not in which tool asks it: each tool at each
// member only in the long form.
func TestTour_ThreeMembers(t *testing.T) {
	t.Parallel()
	needsToolsOfTour(t)
	for i, m := range startCluster(t, 3).members {
		if full || i%2 == 0 {
			tour(t, m.name+"/etcdctl", etcdctlBinary, m)
		}
		if full || i%2 == 1 {
			tour(t, m.name+"/detcdctl", ourEtcdctl(t), m)
		}
	}
}

func needsToolsOfTour(t *testing.T) {
	t.Helper()
	needsNetworkOfItsOwn(t, "bash", "curl", "jq", "base64", "grep")
}

func tour(t *testing.T, name, etcdctl string, m *member) {
	t.Run(name, func(t *testing.T) {
		environment := []string{"PYTHON=" + pythonForTour(), "PATH=" + filepath.Dir(etcdctl) + ":/usr/local/bin:/usr/bin:/bin"}
		runInNetworkOfItsOwn(t, "testdata/tour.sh", m.client, environment)
	})
}

// A server started as an introduction starts it serves an etcdctl without any flags.
func TestTour_QuickSetup(t *testing.T) {
	t.Parallel()
	needsNetworkOfItsOwn(t, "bash", "curl", "jq")
	runInNetworkOfItsOwn(t, "testdata/quick-setup.sh", "", []string{"SERVER=" + serverBinary, "PATH=" + filepath.Dir(etcdctlBinary) + ":/usr/local/bin:/usr/bin:/bin"})
}

// pythonForTour returns a Python with the gRPC client, or nothing.
func pythonForTour() string {
	const python = "/usr/bin/python3"
	if exec.Command(python, "-c", "import etcd3").Run() != nil {
		return ""
	}
	return python
}

// needsNetworkOfItsOwn skips the test where there can be no network namespace, or a tool is missing.
func needsNetworkOfItsOwn(t *testing.T, tools ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network in which port 2379 is free")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
}

// runInNetworkOfItsOwn runs a script in a new network namespace, in which localhost:2379 leads to target, if there is one. So commands can be
// used as printed, whatever else runs on the machine.
func runInNetworkOfItsOwn(t *testing.T, script, target string, environment []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	path, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "bash", path)
	cmd.Env = append([]string{"DIR=" + t.TempDir(), "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8"}, environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // and what it started
	cmd.WaitDelay = 5 * time.Second
	output, err := os.CreateTemp(t.TempDir(), "output") // not a pipe: whoever is left over would hold it open
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	doors, err := startInNewNetwork(cmd, target != "")
	if errors.Is(err, unix.EPERM) {
		t.Skipf("this system allows no network namespaces: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	for _, door := range doors {
		defer door.Close()
		go lead(door, target)
	}
	err = cmd.Wait()
	text, _ := os.ReadFile(output.Name())
	if err != nil {
		t.Errorf("%s: %v\n%s", script, err, text)
	} else {
		t.Logf("%s", text)
	}
}

// startInNewNetwork starts a command in a new network namespace that has nothing but a loopback interface, and, if asked for, returns
// listeners to its port 2379.
func startInNewNetwork(cmd *exec.Cmd, listen bool) (doors []net.Listener, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread, which alone is in the namespace, ends with the goroutine
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return
		}
		if err = raiseLoopback(); err != nil {
			return
		}
		if listen {
			for _, address := range []string{"127.0.0.1:2379", "[::1]:2379"} {
				door, failure := net.Listen("tcp", address)
				if failure == nil {
					doors = append(doors, door)
				} else if len(doors) == 0 { // without IPv6 the first is enough
					err = failure
					return
				}
			}
		}
		err = cmd.Start()
	}()
	<-done
	return doors, err
}

// raiseLoopback brings the loopback interface of the thread's namespace up.
func raiseLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("a socket to raise the loopback interface: %w", err)
	}
	defer unix.Close(socket)
	loopback, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	loopback.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, loopback); err != nil {
		return fmt.Errorf("raise the loopback interface: %w", err)
	}
	return nil
}

// lead passes what comes in at a door on to an address, until the door is closed.
func lead(door net.Listener, to string) {
	for {
		from, err := door.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			target, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer target.Close()
			ended := make(chan struct{}, 2)
			pass := func(a, b net.Conn) {
				_, _ = io.Copy(a, b) // either end may close it at any time
				ended <- struct{}{}
			}
			go pass(target, from)
			go pass(from, target)
			<-ended
		}()
	}
}
