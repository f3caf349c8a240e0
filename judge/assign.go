package judge

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// assignment judges NAME=VALUE and sets it.
func (w *walk) assignment(a *syntax.Assign) {
	if a.Index != nil {
		w.index(a.Index)
	}
	name := a.Name.Value
	if a.Array != nil {
		v := value{array: true}
		for _, e := range a.Array.Elems {
			if e.Index != nil {
				w.index(e.Index)
			}
			if e.Value != nil {
				v.fields = append(v.fields, w.fields(e.Value)...)
			}
		}
		if a.Append {
			v.fields = append(append([]string{}, w.state.vars[name].fields...), v.fields...)
		}
		w.assign(name, v)
		return
	}
	v := w.value(a.Value)
	if a.Append {
		v = w.variable(name) + v
	}
	if a.Index != nil {
		old := w.state.vars[name]
		w.assign(name, value{array: true, fields: append(append([]string{}, old.fields...), v)})
		return
	}
	w.assign(name, scalar(v))
}

// assign sets a variable and judges what that changes.
func (w *walk) assign(name string, v value) {
	text := strings.Join(v.fields, " ")
	w.environ(name, text)
	if len(text) > 4096 {
		v = scalar(string(shell.Any))
	}
	w.state.vars[name] = v
	switch name {
	case "IFS":
		w.state.ifs = true
	case "HOME", "PWD", "CDPATH", "OLDPWD":
		if name == "CDPATH" || !shell.Static(text) {
			w.state.vars["HOME"] = scalar(string(shell.Any))
		}
	}
}

// declare judges export, declare, local, readonly and typeset.
func (w *walk) declare(c *syntax.DeclClause) {
	reference := c.Variant.Value == "nameref"
	integer := false
	for _, a := range c.Args {
		switch {
		case a.Name == nil:
			for _, f := range w.fields(a.Value) {
				reference, integer = w.declared1(f, reference, integer)
			}
		case a.Naked:
			w.environ(a.Name.Value, w.variable(a.Name.Value))
		default:
			if integer && a.Value != nil {
				w.operand(a.Value)
			}
			if a.Value != nil && strings.HasPrefix(w.value(a.Value), "(") {
				w.ask(guardDynamic, "text that becomes an array is expanded again")
			}
			w.assignment(a)
		}
		if reference && a.Name != nil {
			w.ask(guardDynamic, "a name for another variable")
		}
	}
}

// declared1 judges an argument of declare that is known only when it runs: an option,
// a name or an assignment.
func (w *walk) declared1(f string, reference, integer bool) (bool, bool) {
	switch {
	case f == "":
	case f[0] == '-' || f[0] == '+':
		if !shell.Static(f) {
			w.ask(guardDynamic, "an option that is computed")
		}
		reference = reference || strings.Contains(f, "n")
		integer = integer || strings.Contains(f, "i")
	default:
		name, v, set := strings.Cut(f, "=")
		w.name(name)
		if !isIdentifier(name) {
			w.ask(guardDynamic, "the name of a variable that is computed")
			break
		}
		if set && strings.ContainsAny(v, "(`") {
			w.ask(guardDynamic, "text that becomes an array is expanded again")
		}
		if set {
			w.assign(name, scalar(v))
		} else {
			w.environ(name, w.variable(name))
		}
	}
	return reference, integer
}
