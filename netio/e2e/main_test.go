package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	rewrite = flag.Bool("rewrite", false, "write the answers in testdata anew (only with DETCD_E2E_SERVER naming stock etcd)")

	binaries      string // the directory of what is built here
	serverBinary  string
	etcdctlBinary string
	stockEtcd     bool // the server under test is stock etcd
	full          = os.Getenv("DETCD_E2E") == "full"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "detcd-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	if err := runMoreAtOnce(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	if err := prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

// runMoreAtOnce lets more parallel tests run than there are processors, unless -parallel was given: what they do most is to wait.
func runMoreAtOnce() error {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", fmt.Sprint(max(4, runtime.GOMAXPROCS(0))))
}

// prepare builds the binaries that no variable names.
func prepare(dir string) error {
	serverBinary = os.Getenv("DETCD_E2E_SERVER")
	if serverBinary == "" {
		serverBinary = filepath.Join(dir, "detcd")
		if err := build(serverBinary, "github.com/detcd/detcd/cmd/detcd"); err != nil {
			return err
		}
	}
	version, err := exec.Command(serverBinary, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", serverBinary, err)
	}
	stockEtcd = !strings.Contains(string(version), "detcd")
	if *rewrite && !stockEtcd {
		return fmt.Errorf("-rewrite takes the answers from stock etcd: set DETCD_E2E_SERVER to it")
	}
	etcdctlBinary = filepath.Join(dir, "etcdctl")
	return build(etcdctlBinary, "go.etcd.io/etcd/etcdctl/v3")
}

// ourEtcdctl returns detcdctl under the name that scripts call, in a directory that has it under its own name, too.
func ourEtcdctl(t testing.TB) string {
	t.Helper()
	path, err := buildOurEtcdctl()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildOurEtcdctl = sync.OnceValues(func() (string, error) {
	own := filepath.Join(binaries, "ours", "detcdctl")
	if err := build(own, "github.com/detcd/detcd/cmd/detcdctl"); err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(own), "etcdctl")
	return path, os.Symlink("detcdctl", path)
})

func build(out, pkg string, flags ...string) error {
	args := append([]string{"build", "-o", out}, flags...)
	if text, err := exec.Command("go", append(args, pkg)...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// ownFiles skips a test that is about detcd's own files and refusals when stock etcd is under test.
func ownFiles(t *testing.T) {
	t.Helper()
	if stockEtcd {
		t.Skip("about detcd's own files")
	}
}

// long skips a test that kills processes under load when -short is given.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("not with -short")
	}
}

// slack is how many times longer than promised something may take when the machine is shared with other tests.
const slack = 5

// promise holds a duration to its bound.
func promise(t testing.TB, what string, took, bound time.Duration) {
	t.Helper()
	t.Logf("%s: %v (promised: %v)", what, took.Round(time.Millisecond), bound)
	if !full {
		bound *= slack
	}
	if took > bound {
		t.Errorf("%s took %v, more than %v", what, took, bound)
	}
}

// eventually calls try until it returns nil, for at most a minute, which no healthy server needs.
func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still not after a minute: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
