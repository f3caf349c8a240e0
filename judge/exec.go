package judge

import (
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/judge/internal/table"
	"github.com/belljar-dev/belljar/judge/pattern"
)

// Exec judges one execve by the rules that ask or deny: what a program is about to run,
// as the kernel tells it. Everything else is allowed: a rule that allows, and what is
// asked because no rule allows it, are about what an agent runs, not about what its
// programs run; and guards are about lines.
//
// A rule matches by each name that the program goes by: its file, the path by which it was
// called, its first argument. Words are compared as [Judge.Line] does, options before a
// subcommand left out. Of a program that is run by one that interprets it, the command is
// that of the script (node /usr/bin/npm run x is npm run x); of several programs in one file
// it is the one that runs.
//
// # Limitations
//
// A program is what it is called. A copy under another name, and what an interpreter
// does on its own, are not recognised.
func (j *Judge) Exec(e *belljar.ExecEvent) Finding {
	x := execve{judge: j, cut: e.Truncated > 0}
	var args []string
	names := []string{e.Path, e.Called}
	if len(e.Argv) > 0 {
		names = append(names, strings.TrimPrefix(e.Argv[0], "-")) // a login shell's
		args = e.Argv[1:]
	}
	if x.cut {
		args = append(slices.Clip(args), missing)
	}
	x.names(names, args, maxDepthExec)
	return x.Finding
}

// missing stands for arguments that were cut off: no argument holds a NUL.
const missing = "\x00"

// maxDepthExec bounds interpreters of interpreters.
const maxDepthExec = 3

// An execve keeps the strictest finding.
type execve struct {
	Finding
	judge *Judge
	cut   bool // arguments are missing at the end
}

func (x *execve) names(names, args []string, depth int) {
	var seen []string
	for _, n := range names {
		base := path.Base(n)
		if n == "" || slices.Contains(seen, base) {
			continue
		}
		seen = append(seen, base)
		x.command(base, args)
		if depth > 0 {
			x.inner(n, base, args, depth-1)
		}
	}
}

// command judges a program by its bare name.
func (x *execve) command(name string, args []string) {
	raw := append([]string{name}, args...)
	canonical := raw
	if s := table.Find(name); s != nil && s.Subs != nil {
		if u := s.Read(args); len(u.Operands) > 0 {
			canonical = append([]string{name}, u.Operands...)
		}
	}
	for _, v := range []Verdict{Deny, Ask} {
		if v <= x.Verdict {
			return
		}
		r := x.judge.rules[v].find(name, func(p pattern.Pattern) bool { return x.match(p, canonical) || x.match(p, raw) })
		if r != nil {
			x.Finding = ruled(v, r, [...]string{Ask: "the policy wants it to be asked", Deny: "the policy denies it"}[v])
			x.Part = shorten(strings.TrimSuffix(strings.Join(raw, " "), missing))
		}
	}
}

// match says whether words match; where the last ones are missing, whether they may.
func (x *execve) match(p pattern.Pattern, words []string) bool {
	if !x.cut {
		return p.Match(words)
	}
	return p.MayMatch(words, func(s string) bool { return s == missing })
}

// inner judges what a program runs in its own process: scripts, applets.
func (x *execve) inner(name, base string, args []string, depth int) {
	if isLoader(name) {
		base = "ld.so"
	}
	s := table.Find(base)
	if s == nil {
		if s = table.Find(strings.TrimRight(base, "0123456789.-")); s == nil {
			return
		}
	}
	switch {
	case s.Handler == "interpreter" || s.Handler == "shell":
		x.script(args, depth)
	case s.Name == "busybox" || s.Name == "toybox" || s.Name == "ld.so":
		if u := s.Read(args); len(u.Operands) > 0 {
			x.names(u.Operands[:1], u.Operands[1:], depth)
		}
	}
}

// script judges the script that an interpreter is given. Which option has a value is not
// known of all of them: the operand behind one may be a value or the script.
func (x *execve) script(args []string, depth int) {
	for i, a := range args {
		module := i > 0 && args[i-1] == "-m" // of Python
		operand := a != "" && a[0] != '-'
		if !operand {
			continue
		}
		x.names([]string{a}, args[i+1:], depth)
		if behind := i > 0 && args[i-1] != "" && args[i-1][0] == '-'; !behind || module {
			return
		}
	}
}
