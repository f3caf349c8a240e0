package judge

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/place"
	"github.com/belljar-dev/belljar/judge/internal/program"
	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// A handler judges what the words of a table cannot say. It returns true when it has
// judged the operands, too.
type handler func(w *walk, c *cmd, u *table.Use) bool

func nothing(*walk, *cmd, *table.Use) bool { return false }

// special calls the handler of a command.
func (w *walk) special(c *cmd, u *table.Use) bool {
	h := handlerOf(c.spec.Handler)
	return h != nil && h(w, c, u)
}

// askedCommand is a subcommand that is asked for even where a rule allows its family.
func askedCommand(w *walk, c *cmd, _ *table.Use) bool {
	w.ask(guardOption, c.spec.Name+" is asked for")
	return false
}

// testCommand: -v and -R evaluate the subscript of a name.
func testCommand(w *walk, c *cmd, _ *table.Use) bool {
	for i, a := range c.args {
		if (a == "-v" || a == "-R") && i+1 < len(c.args) {
			w.name(c.args[i+1])
		}
		if shell.MayBeOption(a) && i+1 < len(c.args) && strings.Contains(c.args[i+1], "[") && len(c.args[i+1]) > 1 {
			w.name(c.args[i+1])
		}
	}
	return true
}

// printfCommand: -v sets a variable.
func printfCommand(w *walk, c *cmd, _ *table.Use) bool {
	if len(c.args) < 2 {
		return true
	}
	name := ""
	switch a := c.args[0]; {
	case a == "-v":
		name = c.args[1]
	case strings.HasPrefix(a, "-v"):
		name = a[2:]
	case shell.MayBeOption(a) && shell.Static(c.args[1]) && strings.Contains(c.args[1], "["):
		name = c.args[1]
	default:
		return true
	}
	w.name(name)
	w.set(name)
	return true
}

// set judges that a builtin gives a variable a value that is not known.
func (w *walk) set(name string) {
	if !shell.Static(name) {
		w.ask(guardDynamic, "the name of a variable that is computed")
		return
	}
	name, _, _ = strings.Cut(name, "[")
	if isIdentifier(name) {
		mark := string(shell.Any)
		if w.input.net {
			mark = string(shell.Net)
		}
		w.assign(name, scalar(mark))
	}
}

// dateCommand: without a + an operand sets the clock.
func dateCommand(w *walk, _ *cmd, u *table.Use) bool {
	for _, o := range u.Operands {
		if !strings.HasPrefix(o, "+") && !shell.Unknown(o) {
			w.ask(guardOption, "date sets the clock")
		}
	}
	return true
}

// intoCommand: what is copied into a folder keeps its name.
func intoCommand(w *walk, c *cmd, u *table.Use) bool {
	dest, ok := u.Value("-t", "--target-directory")
	sources := u.Operands
	if !ok {
		if len(sources) < 2 {
			return false
		}
		dest, sources = sources[len(sources)-1], sources[:len(sources)-1]
	}
	for _, s := range sources {
		if b := path.Base(s); b != "." && b != "/" && b != ".." {
			w.into(path.Join(dest, b))
		}
		if recursion(u) {
			w.tree(s)
		}
		if w.state.loads[w.resolve(s)] {
			w.state.load(w.resolve(dest))
			w.state.load(w.resolve(path.Join(dest, path.Base(s))))
		}
	}
	if u.Has("-s", "-l", "--symbolic-link", "--link") && c.name == "cp" {
		for _, s := range sources {
			w.state.link(w.resolve(dest), w.resolve(s))
		}
	}
	return false
}

// into judges only whether a file would control other programs: the folder itself has
// been judged.
func (w *walk) into(field string) {
	p := w.resolve(field)
	if place.Bounded(p) && w.judge.control.Has(p) == place.Yes {
		w.deny(guardControl, "writes what controls other programs: "+shell.Show(p))
	}
}

// linkCommand: a link gives what it points to another name.
func linkCommand(w *walk, c *cmd, u *table.Use) bool {
	ops := u.Operands
	dest, ok := u.Value("-t", "--target-directory")
	switch {
	case ok:
	case len(ops) == 1:
		dest = "."
	case len(ops) > 1:
		dest, ops = ops[len(ops)-1], ops[:len(ops)-1]
	}
	symbolic := u.Has("-s", "--symbolic")
	var links [][2]string
	for _, o := range ops {
		target := w.resolve(o)
		at := w.resolve(dest)
		if symbolic && !strings.HasPrefix(o, "/") {
			target = place.Clean(o, path.Dir(at))
		}
		w.read(target, false)
		w.tree(target)
		if !shell.Static(target) {
			w.ask(guardDynamic, "a link to what is not known")
		}
		links = append(links, [2]string{at, target}, [2]string{path.Join(at, path.Base(target)), target})
		if w.judge.control.Has(target) == place.Yes {
			w.ask(guardControl, "another name for what controls other programs: "+shell.Show(target))
		}
		w.into(path.Join(dest, path.Base(o)))
	}
	w.write(dest)
	for _, l := range links {
		w.state.link(l[0], l[1])
	}
	return true
}

