package judge

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// A findUse is an expression of find.
type findUse struct {
	roots    []string
	patterns []string   // of -name and its like
	commands [][]string // of -exec and its like
	there    []bool     // whether a command runs in the folder of what was found
	writes   []string
	reads    []string
	deletes  bool
	shown    bool   // prints something else than names
	odd      string // what is not known
}

// findArity is how many arguments a test or action of find takes.
func findArity(word string) (int, bool) {
	switch word {
	case "-name", "-iname", "-path", "-ipath", "-wholename", "-iwholename", "-regex", "-iregex", "-lname", "-ilname",
		"-type", "-xtype", "-size", "-mtime", "-atime", "-ctime", "-mmin", "-amin", "-cmin", "-newer", "-anewer", "-cnewer", "-perm", "-user", "-group", "-uid", "-gid",
		"-links", "-inum", "-samefile", "-maxdepth", "-mindepth", "-fstype", "-used", "-printf", "-regextype", "-context", "-D", "-newermt", "-newerat", "-newerct", "-newermm", "-files0-from":
		return 1, true
	case "-print", "-print0", "-ls", "-prune", "-quit", "-empty", "-executable", "-readable", "-writable", "-true", "-false", "-nouser", "-nogroup", "-daystart", "-depth", "-d",
		"-follow", "-mount", "-xdev", "-noleaf", "-ignore_readdir_race", "-noignore_readdir_race", "-warn", "-nowarn", "-not", "-and", "-or", "-a", "-o", "!", "(", ")", ",", "-H", "-L", "-P", "-help", "--help", "-version", "--version", "-E", "-X", "-s", "-x":
		return 0, true
	}
	return 0, strings.HasPrefix(word, "-O")
}

// findExpression reads the arguments of find.
func findExpression(args []string) findUse {
	var x findUse
	i := 0
	for ; i < len(args); i++ {
		a := args[i]
		if a == "-H" || a == "-L" || a == "-P" || strings.HasPrefix(a, "-O") {
			continue
		}
		if a == "" || a[0] == '-' || a == "!" || a == "(" || a == ")" || a == "," {
			break
		}
		if shell.MayBeOption(a) {
			x.odd = a
		}
		x.roots = append(x.roots, a)
	}
	for ; i < len(args); i++ {
		i = x.step(args, i)
	}
	if len(x.roots) == 0 {
		x.roots = []string{"."}
	}
	return x
}

// step reads one test or action, and returns the index of its last argument.
func (x *findUse) step(args []string, i int) int {
	a := args[i]
	next := ""
	if i+1 < len(args) {
		next = args[i+1]
	}
	switch a {
	case "-exec", "-execdir", "-ok", "-okdir":
		end := i + 1
		for end < len(args) && args[end] != ";" && (args[end] != "+" || args[end-1] != "{}") {
			end++
		}
		x.commands = append(x.commands, args[i+1:min(end, len(args))])
		x.there = append(x.there, strings.HasSuffix(a, "dir"))
		return end
	case "-delete":
		x.deletes = true
	case "-fprint", "-fprint0", "-fls":
		x.writes = append(x.writes, next)
		return i + 1
	case "-fprintf":
		x.writes = append(x.writes, next)
		return i + 2
	case "-files0-from":
		x.reads, x.odd = append(x.reads, next), a
		return i + 1
	case "-name", "-iname", "-path", "-ipath", "-wholename":
		x.patterns = append(x.patterns, next)
		return i + 1
	}
	x.shown = x.shown || a == "-printf" || a == "-ls"
	n, ok := findArity(a)
	if !ok && x.odd == "" {
		x.odd = a
	}
	return i + n
}

// names are fields for what is found: the roots with any file below, or with the one
// name that is asked for.
func (x *findUse) names(w *walk) []string {
	var out []string
	for _, r := range x.roots {
		f := w.below(r)
		if len(x.patterns) == 1 && !strings.Contains(x.patterns[0], "/") {
			f = strings.TrimSuffix(r, "/") + "/" + string(shell.File) + "/" + globbed(x.patterns[0])
		}
		out = append(out, f)
	}
	return out
}

