package grace_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// clocks are the functions of package time that read a clock or start a timer.
// The rest of the package is arithmetic.
var clocks = map[string]string{
	"Now":       "now is an argument: the loop that calls is the only one to read the clock",
	"Since":     "it reads the clock; subtract from now",
	"Until":     "it reads the clock; subtract now",
	"Sleep":     "the policy waits for nothing; it returns the next deadline",
	"After":     "the loop owns the one timer; return the deadline in Next",
	"AfterFunc": "the loop owns the one timer; return the deadline in Next",
	"NewTimer":  "the loop owns the one timer; return the deadline in Next",
	"NewTicker": "the loop owns the one timer; return the deadline in Next",
	"Tick":      "the loop owns the one timer; return the deadline in Next",
}

const nothingConcurrent = "the policy is called by one loop and runs to its end: nothing in it may be concurrent"

// impurities finds clocks, timers, goroutines and channels in a file. (What it
// imports is judged by TestArchitecture.)
func impurities(fset *token.FileSet, file *ast.File) (found []string) {
	timeIs := "" // the name under which the file knows package time
	for _, spec := range file.Imports {
		if spec.Path.Value != `"time"` {
			continue
		}
		timeIs = "time"
		if spec.Name != nil {
			timeIs = spec.Name.Name
		}
		if timeIs == "." {
			found = append(found, fmt.Sprintf("%s: import . \"time\": clocks could not be seen any more", fset.Position(spec.Pos())))
		}
	}
	report := func(n ast.Node, what, why string) {
		found = append(found, fmt.Sprintf("%s: %s: %s", fset.Position(n.Pos()), what, why))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == timeIs && clocks[n.Sel.Name] != "" {
				report(n, "time."+n.Sel.Name, clocks[n.Sel.Name])
			}
		case *ast.GoStmt:
			report(n, "go statement", nothingConcurrent)
		case *ast.ChanType:
			report(n, "channel", nothingConcurrent)
		case *ast.SendStmt:
			report(n, "send", nothingConcurrent)
		case *ast.SelectStmt:
			report(n, "select", nothingConcurrent)
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				report(n, "receive", nothingConcurrent)
			}
		}
		return true
	})
	return found
}

// TestPurity keeps clocks, timers, goroutines and channels out of the policy
// and its vocabulary.
func TestPurity(t *testing.T) {
	for _, pattern := range []string{"*.go", "protocol/*.go", "protocol/sio/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range impurities(fset, file) {
				t.Error(f)
			}
		}
	}
}

func TestPurityIsSeen(t *testing.T) {
	for source, want := range map[string]int{
		`import "time"; func f(now time.Time) time.Duration { return now.Sub(time.Time{}) + time.Second }`: 0,
		`import "time"; var x = time.Now()`:                                         1,
		`import "time"; var x = time.Now`:                                           1,
		`import clock "time"; var x = clock.Since(clock.Time{})`:                    1,
		`import . "time"; var x = Now()`:                                            1,
		`import "time"; func f() { time.Sleep(1); <-time.After(1); time.Tick(1) }`:  4,
		`import "time"; var x, y = time.NewTimer(1), time.NewTicker(1)`:             2,
		`import "time"; var x, y = time.AfterFunc(1, nil), time.Until(time.Time{})`: 2,
		`func f() { go f() }`:                                                       1,
		`func f(c chan int) { c <- 1 }`:                                             2,
		`func f() { select {} }`:                                                    1,
		`type t struct { done <-chan struct{} }`:                                    1,
		`func f(now int) int { return now - 1<<2>>1 }`:                              0,
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "x.go", "package x; "+source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if found := impurities(fset, file); len(found) != want {
			t.Errorf("%s\nfound %d, want %d: %s", source, len(found), want, strings.Join(found, "\n\t"))
		}
	}
}