// shredCommand destroys what it names: as bad as a recursive removal.
func shredCommand(w *walk, _ *cmd, u *table.Use) bool {
	for _, o := range u.Operands {
		w.remove(o, true)
		if strings.HasPrefix(w.resolve(o), "/dev/") {
			w.deny(guardDevice, "overwrites a device")
		}
	}
	return true
}

// chmodCommand: s gives a program the rights of its owner.
func chmodCommand(w *walk, _ *cmd, u *table.Use) bool {
	if len(u.Operands) == 0 {
		return true
	}
	mode := u.Operands[0]
	digits := strings.TrimLeft(mode, "0=+-")
	n, err := strconv.ParseUint(digits, 8, 32)
	if err == nil && n&0o6000 != 0 || err != nil && strings.Contains(mode, "s") && !u.Has("--reference") {
		w.deny(guardSetuid, "gives a program the rights of its owner")
	}
	return false
}

// ddCommand: if= is read, of= is written.
func ddCommand(w *walk, c *cmd, _ *table.Use) bool {
	for _, a := range c.args {
		key, v, ok := strings.Cut(a, "=")
		switch {
		case !shell.Static(key):
			w.ask(guardDynamic, "an operand of dd that is computed")
		case ok && key == "if":
			w.read(v, false)
		case ok && key == "of":
			w.write(v)
		}
	}
	return true
}

// piecesCommand: the second operand is the beginning of names.
func piecesCommand(w *walk, c *cmd, u *table.Use) bool {
	if c.name != "split" {
		for i, o := range u.Operands {
			if i == 0 {
				w.read(o, false)
			}
		}
		return true
	}
	return false
}

// awkCommand judges a program of awk.
func awkCommand(w *walk, c *cmd, u *table.Use) bool {
	var texts []string
	for _, s := range u.Settings {
		if s.Effect == "awk" {
			texts = append(texts, s.Value)
		}
		if s.Name == "-W" && !slices.Contains([]string{"posix", "compat", "traditional", "version", "lint"}, s.Value) {
			w.ask(guardOption, "an option of awk by -W")
		}
		if s.Effect == "code" && strings.HasPrefix(s.Value, "inplace") {
			w.ask(guardOption, "awk writes the files that it reads")
		}
	}
	for i, e := range c.spec.Given(u) {
		if e == "awk" {
			texts = append(texts, u.Operands[i])
			continue
		}
		o := u.Operands[i]
		if name, _, ok := strings.Cut(o, "="); ok && isIdentifier(name) {
			continue
		}
		w.read(o, false)
	}
	for _, t := range texts {
		w.deeds("a program of awk", program.Awk(t))
	}
	return true
}

// jqCommand: a filter can neither run nor write, but import reads files.
func jqCommand(w *walk, c *cmd, u *table.Use) bool {
	for i, e := range c.spec.Given(u) {
		if o := u.Operands[i]; e == "value" && (strings.Contains(o, "import") || strings.Contains(o, "include")) && strings.Contains(o, `"`) {
			w.ask(guardOption, "a filter of jq that imports a file")
		} else if e == "value" && namesEnvironment(o) {
			w.ask(guardOption, "a filter of jq that prints the environment")
		}
	}
	return false
}

// namesEnvironment says whether a filter of jq holds $ENV or env, which is neither a key
// nor text.
func namesEnvironment(filter string) bool {
	for from := 0; ; {
		i := strings.Index(filter[from:], "env")
		if i < 0 {
			return strings.Contains(filter, "$ENV")
		}
		i += from
		from = i + 3
		if (i == 0 || !wordOrKey(filter[i-1])) && (from == len(filter) || !wordOrKey(filter[from]) || filter[from] == '.') {
			return true
		}
	}
}

// wordOrKey says whether a byte before or after a word makes it another word, a key or text.
func wordOrKey(c byte) bool {
	return c == '_' || c == '.' || c == '$' || c == '"' || c == '-' || c == '@' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// sedCommand judges a script of sed; with -i the files are written.
func sedCommand(w *walk, c *cmd, u *table.Use) bool {
	var texts []string
	for _, s := range u.Settings {
		if s.Effect == "sed" {
			texts = append(texts, s.Value)
		}
	}
	in := u.Has("-i", "--in-place")
	if v, ok := u.Value("-i", "--in-place"); ok && strings.Contains(v, "/") {
		w.ask(guardOption, "copies go to another folder")
	}
	for i, e := range c.spec.Given(u) {
		o := u.Operands[i]
		if e == "sed" {
			texts = append(texts, o)
			continue
		}
		w.read(o, false)
		if in {
			w.write(o)
		}
	}
	w.deeds("a script of sed", sedScript(strings.Join(texts, "\n")))
	return true
}

// sedScript judges a script whose unknown parts are text of a substitution: they may
// end it, so that the script is a question, but what is known is judged.
func sedScript(text string) []program.Deed {
	if shell.Static(text) || shell.Unknown(text) {
		return program.Sed(text)
	}
	// What is left unknown is the text of names and numbers: no delimiter, no newline.
	return program.Sed(strings.Map(func(r rune) rune {
		if r >= shell.Star && r <= shell.Net {
			return '1'
		}
		return r
	}, text))
}
