// Package table holds what is known of programs: which options and operands run other
// programs, read or write files, or change what a program is. The tables are data, one
// per program, in files per family; tables/README.md says how they are written.
//
// # Limitations
//
// A program without a table is not known, whatever its name promises. Options that are
// not in a table are not known either, unless the table says "loose".
package table

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
)

// A Style is how a program reads its options.
type Style string

// Styles of options.
const (
	GNU    Style = "gnu"    // options and operands mixed, long ones abbreviated
	POSIX  Style = "posix"  // options end at the first operand
	Single Style = "single" // long options with one dash
	Free   Style = "free"   // no options: every argument is an operand
)

// An Option is what a table says of one option.
type Option struct {
	Effect string // one of Effects
	Arity  Arity
}

// Arity is how many arguments an option takes.
type Arity uint8

// Arities of options.
const (
	Flag  Arity = iota // none
	One                // one, glued or the next
	Maybe              // one, only glued
	Pair               // two: a name and the value
)

// A Place is the effect of operands, unless one of some options is given.
type Place struct {
	Effect string
	Unless []string
}

// A Spec is the table of a program or of one of its subcommands. It is not changed
// after loading.
type Spec struct {
	Name    string // as rules see it: "git commit"
	Doc     string
	Style   Style
	Lead    []Place // the first operands
	Args    string  // the other operands
	Last    *Place  // the last operand
	Wrap    int     // operands before the command that it runs; -1: runs none
	Open    bool    // needs no rule of its own: only what it runs is judged
	Shell   bool    // part of the shell and without effect outside: needs no rule
	Loose   bool    // options that are not listed are harmless
	Numbers bool    // -5 is an option
	Quiet   bool    // does not print the files that it reads
	Equals  bool    // -f=FILE is -f FILE
	Net     bool    // prints what comes from the network
	Handler string
	Subs    map[string]*Spec

	options map[string]Option
	longs   []string
}

// effects are the words that a table may use, with their meaning.
func effects() map[string]string {
	return map[string]string{
		"flag": "nothing", "value": "a value without effect", "read": "a file is read", "write": "a file is written",
		"output": "a file is written where others only print: a question", "download": "a file is written with what came from the network",
		"delete": "a file is removed", "move": "a file is moved away", "exec": "a shell line or a program with arguments is run",
		"prog": "a program is run", "ask": "always a question", "inside": "a path that must be in the project",
		"look": "a file is opened, its content not shown", "force": "history of a remote repository is lost",
		"chdir": "the working folder of what follows", "config": "a setting of git", "remote": "a remote repository",
		"data": "data, or @ and a file", "form": "a form field, or one of a file", "url": "an address",
		"awk": "a program of awk", "sed": "a program of sed", "split": "a line that is split into arguments",
		"line": "a shell line", "code": "a program in another language", "rev": "a revision, or revision:path", "lines": "a range, a colon and a file",
		"setenv": "NAME=VALUE", "unset": "a variable is taken away", "stdin": "what it runs gets arguments from input", "recurse": "folders are read or removed with all below",
		"strip": "the variables are taken away", "mode": "permissions", "mark": "looked at by the handler", "make": "an operand of make",
	}
}

//go:embed tables/*.txt
var files embed.FS

// all are the tables by name of the program.
var all = sync.OnceValue(func() map[string]*Spec {
	m := map[string]*Spec{}
	entries, err := files.ReadDir("tables")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, e := range entries {
		text, err := files.ReadFile(path.Join("tables", e.Name()))
		if err == nil {
			err = load(m, string(text))
		}
		if err != nil {
			panic(fmt.Sprintf("tables/%s: %v", e.Name(), err)) // a test holds the files to be right
		}
	}
	for _, s := range m {
		s.finish()
	}
	return m
})

// Find is the table of a program by its bare name, or nil.
func Find(name string) *Spec { return all()[name] }

