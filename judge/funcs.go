package judge

import (
	"slices"

	"mvdan.cc/sh/v3/syntax"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// A function that the line declared.
type function struct {
	body *syntax.Stmt
	src  string // the text that the body is a part of
	uses *uses
}

// uses is shared by all copies of a function.
type uses struct {
	called  bool
	pending []Finding // what the body does when nothing is known of its arguments
}

// declareFunc remembers a function. Its body is judged at each call; when nothing calls
// it, with nothing known of its arguments. What it is sure to be denied is told at once.
func (w *walk) declareFunc(c *syntax.FuncDecl) {
	if c.Name == nil {
		w.ask(guardShape, "a function without one name")
		return
	}
	if len(w.defining) >= maxNested {
		w.ask(guardShape, "too many functions within functions")
		return
	}
	f := function{body: c.Body, src: w.src, uses: &uses{}}
	kept := w.findings
	w.findings = nil
	w.aside(func() {
		w.forget([]*syntax.Stmt{c.Body})
		w.state.args = nil
		w.inside(c.Name.Value, f)
	})
	found := w.findings
	w.findings = kept
	for _, x := range found {
		if x.Verdict == Deny {
			w.note(x)
		} else {
			f.uses.pending = append(f.uses.pending, x)
		}
	}
	w.declared = append(w.declared, f.uses)
	w.state.funcs[c.Name.Value] = f
}

// inside judges the body of a function in the state that is reached.
func (w *walk) inside(name string, f function) {
	w.defining = append(w.defining, name)
	src := w.src
	w.src = f.src
	w.stmt(f.body)
	w.src = src
	w.defining = w.defining[:len(w.defining)-1]
}

// settle tells what functions do that nothing calls.
func (w *walk) settle() {
	for _, u := range w.declared {
		if !u.called {
			for _, x := range u.pending {
				w.note(x)
			}
		}
	}
}

// callFunc judges the call of a function of the line. It says false when the name is,
// or may be, none.
func (w *walk) callFunc(argv []string) bool {
	if w.external {
		return false
	}
	if slices.Contains(w.defining, argv[0]) {
		w.ask(guardDynamic, "a function that calls itself")
		return true
	}
	f, ok := w.state.funcs[argv[0]]
	if !ok {
		return false
	}
	f.uses.called = true
	if w.nested >= maxNested || len(w.defining) >= maxNested {
		w.ask(guardShape, "too many functions within functions")
		return true
	}
	args := w.state.args
	w.state.args = nil
	if !slices.ContainsFunc(argv, shell.MayBeOption) {
		w.state.args = append([]string{}, argv[1:]...)
	}
	part := w.part
	w.inside(argv[0], f)
	w.part = part
	w.state.args = args
	w.note(Finding{Allow, "a function of the line; its body is judged", "function", w.part})
	return !w.unsets
}
