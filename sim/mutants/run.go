// Command mutants puts known bugs back, one at a time, and shows that the simulator catches each. A mutant is a patch in sim/mutants: its
// head says which bug of which system it is and which promise it breaks, the rest is a diff against this tree. Each is applied to a copy
// of the tree, and seeds are run until one fails; the same seeds must pass without the patch. A head with the line "Check: determinism" asks
// for each seed to be run twice and the lines compared. One with "From: N" has the seeds begin with N, where a mutant is caught rarely.
//
// Where no run in a few hundred reaches what is wrong, a test may stand for the seeds: "Test: ./node -run TestX" is what go test is given. It must fail
// with the patch, and pass without.
//
// It only starts other programs (go, git) and waits for them.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	seeds := flag.Uint64("seeds", 400, "seeds to try for each mutant")
	only := flag.String("only", "", "regular expression: which mutants")
	dir := flag.String("dir", "sim/mutants", "folder with the patches")
	flag.Parse()
	if err := run(*seeds, *only, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(seeds uint64, only, folder string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	patches, err := filepath.Glob(filepath.Join(folder, "*.patch"))
	if err != nil {
		return err
	}
	patches = slices.DeleteFunc(patches, func(p string) bool { return !wanted.MatchString(p) })
	if len(patches) == 0 {
		return errors.New("no mutants: run this in the root of the tree")
	}
	dir, err := os.MkdirTemp("", "detcd-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sound, err := build(dir, "")
	if err != nil {
		return fmt.Errorf("the tree as it is does not build: %w", err)
	}
	missed := 0
	for _, p := range patches {
		head, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(p), ".patch")
		var how string
		if test := testLine.FindSubmatch(head); test != nil {
			how, err = tryTest(dir, p, strings.Fields(string(test[1])))
		} else {
			how, err = trySeeds(dir, p, sound, head, seeds)
		}
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		case how == "":
			fmt.Printf("%-58s NOT CAUGHT\n", name)
			missed++
		default:
			fmt.Printf("%-58s caught %s\n", name, how)
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d mutants were not caught", missed, len(patches))
	}
	fmt.Printf("%d mutants, all caught; the tree as it is passes the same seeds and tests\n", len(patches))
	return nil
}

// trySeeds runs seeds until one fails with the patch, and says how it was caught; empty if it was not. sound is the binary without the patch.
func trySeeds(dir, patch, sound string, head []byte, seeds uint64) (how string, err error) {
	twice := bytes.Contains(head, []byte("\nCheck: determinism\n"))
	mutant, err := build(dir, patch)
	if err != nil {
		return "", err
	}
	from := firstSeed(head)
	for seed := from; seed < from+seeds; seed++ {
		wrong := judge(mutant, seed, twice)
		if wrong == "" {
			continue
		}
		for again := from; again <= seed; again++ {
			if how := judge(sound, again, twice); how != "" {
				return "", fmt.Errorf("seed %d fails without any mutant: %s", again, how)
			}
		}
		return fmt.Sprintf("after %3d seeds from %d on: %s", seed-from+1, from, wrong), nil
	}
	return "", nil
}

var (
	testLine   = regexp.MustCompile(`(?m)^Test: (.+)$`)
	failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: \S+`)
)

// tryTest runs a test without the patch, when it must pass, and with it.
func tryTest(dir, patch string, args []string) (how string, err error) {
	args = append([]string{"test", "-count=1"}, args...)
	tree, err := plant(dir, "")
	if err != nil {
		return "", err
	}
	if err := in(tree, "go", args...); err != nil {
		return "", fmt.Errorf("the test fails without any mutant: %w", err)
	}
	if tree, err = plant(dir, patch); err != nil {
		return "", err
	}
	err = in(tree, "go", args...)
	if err == nil {
		return "", nil
	}
	if test := failedTest.FindString(err.Error()); test != "" {
		return "by a test: " + strings.TrimSpace(test), nil
	}
	return "", fmt.Errorf("no test fails, but there is something else: %w", err)
}

var fromLine = regexp.MustCompile(`(?m)^From: (\d+)$`)

// firstSeed is where a mutant's seeds begin.
func firstSeed(head []byte) uint64 {
	if m := fromLine.FindSubmatch(head); m != nil {
		if n, err := strconv.ParseUint(string(m[1]), 10, 64); err == nil {
			return n
		}
	}
	return 1
}

// judge runs one seed and says what is wrong with it, empty if nothing is.
func judge(binary string, seed uint64, twice bool) string {
	line, failed := runSeed(binary, seed)
	if failed {
		return line
	}
	if twice {
		if again, _ := runSeed(binary, seed); again != line {
			return "two runs of one seed differ"
		}
	}
	return ""
}

var result = regexp.MustCompile(`(?m)^seed=.*$`)

// runSeed returns the line that a seed is reported as, or what there is instead.
func runSeed(binary string, seed uint64) (line string, failed bool) {
	cmd := exec.Command(binary, fmt.Sprintf("-seed=%d", seed))
	cmd.Dir = filepath.Dir(binary)
	out, err := cmd.CombinedOutput()
	if line = result.FindString(string(out)); line == "" {
		line = strings.SplitN(string(out), "\n", 2)[0]
	}
	if err != nil {
		if at := strings.Index(line, "result="); at >= 0 {
			line = line[at:]
		}
	}
	return line, err != nil
}

// build makes the simulator's test binary from a copy of the tree with a patch applied.
func build(dir, patch string) (binary string, err error) {
	tree, err := plant(dir, patch)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "sound")
	if patch != "" {
		binary = filepath.Join(dir, "mutant")
	}
	return binary, in(tree, "go", "test", "-c", "-o", binary, "./sim")
}

// plant copies the tree, and applies a patch to the copy if one is given.
func plant(dir, patch string) (tree string, err error) {
	tree = filepath.Join(dir, "tree")
	if err := os.RemoveAll(tree); err != nil {
		return "", err
	}
	files, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return "", fmt.Errorf("git ls-files: %w", err)
	}
	for _, f := range strings.Split(strings.TrimRight(string(files), "\x00"), "\x00") {
		data, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, but not committed yet
		}
		if err != nil {
			return "", err
		}
		if err := os.MkdirAll(filepath.Join(tree, filepath.Dir(f)), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(tree, f), data, 0o600); err != nil {
			return "", err
		}
	}
	if patch != "" {
		absolute, err := filepath.Abs(patch)
		if err != nil {
			return "", err
		}
		if err := in(tree, "git", "apply", "--recount", absolute); err != nil {
			return "", fmt.Errorf("the patch does not apply any more; make it anew: %w", err)
		}
	}
	return tree, nil
}

func in(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