// globbed is a pattern of find as a field. Its star matches a leading dot.
func globbed(p string) string {
	p = strings.ReplaceAll(strings.ReplaceAll(p, "*", string(shell.File)), "?", string(shell.One))
	if i := strings.IndexByte(p, '['); i >= 0 {
		p = p[:i] + string(shell.File)
	}
	return p
}

// findCommand judges find: what it runs, removes and writes.
func findCommand(w *walk, c *cmd, _ *table.Use) bool {
	x := findExpression(c.args)
	if x.odd != "" {
		w.ask(guardOption, "a part of find's expression that is not known: "+shell.Show(x.odd))
	}
	for _, f := range x.reads {
		w.read(f, false)
	}
	for _, f := range x.writes {
		w.write(f)
	}
	if x.deletes {
		w.inner(append([]string{"rm", "-r", "--"}, x.roots...))
	}
	names := x.names(w)
	dir := w.state.dir
	for k, argv := range x.commands {
		if len(argv) == 0 {
			w.ask(guardShape, "find runs a command that is missing")
			continue
		}
		for i, n := range names {
			if x.there[k] {
				w.state.dir = w.resolve(w.below(x.roots[i]))
			}
			w.inner(replaced(argv, n))
			w.state.dir = dir
		}
	}
	return true
}

// replaced is a command with what was found in the place of {}.
func replaced(argv []string, found string) []string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = strings.ReplaceAll(a, "{}", found)
	}
	return out
}

// fdCommand judges fd: -x and -X run the rest of the line up to a semicolon.
func fdCommand(w *walk, c *cmd, _ *table.Use) bool {
	var paths []string
	pattern := false
	for i := 0; i < len(c.args); i++ {
		a := c.args[i]
		name, glued, has := strings.Cut(a, "=")
		switch {
		case isExec(a) || has && isExec(name):
			argv := c.args[i+1:]
			if has {
				argv = append([]string{glued}, argv...)
			} else if len(a) > 2 && a[1] != '-' && a[len(a)-1] != 'x' && a[len(a)-1] != 'X' {
				argv = append([]string{a[strings.IndexAny(a, "xX")+1:]}, argv...)
			}
			if end := slices.Index(argv, ";"); end >= 0 {
				argv = argv[:end]
			}
			w.fdRuns(argv, paths)
			return true
		case shell.MayBeOption(a):
			w.ask(guardOption, "an option of fd that is not known")
		case slices.Contains([]string{"-e", "-E", "-t", "-d", "-S", "-c", "-j", "-o", "--extension", "--exclude", "--type", "--max-depth", "--min-depth", "--exact-depth", "--size", "--color", "--threads", "--owner", "--changed-within", "--changed-before", "--and", "--format", "--base-directory", "--search-path", "-C", "--ignore-file", "--max-results", "--batch-size"}, a):
			i++
		case strings.HasPrefix(a, "-"):
		case !pattern:
			pattern = true
		default:
			paths = append(paths, a)
		}
	}
	return true
}

// isExec says whether an option of fd is -x or -X, bundled, glued or abbreviated.
func isExec(a string) bool {
	if strings.HasPrefix(a, "--") {
		return len(a) > 4 && (strings.HasPrefix("--exec-batch", a) || a == "--exec")
	}
	if len(a) < 2 || a[0] != '-' {
		return false
	}
	for i := 1; i < len(a); i++ {
		switch a[i] {
		case 'x', 'X':
			return true
		case 'e', 'E', 't', 'd', 'S', 'c', 'j', 'o', 'C':
			return false // takes the rest
		}
	}
	return false
}

func (w *walk) fdRuns(argv, paths []string) {
	if len(argv) == 0 {
		w.ask(guardShape, "fd runs a command that is missing")
		return
	}
	found := w.below(".")
	if len(paths) > 0 {
		found = w.below(paths[0])
	}
	out := replaced(argv, found)
	if slices.Equal(out, argv) {
		out = append(out, found)
	}
	w.inner(out)
}
