package judge

import (
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/program"
	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// apply judges the options and operands of a command by its table, unless its handler
// knows better.
func (w *walk) apply(c *cmd, u *table.Use) {
	dir := w.state.dir
	w.settings(c.spec, u)
	if !w.special(c, u) {
		places := c.spec.Given(u)
		recursive := recursion(u)
		for i, o := range u.Operands {
			w.effect(use{c.spec, places[i], o, c.spec.Name, recursive})
		}
		if c.spec.Wrap >= 0 && len(u.Operands) > c.spec.Wrap {
			w.inner(u.Operands[c.spec.Wrap:])
		}
	}
	switch c.spec.Handler {
	case "chdir", "eval", "source", "lookup", "trap":
	default:
		w.state.dir = dir
	}
}

func recursion(u *table.Use) bool {
	for _, s := range u.Settings {
		if s.Effect == "recurse" {
			return true
		}
	}
	return false
}

// settings judges the options of a command.
func (w *walk) settings(spec *table.Spec, u *table.Use) {
	if u.Unknown != "" {
		w.ask(guardOption, "an option of "+spec.Name+" that is not known: "+shell.Show(u.Unknown))
	}
	for _, s := range u.Settings {
		if s.Effect == "flag" || s.Effect == "value" {
			continue
		}
		w.effect(use{spec, s.Effect, s.Value, spec.Name + " " + s.Name, false})
	}
}

// A use is one option or operand with its effect.
type use struct {
	spec      *table.Spec
	effect    string
	value     string
	what      string // for people
	recursive bool
}

// effect judges one option or operand.
func (w *walk) effect(u use) {
	switch u.effect {
	case "read":
		w.read(u.value, u.spec.Quiet)
		if u.recursive {
			w.tree(u.value)
		}
	case "write":
		w.write(u.value)
	case "output":
		w.ask(guardOption, u.what+" writes a file")
		w.write(u.value)
	case "download":
		w.write(u.value)
		w.state.load(w.resolve(u.value))
	case "delete":
		w.remove(u.value, u.recursive)
	case "move":
		w.read(u.value, false)
		w.write(u.value)
	case "exec", "prog":
		w.option(u)
	case "line":
		w.runs(u)
	case "ask":
		w.ask(guardOption, u.what+" is asked for")
	case "inside":
		w.within(u.value, u.what)
	case "force":
		w.deny(guardForce, u.what+" rewrites or deletes what others have")
	case "chdir":
		w.state.dir = w.resolve(u.value)
	case "url":
		w.address(u.value)
	case "data":
		if _, file, ok := strings.Cut(u.value, "@"); ok {
			w.read(file, false)
		}
	case "form":
		if _, file, ok := strings.Cut(u.value, "="); ok && file != "" && (file[0] == '@' || file[0] == '<') {
			file, _, _ = strings.Cut(file[1:], ";")
			w.read(file, false)
		}
	case "code":
		w.ask(guardOption, u.what+" runs a program from a file")
		w.code(u.value)
	case "lines":
		w.read(u.value[strings.LastIndexByte(u.value, ':')+1:], false)
	case "rev":
		w.revision(u.value)
	case "config":
		w.config(u.value)
	case "remote":
		w.remote(u.value)
	case "setenv":
		if name, v, ok := strings.Cut(u.value, "="); ok {
			w.environ(name, v)
		}
	}
}

// option judges an option that runs a program: a question at least.
func (w *walk) option(u use) {
	w.ask(guardOption, u.what+" runs a program")
	w.literal(u.value)
}

// runs judges an option or operand that is a shell line.
func (w *walk) runs(u use) {
	w.ask(guardOption, u.what+" runs a shell line")
	w.literal(u.value)
}

// literal judges a text that is run as a shell line aside. Text that is not known
// is a question, and text from the network is denied; what is known of it is judged.
func (w *walk) literal(text string) {
	if shell.FromNet(text) {
		w.deny(guardNet, "runs text that came from the network")
		return
	}
	if !shell.Static(text) {
		w.ask(guardDynamic, "a shell line that is computed")
		text = blanked(text)
	}
	if strings.TrimSpace(text) == "" {
		return
	}
	in := w.input
	w.aside(func() { w.line(text) })
	w.input = in
}

// blanked is a text whose unknown parts are a variable that nobody sets.
func blanked(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= shell.Star && c <= shell.Net {
			b.WriteString("${__}")
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// inner judges the command that a wrapper runs: a program, never a function.
func (w *walk) inner(argv []string) {
	external := w.external
	w.external = true
	w.aside(func() { w.run(argv) })
	w.external = external
}

// code judges that a file is run by a shell or an interpreter.
func (w *walk) code(file string) {
	w.read(file, false)
	if shell.FromNet(file) || w.state.loads[w.resolve(file)] || w.input.net && (file == "-" || file == "/dev/stdin" || file == "/proc/self/fd/0" || file == "/dev/fd/0") {
		w.deny(guardNet, "runs code that came from the network: "+shell.Show(file))
	}
}

// address judges an address that a network tool is given.
func (w *walk) address(u string) {
	lower := strings.ToLower(u)
	if rest, ok := strings.CutPrefix(lower, "file:"); ok {
		p := u[len(u)-len(rest):]
		if rest, ok := strings.CutPrefix(p, "//"); ok {
			_, after, _ := strings.Cut(rest, "/")
			p = "/" + after
		}
		w.read(p, false)
	}
}

// deeds judges what a program in another language does.
func (w *walk) deeds(what string, deeds []program.Deed) {
	for _, d := range deeds {
		switch d.Kind {
		case program.Run:
			w.ask(guardOption, what+" runs a command")
			w.literal(d.Text)
		case program.Read:
			w.read(d.Text, false)
		case program.Write:
			w.write(d.Text)
		case program.Unknown:
			w.ask(guardDynamic, what+": "+d.Text)
		}
	}
}
