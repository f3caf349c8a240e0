package judge

import (
	"maps"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// A value is what a variable holds: one field, or the fields of an array.
type value struct {
	fields []string
	array  bool
}

func scalar(s string) value { return value{fields: []string{s}} }

// A state is what is known while the line runs.
type state struct {
	dir   string   // the working folder; holds shell.Any when it is not known
	old   string   // the one before
	stack []string // of pushd
	vars  map[string]value
	funcs map[string]function
	links map[string]string // made by the line: absolute path to absolute target
	loads map[string]bool   // files that were written from the network
	args  []string          // positional parameters; nil when they are not known
	ifs   bool              // IFS was changed
	globs bool              // the meaning of globs was changed
}

func newState(j *Judge) *state {
	return &state{dir: j.context.Dir, old: unknownDir, vars: map[string]value{}, funcs: map[string]function{}}
}

// unknownDir is a working folder that is not known.
const unknownDir = "/" + string(shell.Any)

func (s *state) clone() *state {
	c := *s
	c.vars, c.funcs = maps.Clone(s.vars), maps.Clone(s.funcs)
	c.links, c.loads = maps.Clone(s.links), maps.Clone(s.loads)
	c.stack = slices.Clone(s.stack)
	return &c
}

// join makes of two ways that the line may have taken what holds on both.
func (s *state) join(o *state) {
	if s.dir != o.dir {
		s.dir = unknownDir
	}
	for n, v := range o.vars {
		if mine, ok := s.vars[n]; !ok || !slices.Equal(mine.fields, v.fields) {
			s.vars[n] = scalar(weaken(mine, v, ok))
		}
	}
	for n, v := range s.vars {
		if _, ok := o.vars[n]; !ok {
			s.vars[n] = scalar(weaken(v, value{}, true))
		}
	}
	for n := range s.funcs {
		if _, ok := o.funcs[n]; !ok {
			delete(s.funcs, n)
		}
	}
	for p, t := range o.links {
		s.link(p, t)
	}
	for p := range o.loads {
		s.load(p)
	}
	s.ifs, s.globs = s.ifs || o.ifs, s.globs || o.globs
	if !slices.Equal(s.args, o.args) {
		s.args = nil
	}
}

// weaken is a text that may be either of two.
func weaken(a, b value, known bool) string {
	plain := func(v value) bool {
		return len(v.fields) == 1 && !v.array && (v.fields[0] == string(shell.Name) || isNumber(v.fields[0]))
	}
	for _, v := range []value{a, b} {
		if slices.ContainsFunc(v.fields, shell.FromNet) {
			return string(shell.Net)
		}
	}
	if known && plain(a) && plain(b) {
		return string(shell.Name)
	}
	return string(shell.Any)
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func (s *state) link(p, target string) {
	if s.links == nil {
		s.links = map[string]string{}
	}
	s.links[p] = target
}

func (s *state) load(p string) {
	if strings.HasPrefix(p, "/dev/") {
		return // what is written there is not a file
	}
	if s.loads == nil {
		s.loads = map[string]bool{}
	}
	s.loads[p] = true
}

// forget makes unknown what statements may assign, before a loop runs them again.
// Counters stay numbers. It returns how many nodes it has seen.
func (s *state) forget(stmts []*syntax.Stmt) int {
	numbers, others, seen := assigned(stmts)
	for n := range numbers {
		if v, ok := s.vars[n]; others[n] || ok && weaken(v, scalar("0"), true) != string(shell.Name) {
			continue
		}
		s.vars[n] = scalar(string(shell.Name))
	}
	for n := range others {
		s.vars[n] = scalar(string(shell.Any))
	}
	return seen
}

// assigned lists the variables that statements assign: numbers only, and others.
func assigned(stmts []*syntax.Stmt) (numbers, others map[string]bool, seen int) {
	numbers, others = map[string]bool{}, map[string]bool{}
	for _, st := range stmts {
		syntax.Walk(st, func(n syntax.Node) bool {
			seen++
			switch n := n.(type) {
			case *syntax.Assign:
				if n.Name == nil {
					return true
				}
				if numeric(n.Value) && n.Array == nil {
					numbers[n.Name.Value] = true
				} else {
					others[n.Name.Value] = true
				}
			case *syntax.WordIter:
				others[n.Name.Value] = true
			case *syntax.ParamExp:
				if n.Exp != nil && n.Param != nil && (n.Exp.Op == syntax.AssignUnset || n.Exp.Op == syntax.AssignUnsetOrNull) {
					others[n.Param.Value] = true
				}
			case *syntax.CallExpr:
				callAssigns(n, others)
			}
			return true
		})
	}
	return numbers, others, seen
}

// callAssigns adds the variables that builtins such as read set.
func callAssigns(c *syntax.CallExpr, others map[string]bool) {
	if len(c.Args) == 0 {
		return
	}
	switch c.Args[0].Lit() {
	case "read", "mapfile", "readarray", "printf", "getopts", "wait", "local", "declare", "export", "readonly", "typeset":
		for _, a := range c.Args[1:] {
			if l := a.Lit(); l != "" {
				others[l] = true
			}
		}
	}
}

// numeric says whether a word is a number or an arithmetic expression.
func numeric(w *syntax.Word) bool {
	if w == nil || len(w.Parts) != 1 {
		return false
	}
	switch p := w.Parts[0].(type) {
	case *syntax.ArithmExp:
		return true
	case *syntax.Lit:
		return isNumber(p.Value)
	}
	return false
}
