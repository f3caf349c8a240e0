package judge

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/belljar-dev/belljar/judge/internal/place"
	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// call judges a simple command with its assignments.
func (w *walk) call(c *syntax.CallExpr) {
	if len(c.Args) == 0 {
		for _, a := range c.Assigns {
			w.assignment(a)
		}
		if len(c.Assigns) > 0 {
			w.note(Finding{Allow, "sets variables", "", w.part})
		}
		return
	}
	for _, a := range c.Assigns {
		if a.Name.Value == "IFS" && c.Args[0].Lit() == "read" {
			w.value(a.Value) // how one line is cut, and nothing else
			continue
		}
		w.prefix(a)
	}
	var argv []string
	for _, a := range c.Args {
		argv = append(argv, w.fields(a)...)
		if len(argv) > maxCommands {
			w.ask(guardShape, "too many arguments")
			return
		}
	}
	w.run(argv)
}

// prefix judges NAME=VALUE before a command: it does not stay.
func (w *walk) prefix(a *syntax.Assign) {
	if a.Index != nil || a.Array != nil || a.Append {
		w.assignment(a)
		return
	}
	w.environ(a.Name.Value, w.value(a.Value))
}

// A cmd is one command that is judged.
type cmd struct {
	spec  *table.Spec // nil when the program is not known
	name  string      // bare name
	args  []string    // without the name
	words []string    // as rules see it
	plain bool        // the name means the program that the tables know
}

// run judges a command by its arguments, the name first.
func (w *walk) run(argv []string) {
	if w.left--; w.left < 0 {
		if w.left == -1 {
			w.ask(guardShape, "too many commands")
		}
		return
	}
	size := len(argv) / 4
	for _, a := range argv {
		size += len(a) / 256
	}
	if !w.spend(1 + size) {
		return
	}
	if len(argv) == 0 {
		w.note(Finding{Allow, "nothing is run", "", w.part})
		return
	}
	if !shell.Static(argv[0]) || argv[0] == "" {
		w.computed(argv)
		return
	}
	if w.callFunc(argv) {
		return
	}
	c := w.resolveCommand(argv)
	w.judgeCommand(c, argv)
}

// computed judges a command whose name is not known.
func (w *walk) computed(argv []string) {
	if shell.FromNet(argv[0]) {
		w.deny(guardNet, "a command that came from the network")
		return
	}
	w.ask(guardDynamic, "the name of a command is computed: "+shell.Show(argv[0]))
	if shell.MayBeOption(argv[0]) && len(argv) > 1 && shell.Static(argv[1]) {
		// The unknown part may be nothing, or a wrapper: then the rest is the command.
		w.aside(func() { w.run(argv[1:]) })
	}
}

// resolveCommand finds the table of a command, through its subcommands.
func (w *walk) resolveCommand(argv []string) *cmd {
	c := &cmd{name: argv[0], args: argv[1:], plain: true}
	if strings.Contains(c.name, "/") {
		w.byPath(c)
	}
	c.spec = table.Find(c.name)
	if c.spec == nil {
		if short := strings.TrimRight(c.name, "0123456789.-"); short != "" && short != c.name {
			c.spec = table.Find(short)
		}
	}
	c.words = append([]string{c.name}, c.args...)
	return c
}

// byPath judges a program that is named by its path.
func (w *walk) byPath(c *cmd) {
	p := w.resolve(c.name)
	c.name = path.Base(p)
	switch {
	case w.state.loads[p]:
		w.deny(guardNet, "a program that came from the network: "+shell.Show(p))
		c.plain = false
	case slices.Contains(w.judge.context.Programs, path.Dir(p)):
	case isLoader(p):
		c.name = "ld.so"
	default:
		w.ask(guardProgram, "a program by a path that is not trusted: "+shell.Show(p))
		c.plain = false
	}
}

func isLoader(p string) bool {
	return strings.HasPrefix(p, "/lib") && strings.HasPrefix(path.Base(p), "ld-") || strings.HasPrefix(p, "/usr/lib") && strings.HasPrefix(path.Base(p), "ld-")
}

// judgeCommand judges a command by the rules, its table and its handler.
func (w *walk) judgeCommand(c *cmd, raw []string) {
	if c.spec == nil {
		w.rules(c, raw)
		w.stranger(c)
		return
	}
	if c.spec.Net {
		w.nets++
	}
	if c.spec.Subs != nil {
		w.sub(c, raw)
		return
	}
	w.rules(c, raw)
	w.apply(c, c.spec.Read(c.args))
}

// sub judges a command with subcommands: options before the subcommand are its own.
func (w *walk) sub(c *cmd, raw []string) {
	u := c.spec.Read(c.args)
	if len(u.Operands) == 0 {
		w.rules(c, raw)
		w.apply(c, u)
		return
	}
	dir := w.state.dir
	defer func() { w.state.dir = dir }()
	name := u.Operands[0]
	w.settings(c.spec, &table.Use{Settings: u.Settings, Unknown: u.Unknown})
	w.special(c, u)
	sub := &cmd{name: c.name, plain: c.plain, args: u.Operands[1:]}
	sub.words = append([]string{c.name}, u.Operands...)
	if !shell.Static(name) {
		w.ask(guardDynamic, "a subcommand that is computed")
		return
	}
	sub.spec = c.spec.Subs[name]
	if sub.spec == nil {
		w.rules(sub, raw)
		w.stranger(sub)
		return
	}
	if sub.spec.Subs != nil && len(sub.args) > 0 {
		if deeper := sub.spec.Subs[sub.args[0]]; deeper != nil {
			sub.spec, sub.args = deeper, sub.args[1:]
		}
	}
	w.rules(sub, raw)
	w.apply(sub, sub.spec.Read(sub.args))
}

// rules notes what the policy says of a command.
func (w *walk) rules(c *cmd, raw []string) {
	named := append([]string{c.name}, raw[1:]...)
	f := w.judge.decide(c.words, named)
	f.Part = w.part
	switch {
	case f.Verdict == Allow && !c.plain:
		return // the path has been judged; no rule allows it by its last part
	case f.Verdict == Ask && f.Rule == "" && c.spec != nil && c.spec.Shell:
		f.Verdict, f.Reason = Allow, "a part of the shell"
	case f.Verdict == Ask && f.Rule == "" && c.open():
		f.Verdict, f.Reason = Allow, "runs another command, which is judged"
	}
	w.executed = !slices.Contains(builtins(), c.name)
	w.note(f)
	w.executed = false
}

// open says whether only what the command runs is judged.
func (c *cmd) open() bool {
	if c.spec == nil {
		return false
	}
	if c.spec.Handler == "shell" {
		line, _, _ := shellArgs(c.args)
		return line
	}
	return c.spec.Open
}

// stranger judges the arguments of a program without a table: no rule or a rule of the
// policy decides of it, but secrets stay secrets.
func (w *walk) stranger(c *cmd) {
	for _, a := range c.args {
		if _, v, ok := strings.Cut(a, "="); ok {
			a = v
		}
		a = strings.TrimPrefix(a, "@")
		if len(a) > 1 && shell.Static(a) && place.Bounded(a) {
			p := w.resolve(a)
			if w.judge.secrets.Has(p) == place.Yes && w.judge.examples.Has(p) == place.No {
				w.deny(guardSecret, "names a secret: "+shell.Show(p))
			}
		}
		if shell.FromNet(a) && c.spec != nil && c.spec.Handler == "interpreter" {
			w.deny(guardNet, "code from the network")
		}
	}
}
