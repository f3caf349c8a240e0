package judge

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// output says what a statement prints, as far as that is known. The statement has
// been judged; nothing is noted again.
func (w *walk) output(s *syntax.Stmt, in input) (out input) {
	if !w.spend(1) {
		return input{net: in.net}
	}
	w.quiet++
	left, nets := w.left, w.nets
	defer func() { w.quiet--; w.left, w.nets = left, nets }()
	for _, r := range s.Redirs {
		switch r.Op {
		case syntax.DplOut, syntax.DplIn:
		case syntax.RdrIn:
			in = input{net: in.net}
		case syntax.RdrOut, syntax.AppOut, syntax.RdrClob, syntax.RdrAll, syntax.AppAll:
			if r.N == nil || r.N.Value == "1" {
				return input{}
			}
		default:
			return input{net: in.net}
		}
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		if len(c.Args) == 0 {
			return input{known: true}
		}
		var argv []string
		for _, a := range c.Args {
			w.aside(func() { argv = append(argv, w.fields(a)...) })
		}
		return w.prints(argv, in)
	case *syntax.BinaryCmd:
		if c.Op == syntax.Pipe || c.Op == syntax.PipeAll {
			return w.output(c.Y, w.output(c.X, in))
		}
	}
	return input{net: in.net}
}

// prints says what a command prints.
func (w *walk) prints(argv []string, in input) input {
	out := input{net: in.net}
	if len(argv) == 0 || !shell.Static(argv[0]) || w.state.funcs[argv[0]].body != nil {
		return out
	}
	for _, a := range argv {
		out.net = out.net || shell.FromNet(a) || len(w.state.loads) > 0 && w.state.loads[w.resolve(a)]
	}
	args := argv[1:]
	switch argv[0] {
	case "echo":
		if len(args) > 0 && strings.HasPrefix(args[0], "-") && strings.Trim(args[0][1:], "neE") == "" {
			args = args[1:]
		}
		text := strings.Join(args, " ")
		return input{net: out.net, text: text, known: !strings.Contains(text, "\\"), names: args}
	case "printf":
		if len(args) == 1 && !strings.ContainsAny(args[0], "%\\") {
			return input{net: out.net, text: args[0], known: true, names: args}
		}
		if len(args) > 1 && (args[0] == "%s" || args[0] == "%s\\n" || args[0] == "%s\\0" || args[0] == "%q") {
			return input{net: out.net, text: strings.Join(args[1:], "\n"), known: true, names: args[1:]}
		}
		return out
	case "pwd":
		return input{text: w.state.dir, known: true, names: []string{w.state.dir}}
	case "cat", "tee":
		if len(args) == 0 || argv[0] == "tee" {
			return in
		}
		return out
	case "head", "tail", "sort", "uniq", "shuf", "grep", "egrep", "rg", "tac":
		out.names = w.filtered(argv, in)
		return out
	case "find", "fd", "ls", "git":
		out.names = w.listed(argv)
		return out
	case "true", ":":
		return input{known: true, net: false}
	}
	switch {
	case argv[0] == "basename":
		out.names = []string{string(shell.File)}
	case plainOutput(argv):
		out.names = []string{string(shell.Name)}
	}
	return out
}

// plainOutput says whether a command prints one word without slash, blank or dash: its
// arguments may not say otherwise.
func plainOutput(argv []string) bool {
	switch argv[0] {
	case "nproc", "date", "whoami", "uname", "hostname", "arch", "seq", "id", "wc", "getconf", "tput":
	default:
		return false
	}
	for _, a := range argv[1:] {
		if strings.ContainsAny(a, "/ \t\n\x03\x05\x06") || strings.Contains(a, "%n") || strings.Contains(a, "%t") || strings.HasPrefix(a, "+-") || argv[0] == "wc" && a[0] != '-' {
			return false
		}
		if rest, ok := strings.CutPrefix(a, "+"); ok && !strings.HasPrefix(rest, "%") {
			return false // the text would begin with what the line says
		}
	}
	return true
}

