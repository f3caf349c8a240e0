package claims

import (
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/shell"
	"mvdan.cc/sh/v3/syntax"
)

// How sure it is that a command of a line runs.
type surety int

const (
	maybe     surety = iota
	onSuccess        // if the line ends with 0
	always
)

// A word of a command; known says that its text is all of it.
type word struct {
	text  string
	known bool
}

// A command is a simple command of a line that is a program, as far as that can be read.
type command struct {
	name string
	args []word
	sure surety
	last bool // its exit status is that of the line
}

// builtins run no program. What is at a path is one, whatever its name.
var builtins = func() map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(`. : [ alias bg bind break builtin caller cd command compgen complete compopt continue declare
		dirs disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill let local logout mapfile
		popd printf pushd pwd read readarray readonly return set shift shopt source suspend test times trap true type typeset
		ulimit umask unalias unset wait`) {
		m[n] = true
	}
	return m
}()

// mayEnd are builtins behind which nothing is sure: they end the line, replace the shell,
// or change what words mean.
var mayEnd = strings.Fields(". source alias builtin command enable eval exec exit hash kill return set shopt trap wait")

// maxCommands bounds what is kept of a line.
const maxCommands = 4096

// A reading is what a line says it runs.
type reading struct {
	parsed   bool
	commands []command
	byName   map[string][]*command // where they are looked for by name

	funcs  map[string]bool
	unsure bool // something that stands before may have ended the line
	pipes  bool // pipefail: the status of a pipe is not that of its last part
}

// read parses a line. A line that cannot be parsed has no commands that are sure.
func read(line string) *reading {
	r := &reading{funcs: map[string]bool{}}
	f, err := shell.Parse(line)
	if err != nil {
		return r
	}
	r.parsed = true
	r.pipes = strings.Contains(line, "pipefail")
	syntax.Walk(f, func(n syntax.Node) bool {
		switch d, ok := n.(*syntax.FuncDecl); {
		case !ok:
		case d.Name == nil: // the parser takes what no shell but zsh does
			r.parsed = false
		default:
			r.funcs[d.Name.Value] = true
		}
		return true
	})
	if !r.parsed {
		return r
	}
	r.stmts(f.Stmts, place{always, true, true})
	return r
}

func (r *reading) stmts(list []*syntax.Stmt, at place) {
	for i, st := range list {
		p := at
		if i < len(list)-1 {
			p.end, p.status = false, false
		}
		r.stmt(st, p)
	}
}

// A place is where a command stands: at the end, the line fails if it does; its status may
// be that of the line.
type place struct {
	sure        surety
	end, status bool
}

func (p place) without() place { p.status = false; return p }

func (r *reading) stmt(st *syntax.Stmt, at place) {
	if st == nil {
		return
	}
	if st.Negated {
		at.end, at.status = false, false
	}
	if st.Background { // the line may end, and the agent end all of it, before it is executed
		at = place{}
	}
	for _, x := range st.Redirs {
		r.within(x.Word)
		r.within(x.Hdoc)
	}
	switch c := st.Cmd.(type) {
	case *syntax.CallExpr:
		r.call(c, at)
	case *syntax.BinaryCmd:
		r.binary(c, at)
	case *syntax.Block:
		r.stmts(c.Stmts, at)
	case *syntax.Subshell:
		unsure := r.unsure
		r.stmts(c.Stmts, at)
		r.unsure = unsure // what ends a subshell does not end the line
	case *syntax.TimeClause:
		r.stmt(c.Stmt, at)
	case nil:
	default:
		syntax.Walk(c, func(n syntax.Node) bool {
			if call, ok := n.(*syntax.CallExpr); ok {
				r.call(call, place{})
				return false
			}
			return true
		})
	}
}

func (r *reading) binary(c *syntax.BinaryCmd, at place) {
	switch c.Op {
	case syntax.Pipe, syntax.PipeAll:
		unsure := r.unsure
		r.stmt(c.X, place{sure: at.sure})
		if r.pipes {
			at.status = false
		}
		r.stmt(c.Y, at)
		r.unsure = unsure // each is a shell of its own
	case syntax.AndStmt:
		r.stmt(c.X, at.without())
		if at.end && at.sure != maybe {
			at.sure = onSuccess
		} else {
			at.sure = maybe
		}
		r.stmt(c.Y, at)
	default:
		r.stmt(c.X, place{sure: at.sure})
		r.stmt(c.Y, place{})
	}
}