// Names lists the programs that have a table, sorted.
func Names() []string {
	var l []string
	for n := range all() {
		l = append(l, n)
	}
	slices.Sort(l)
	return l
}

func (s *Spec) finish() {
	for o := range s.options {
		if strings.HasPrefix(o, "--") {
			s.longs = append(s.longs, o)
		}
	}
	slices.Sort(s.longs)
	for _, sub := range s.Subs {
		sub.finish()
	}
}

// load reads one file of tables.
func load(m map[string]*Spec, text string) error {
	var now []*Spec
	doc := ""
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			continue
		case strings.HasPrefix(line, "#"):
			doc = strings.TrimLeft(line, "# ")
			continue
		case line[0] != ' ':
			now = nil
			for _, name := range strings.Split(line, ",") {
				s, err := declare(m, strings.Fields(name))
				if err != nil {
					return fmt.Errorf("line %d: %w", i+1, err)
				}
				s.Doc = doc
				now = append(now, s)
			}
			continue
		}
		for _, s := range now {
			if err := s.say(words); err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
		}
	}
	return nil
}

func declare(m map[string]*Spec, words []string) (*Spec, error) {
	s := &Spec{Name: strings.Join(words, " "), Style: GNU, Wrap: -1, options: map[string]Option{}}
	if len(words) == 0 {
		return nil, fmt.Errorf("a table without a name")
	}
	last := words[len(words)-1]
	for _, w := range words[:len(words)-1] {
		parent := m[w]
		if parent == nil {
			return nil, fmt.Errorf("%q comes before %q", s.Name, w)
		}
		if parent.Subs == nil {
			parent.Subs = map[string]*Spec{}
		}
		m = parent.Subs
	}
	if m[last] != nil {
		return nil, fmt.Errorf("a second table of %q", s.Name)
	}
	m[last] = s
	return s, nil
}

// say reads one line of a table.
func (s *Spec) say(words []string) error {
	rest := words[1:]
	switch words[0] {
	case "style":
		s.Style = Style(rest[0])
	case "lead", "last":
		p := Place{Effect: rest[0]}
		if len(rest) > 2 && rest[1] == "unless" {
			p.Unless = rest[2:]
		}
		if words[0] == "last" {
			s.Last = &p
		} else {
			s.Lead = append(s.Lead, p)
		}
		return known(p.Effect)
	case "args":
		s.Args = rest[0]
		return known(s.Args)
	case "wrap":
		s.Wrap = int(rest[0][0] - '0')
	case "open":
		s.Open = true
	case "shell":
		s.Shell = true
	case "loose":
		s.Loose = true
	case "numbers":
		s.Numbers = true
	case "quiet":
		s.Quiet = true
	case "equals":
		s.Equals = true
	case "net":
		s.Net = true
	case "handler":
		s.Handler = rest[0]
	case "maybe", "pair":
		if len(rest) < 2 {
			return fmt.Errorf("%q needs an effect and options", words[0])
		}
		arity := Maybe
		if words[0] == "pair" {
			arity = Pair
		}
		return s.add(Option{rest[0], arity}, rest[1:])
	case "flag":
		effect := "flag"
		if !strings.HasPrefix(rest[0], "-") {
			effect, rest = rest[0], rest[1:]
		}
		return s.add(Option{effect, Flag}, rest)
	default:
		return s.add(Option{words[0], One}, rest)
	}
	return nil
}

func known(effect string) error {
	if effects()[effect] == "" {
		return fmt.Errorf("no effect is called %q", effect)
	}
	return nil
}

func (s *Spec) add(o Option, names []string) error {
	if err := known(o.Effect); err != nil {
		return err
	}
	for _, n := range names {
		if len(n) < 2 || n[0] != '-' {
			return fmt.Errorf("%q is no option", n)
		}
		if s.Style == Single || n[1] == '-' {
			s.options[n] = o
			continue
		}
		for _, c := range n[1:] {
			s.options["-"+string(c)] = o
		}
	}
	return nil
}