// filtered are the names that a filter without files lets through, or the files that
// grep -l lists.
func (w *walk) filtered(argv []string, in input) []string {
	spec := table.Find(argv[0])
	u := spec.Read(argv[1:])
	if u.Unknown != "" {
		return nil
	}
	files := 0
	for _, e := range spec.Given(u) {
		if e == "read" {
			files++
		}
	}
	if u.Has("-l", "-L", "--files-with-matches", "--files", "--files-without-match") {
		return []string{w.below(".")}
	}
	if files == 0 && len(in.names) > 0 && !u.Has("-o", "--only-matching", "-r", "--replace") {
		return in.names
	}
	return nil
}

// below is a field for files below a folder.
func (w *walk) below(dir string) string {
	if dir == "." || dir == "./" {
		return string(shell.File)
	}
	return strings.TrimSuffix(dir, "/") + "/" + string(shell.File)
}

// listed are the paths that find, fd, ls and git list.
func (w *walk) listed(argv []string) []string {
	switch argv[0] {
	case "find":
		x := findExpression(argv[1:])
		if x.shown {
			return nil
		}
		return x.names(w)
	case "fd":
		return []string{w.below(".")}
	case "ls":
		for _, a := range argv[1:] {
			if isSource(a) {
				return []string{a}
			}
			if !strings.HasPrefix(a, "-") {
				return []string{w.below(a)}
			}
		}
		return []string{w.below(".")}
	}
	return w.gitLists(argv[1:])
}

// gitLists are the paths, or the one word, that a git command prints.
func (w *walk) gitLists(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	safe := true
	for _, a := range args[1:] {
		safe = safe && shell.Static(a) && !strings.ContainsAny(a, "/ \t\n")
	}
	has := func(names ...string) bool {
		for _, a := range args[1:] {
			for _, n := range names {
				if a == n {
					return true
				}
			}
		}
		return false
	}
	switch args[0] {
	case "ls-files":
		return w.pathspecs(args[1:])
	case "grep":
		if has("-l", "-L", "--name-only", "--files-with-matches", "--files-without-match") {
			return []string{string(shell.File)}
		}
	case "diff":
		if has("--name-only") {
			return []string{string(shell.File)}
		}
	case "show", "log":
		if has("--name-only") && has("--format=", "--pretty=", "--pretty=format:", "--pretty=tformat:") {
			return []string{string(shell.File)}
		}
	case "rev-parse":
		if has("--show-toplevel") {
			return []string{w.judge.context.Dir}
		}
		if safe && has("HEAD") && !slices.ContainsFunc(args[1:], func(a string) bool { return a != "HEAD" && !strings.HasPrefix(a, "-") }) {
			return []string{string(shell.Name)}
		}
	case "describe", "branch", "merge-base":
		if safe {
			return []string{string(shell.Name)}
		}
	}
	return nil
}

// pathspecs are the paths that git ls-files prints for its operands.
func (w *walk) pathspecs(args []string) []string {
	var out []string
	for _, a := range args {
		first, last := strings.IndexAny(a, "*?[\x01\x02"), strings.LastIndexAny(a, "*?]\x01\x02")
		switch {
		case strings.HasPrefix(a, "--format"):
			return nil
		case a == "" || a[0] == ':' || strings.HasPrefix(a, "-") && strings.ContainsAny(a, "xXE") || strings.HasPrefix(a, "--ex") || shell.Unknown(a):
			return []string{string(shell.File)}
		case a[0] == '-':
		case first >= 0:
			out = append(out, a[:first]+string(shell.File)+a[last+1:])
		case isSource(a):
			out = append(out, a)
		default:
			out = append(out, w.below(a))
		}
	}
	if len(out) == 0 || len(out) > maxRounds {
		return []string{string(shell.File)}
	}
	return out
}