// within finds the commands of substitutions, which may run.
func (r *reading) within(n syntax.Node) {
	if n == nil || n == (*syntax.Word)(nil) {
		return
	}
	syntax.Walk(n, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok {
			r.call(call, place{})
			return false
		}
		return true
	})
}

func (r *reading) call(c *syntax.CallExpr, at place) {
	for _, a := range c.Assigns {
		if a.Value != nil {
			r.within(a.Value)
		}
	}
	var words []word
	for _, w := range c.Args {
		r.within(w)
		words = append(words, wordOf(w))
	}
	if len(words) == 0 || len(r.commands) >= maxCommands {
		return
	}
	if r.unsure {
		at.sure = maybe
	}
	name := words[0]
	if slices.Contains(mayEnd, name.text) || !name.known {
		r.unsure = true
	}
	if !name.known || name.text == "" || builtins[name.text] || r.funcs[name.text] {
		return
	}
	r.commands = append(r.commands, command{name: name.text, args: words[1:], sure: at.sure, last: at.status && at.sure != maybe})
}

// wordOf is the text of a word, where it is known without running anything.
func wordOf(w *syntax.Word) word {
	var b strings.Builder
	for i, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			if strings.ContainsAny(p.Value, "*?[{") || i == 0 && strings.HasPrefix(p.Value, "~") {
				return word{}
			}
			b.WriteString(unescape(p.Value, ""))
		case *syntax.SglQuoted:
			if p.Dollar {
				b.WriteString(shell.ANSI(p.Value))
			} else {
				b.WriteString(p.Value)
			}
		case *syntax.DblQuoted:
			for _, q := range p.Parts {
				l, ok := q.(*syntax.Lit)
				if !ok {
					return word{}
				}
				b.WriteString(unescape(l.Value, "$`\"\\\n"))
			}
		default:
			return word{}
		}
	}
	return word{b.String(), true}
}

// unescape removes the backslashes that quote one of which, or anything if which is empty.
func unescape(s, which string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (which == "" || strings.IndexByte(which, s[i+1]) >= 0) {
			i++
			if s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// shells are the programs that are given lines.
var shells = []string{"sh", "bash", "dash", "zsh", "ash", "ksh"}

// script is the line that argv gives to a shell; ok is false where it gives none.
func script(argv []string) (line string, ok bool) {
	if len(argv) == 0 || !slices.Contains(shells, strings.TrimPrefix(path.Base(argv[0]), "-")) {
		return "", false
	}
	for i, a := range argv[1:] {
		if len(a) < 2 || a[0] != '-' && a[0] != '+' {
			return "", false
		}
		if a[0] == '-' && a[1] != '-' && strings.Contains(a, "c") {
			rest := argv[i+2:]
			for len(rest) > 0 && len(rest[0]) > 1 && rest[0][0] == '-' { // bash -c -l LINE
				rest = rest[1:]
			}
			if len(rest) == 0 {
				return "", false
			}
			return rest[0], true
		}
	}
	return "", false
}

// around is what may stand around a line that a script gives to eval.
var around = strings.Fields("eval source . builtin shopt setopt unalias unset pwd true exit")

// lines are the lines that a shell was given by argv: its script, and what that gives to
// eval, as Claude Code does with the line of a call, or what Gemini CLI put its own words
// around. A script that runs anything besides is
// nothing but itself.
func lines(argv []string) []string {
	s, ok := script(argv)
	if !ok {
		return nil
	}
	if m := geminiShell().FindStringSubmatch(s); m != nil {
		return append([]string{s}, m[1])
	}
	out := []string{s}
	if !strings.Contains(s, "eval") {
		return out
	}
	f, err := shell.Parse(s)
	if err != nil {
		return out
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.FuncDecl:
			ok = false
		case *syntax.CallExpr:
			if len(n.Args) == 0 {
				break
			}
			name := wordOf(n.Args[0])
			ok = ok && name.known && slices.Contains(around, name.text)
			if name.text == "builtin" && len(n.Args) > 1 {
				ok = ok && slices.Contains(around, wordOf(n.Args[1]).text)
			}
			if name.text == "eval" && len(n.Args) == 2 {
				if w := wordOf(n.Args[1]); w.known {
					out = append(out, w.text)
				}
			}
		}
		return true
	})
	if !ok {
		return out[:1]
	}
	return out
}
