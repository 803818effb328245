// Package detcd_test holds the rules of the house that no compiler checks: which room may import which, and what the deterministic rooms
// must do without. Each failure says what to write instead. ARCHITECTURE.md says why.
package detcd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/detcd/detcd/"

// rooms says which rooms the code of a room may import, itself aside. Tests are free: they may look at anything.
var rooms = map[string][]string{
	"cmd":             {"netio", "sim", "node", "statemachine", "linearizability"},
	"netio":           {"node", "statemachine"},
	"sim":             {"node", "statemachine", "linearizability"},
	"node":            {"statemachine"},
	"statemachine":    {},
	"linearizability": {},
}

// deterministic rooms are a function of what they are called with.
var deterministic = []string{"node", "statemachine"}

// instead says what deterministic code does where other code would import a package.
var instead = map[string]string{
	"net":           "send messages through port.Network",
	"net/http":      "send messages through port.Network",
	"os":            "keep files through port.Disk",
	"io/ioutil":     "keep files through port.Disk",
	"syscall":       "keep files through port.Disk",
	"math/rand":     "take a seeded source as a parameter",
	"math/rand/v2":  "take a seeded source as a parameter",
	"crypto/rand":   "take a seeded source as a parameter",
	"hash/maphash":  "use a hash without a seed of the process's own, such as xxhash",
	"sync":          "a member is called by one caller at a time; publish to readers with sync/atomic",
	"context":       "pass a callback; the door that waits knows about contexts",
	"log":           "log through port.Logger",
	"log/slog":      "log through port.Logger",
	"runtime":       "keep to the ports",
	"runtime/debug": "keep to the ports",
}

// clocks are the functions of package time that look at the system's clock or wait for it.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func TestArrows_ImportsPointDown(t *testing.T) {
	forEachFile(t, func(room, path string, file *ast.File, fset *token.FileSet) {
		allowed, known := rooms[room]
		if !known {
			return
		}
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			target, ours := strings.CutPrefix(name, module)
			if !ours {
				continue
			}
			target, _, _ = strings.Cut(target, "/")
			if target != room && !slices.Contains(allowed, target) {
				t.Errorf("%s: %s must not import %s: imports point down only (cmd → netio | sim → node → statemachine); "+
					"declare what you need as a port in node/port and let the room above implement it", fset.Position(spec.Pos()), room, target)
			}
		}
	})
}

// doors says which of the doors' packages a package of them may import. Each has one subject; netio/door joins them.
var doors = map[string][]string{
	"netio/door/wire":     {},
	"netio/door/listen":   {},
	"netio/door/services": {"netio/door/wire", "netio/door/listen"},
	"netio/door/web":      {"netio/door/listen"},
}

func TestArrows_DoorsAreApart(t *testing.T) {
	seen := map[string]bool{}
	forEachFile(t, func(_, path string, file *ast.File, fset *token.FileSet) {
		from := filepath.ToSlash(filepath.Dir(path))
		allowed, known := doors[from]
		seen[from] = seen[from] || known
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			target, ours := strings.CutPrefix(name, module+"netio/door")
			if target = "netio/door" + target; ours && known && !slices.Contains(allowed, target) {
				t.Errorf("%s: %s must not import %s: say in an interface or a field of its Config what it needs, and let netio/door join the two", fset.Position(spec.Pos()), from, target)
			}
		}
	})
	for from := range doors {
		if !seen[from] {
			t.Errorf("%s was not looked at: has it moved?", from)
		}
	}
}

func TestArrows_DeterministicRoomsKeepToTheirPorts(t *testing.T) {
	forEachFile(t, func(room, path string, file *ast.File, fset *token.FileSet) {
		if !slices.Contains(deterministic, room) {
			return
		}
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if advice, banned := instead[name]; banned {
				t.Errorf("%s: no %s in %s: %s", fset.Position(spec.Pos()), name, room, advice)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: no goroutine in %s: give blocking work to a port.Lane", fset.Position(n.Pos()), room)
			case *ast.SelectStmt, *ast.ChanType, *ast.SendStmt:
				t.Errorf("%s: no channel in %s: take a callback", fset.Position(n.Pos()), room)
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && pkg.Obj == nil && slices.Contains(clocks, n.Sel.Name) {
					t.Errorf("%s: no time.%s in %s: ask port.Clock once a turn and pass the time on", fset.Position(n.Pos()), n.Sel.Name, room)
				}
			}
			return true
		})
	})
}

// forEachFile visits every Go file of the rooms that is part of a build: tests and test helpers (packages named …test) are left out.
func forEachFile(t *testing.T, visit func(room, path string, file *ast.File, fset *token.FileSet)) {
	t.Helper()
	files := 0
	for room := range rooms {
		err := filepath.WalkDir(room, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (strings.HasSuffix(d.Name(), "test") || d.Name() == "testdata" || d.Name() == "mutants") {
				return fs.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				return err
			}
			files++
			visit(room, path, file, fset)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 {
		t.Fatalf("only %d files were looked at: has the house moved?", files)
	}
}
