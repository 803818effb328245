// Command mutants puts known bugs back, one at a time, and shows that the simulator catches each. A mutant is a patch in sim/mutants: its
// head says which bug of which system it is and which promise it breaks, the rest is a diff against this tree. Each is applied to a copy
// of the tree, and seeds are run until one fails; the same seeds must pass without the patch. A head with the line "Check: determinism" asks
// for each seed to be run twice and the lines compared. One with "From: N" has the seeds begin with N, where a mutant is caught rarely.
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
	flag.Parse()
	if err := run(*seeds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(seeds uint64, only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	patches, err := filepath.Glob("sim/mutants/*.patch")
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
		twice := bytes.Contains(head, []byte("\nCheck: determinism\n"))
		name := strings.TrimSuffix(filepath.Base(p), ".patch")
		mutant, err := build(dir, p)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		from := firstSeed(head)
		caught, how := uint64(0), ""
		for seed := from; seed < from+seeds && caught == 0; seed++ {
			if how = judge(mutant, seed, twice); how != "" {
				caught = seed
			}
		}
		if caught == 0 {
			fmt.Printf("%-58s NOT CAUGHT in %d seeds\n", name, seeds)
			missed++
			continue
		}
		for seed := from; seed <= caught; seed++ {
			if how := judge(sound, seed, twice); how != "" {
				return fmt.Errorf("seed %d fails without any mutant: %s", seed, how)
			}
		}
		fmt.Printf("%-58s caught after %3d seeds from %d on: %s\n", name, caught-from+1, from, how)
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d mutants were not caught", missed, len(patches))
	}
	fmt.Printf("%d mutants, all caught; the tree as it is passes the same seeds\n", len(patches))
	return nil
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
	tree := filepath.Join(dir, "tree")
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
	name := "sound"
	if patch != "" {
		name = "mutant"
		absolute, err := filepath.Abs(patch)
		if err != nil {
			return "", err
		}
		if err := in(tree, "git", "apply", "--recount", absolute); err != nil {
			return "", fmt.Errorf("the patch does not apply any more; make it anew: %w", err)
		}
	}
	binary = filepath.Join(dir, name)
	return binary, in(tree, "go", "test", "-c", "-o", binary, "./sim")
}

func in(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
