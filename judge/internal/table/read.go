package table

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// A Setting is an option as it was given.
type Setting struct {
	Name   string // as the table writes it
	Effect string
	Value  string // of options that take one
	Given  bool   // whether there is a value
}

// A Use is how a program was called.
type Use struct {
	Settings []Setting
	Operands []string
	Unknown  string // the first option that the table does not know, or that may be anything
	Dashes   int    // how many operands stand before --; -1 without it
}

// Has says whether one of some options was given.
func (u *Use) Has(names ...string) bool {
	return slices.ContainsFunc(u.Settings, func(s Setting) bool { return slices.Contains(names, s.Name) })
}

// Value is the last value of an option.
func (u *Use) Value(names ...string) (string, bool) {
	for _, s := range slices.Backward(u.Settings) {
		if s.Given && slices.Contains(names, s.Name) {
			return s.Value, true
		}
	}
	return "", false
}

// Read reads the arguments of a program.
func (s *Spec) Read(args []string) *Use {
	u := &Use{Dashes: -1}
	if s.Style == Free {
		u.Operands = args
		return u
	}
	for len(args) > 0 {
		a := args[0]
		switch {
		case a == "--":
			u.Dashes = len(u.Operands)
			u.Operands = append(u.Operands, args[1:]...)
			return u
		case shell.MayBeOption(a) && s.risky():
			u.unknown(a)
			u.Operands = append(u.Operands, a)
			args = args[1:]
		case len(a) < 2 || a[0] != '-':
			if s.Style == POSIX || s.Subs != nil {
				u.Operands = append(u.Operands, args...)
				return u
			}
			u.Operands = append(u.Operands, a)
			args = args[1:]
		case s.Style == Single:
			args = s.single(u, args)
		case a[1] == '-':
			args = s.long(u, args)
		default:
			args = s.short(u, args)
		}
	}
	return u
}

// risky says whether an option of the program can do more than its operands.
func (s *Spec) risky() bool {
	for _, o := range s.options {
		switch o.Effect {
		case "flag", "value", "look", "recurse", "mark":
		default:
			return true
		}
	}
	return false
}

func (u *Use) unknown(a string) {
	if u.Unknown == "" {
		u.Unknown = a
	}
}

// take adds an option with its value, and returns the arguments that are left.
func (u *Use) take(name string, o Option, glued *string, rest []string) []string {
	set := Setting{Name: name, Effect: o.Effect}
	switch {
	case glued != nil:
		set.Value, set.Given = *glued, true
		if o.Arity == Pair && len(rest) > 0 {
			set.Value, rest = rest[0], rest[1:]
		}
	case o.Arity == One && len(rest) > 0:
		set.Value, set.Given, rest = rest[0], true, rest[1:]
	case o.Arity == Pair && len(rest) > 1:
		set.Value, set.Given, rest = rest[1], true, rest[2:]
	}
	u.Settings = append(u.Settings, set)
	return rest
}

func (s *Spec) single(u *Use, args []string) []string {
	name, value, glued := strings.Cut(args[0], "=")
	if strings.HasPrefix(name, "--") {
		name = name[1:]
	}
	o, ok := s.options[name]
	if !ok {
		if !s.Loose || !shell.Static(name) {
			u.unknown(args[0])
		}
		return args[1:]
	}
	if glued {
		return u.take(name, o, &value, args[1:])
	}
	return u.take(name, o, nil, args[1:])
}

func (s *Spec) long(u *Use, args []string) []string {
	name, value, glued := strings.Cut(args[0], "=")
	full, ok := s.complete(name)
	if !ok {
		if !s.Loose || !shell.Static(name) || full == "?" {
			u.unknown(args[0])
		}
		return args[1:]
	}
	o := s.options[full]
	if glued {
		return u.take(full, o, &value, args[1:])
	}
	return u.take(full, o, nil, args[1:])
}

// complete finds the option that name stands for; "?" when there are several.
func (s *Spec) complete(name string) (string, bool) {
	if _, ok := s.options[name]; ok {
		return name, true
	}
	i, _ := slices.BinarySearch(s.longs, name)
	if i == len(s.longs) || !strings.HasPrefix(s.longs[i], name) || len(name) < 3 {
		return "", false
	}
	if i+1 < len(s.longs) && strings.HasPrefix(s.longs[i+1], name) {
		return "?", false
	}
	return s.longs[i], true
}

func (s *Spec) short(u *Use, args []string) []string {
	a, rest := args[0], args[1:]
	if s.Numbers && strings.Trim(a[1:], "0123456789\x04") == "" {
		return rest
	}
	for i, c := range a[1:] {
		name := "-" + string(c)
		o, ok := s.options[name]
		if !ok {
			if s.Numbers && '0' <= c && c <= '9' {
				continue
			}
			if !s.Loose || !shell.Static(name) {
				u.unknown(a)
			}
			if c < 7 {
				return rest
			}
			continue
		}
		after := a[1+i+len(string(c)):]
		if o.Arity == Flag || after == "" {
			rest = u.take(name, o, nil, rest)
			continue
		}
		if s.Equals {
			after = strings.TrimPrefix(after, "=")
		}
		return u.take(name, o, &after, rest)
	}
	return rest
}

// Given says what an operand's place is, with the options that were used.
func (s *Spec) Given(u *Use) []string {
	places := make([]string, len(u.Operands))
	for i := range places {
		places[i] = s.Args
	}
	i := 0
	for _, p := range s.Lead {
		if i < len(places) && !u.Has(p.Unless...) {
			places[i] = p.Effect
			i++
		}
	}
	if n := len(places); s.Last != nil && n > 0 && !u.Has(s.Last.Unless...) && (n > 1 || s.Args == s.Last.Effect) {
		places[n-1] = s.Last.Effect
	}
	return places
}
