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
// called, its first argument; by each as it is, where it is a path, and by its last part. Words are compared as [Judge.Line] does, options before a
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
		if path.IsAbs(n) {
			x.words(append([]string{n}, args...)) // a rule may name a file
		}
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
	x.words(append([]string{name}, args...))
	if sub, ok := strings.CutPrefix(name, "git-"); ok && sub != "" { // of git's own folder
		x.words(append([]string{"git", sub}, args...))
	}
}

// words judges a command by its words: as they are, with the options before a subcommand
// left out, and, since which options have a value is not known of all programs, without
// any option, with and without the words behind them.
func (x *execve) words(raw []string) {
	forms := [][]string{raw}
	for _, values := range []bool{false, true} {
		if f := withoutOptions(raw, values); len(f) > 1 { // an operand is left
			forms = append(forms, f)
		}
	}
	if s := table.Find(raw[0]); s != nil && s.Subs != nil {
		if u := s.Read(raw[1:]); len(u.Operands) > 0 {
			forms = append(forms, append([]string{raw[0]}, u.Operands...))
		}
	}
	for _, v := range []Verdict{Deny, Ask} {
		if v <= x.Verdict {
			return
		}
		r := x.judge.rules[v].find(raw[0], func(p pattern.Pattern) bool {
			return slices.ContainsFunc(forms, func(words []string) bool { return x.match(p, words) })
		})
		if r != nil {
			x.Finding = ruled(v, r, [...]string{Ask: "the policy wants it to be asked", Deny: "the policy denies it"}[v])
			x.Part = shorten(strings.TrimSuffix(strings.Join(raw, " "), missing))
		}
	}
}

// withoutOptions is a command without its options up to its first operand, which values says
// to look for behind values of options.
func withoutOptions(words []string, values bool) []string {
	i := 1
	for i < len(words) && len(words[i]) > 1 && words[i][0] == '-' {
		if values && !strings.Contains(words[i], "=") {
			i++
		}
		i++
	}
	return append([]string{words[0]}, words[min(i, len(words)):]...)
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
		x.script(s, args, depth)
	case s.Name == "busybox" || s.Name == "toybox" || s.Name == "ld.so":
		if u := s.Read(args); len(u.Operands) > 0 {
			x.names(u.Operands[:1], u.Operands[1:], depth)
		}
	}
}

// script judges the script that an interpreter is given: its first operand, or, since which
// options have a value is not known of all interpreters, also the one behind an option.
// Code that stands in an argument is no script.
func (x *execve) script(s *table.Spec, args []string, depth int) {
	code, python := codeOptions(s)
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "" || a[0] != '-' || a == "-" {
			x.names([]string{a}, args[i+1:], depth)
			if i == 0 || !strings.HasPrefix(args[i-1], "-") {
				return
			}
			continue
		}
		switch group := strings.TrimPrefix(a, "-"); {
		case group[0] == '-':
			if a == "--eval" || a == "--print" {
				return
			}
		case python && strings.Contains(group, "m"):
			module := group[strings.Index(group, "m")+1:]
			if module == "" && i+1 < len(args) {
				i++
				module = args[i]
			}
			x.names([]string{module}, args[i+1:], depth)
			return
		case strings.ContainsAny(group, code):
			return
		}
	}
}

// codeOptions are the letters of options behind which code stands; python says that m has
// a module behind it.
func codeOptions(s *table.Spec) (letters string, python bool) {
	switch {
	case s.Handler == "shell", strings.HasPrefix(s.Name, "python"), strings.HasPrefix(s.Name, "pypy"), s.Name == "fish", s.Name == "csh", s.Name == "tcsh":
		return "c", strings.HasPrefix(s.Name, "py")
	case s.Name == "perl":
		return "eE", false
	case s.Name == "node", s.Name == "nodejs", s.Name == "bun", s.Name == "deno":
		return "ep", false
	}
	return "e", false
}
