package judge

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// lookupCommand: command -v only looks up; builtin and command run no function.
func lookupCommand(w *walk, c *cmd, u *table.Use) bool {
	if c.name == "command" && u.Has("-v", "-V") || len(u.Operands) == 0 {
		return true
	}
	external := w.external
	w.external = true
	w.run(u.Operands) // in this very shell: cd and the like stay
	w.external = external
	return true
}

// flockCommand: a lock file, then a command, or -c and a line.
func flockCommand(w *walk, _ *cmd, u *table.Use) bool {
	if len(u.Operands) == 0 {
		return true
	}
	w.write(u.Operands[0])
	rest := u.Operands[1:]
	switch {
	case len(rest) > 1 && (rest[0] == "-c" || strings.HasPrefix("--command", rest[0]) && len(rest[0]) > 2):
		w.script(rest[1], nil)
	case len(rest) > 0 && strings.HasPrefix(rest[0], "-c"):
		w.script(strings.TrimPrefix(strings.TrimPrefix(rest[0], "-c"), "ommand="), nil)
	case len(rest) > 0 && strings.HasPrefix(rest[0], "-"):
		w.ask(guardOption, "an option of flock that is not known")
	case len(rest) > 0:
		w.inner(rest)
	}
	return true
}

// watchCommand: the operands are one line, unless -x.
func watchCommand(w *walk, _ *cmd, u *table.Use) bool {
	if u.Has("-x", "--exec") {
		return false
	}
	if len(u.Operands) > 0 {
		w.script(strings.Join(u.Operands, " "), nil)
	}
	return true
}

// scriptCommand: without -c it starts a shell, which reads standard input.
func scriptCommand(w *walk, _ *cmd, u *table.Use) bool {
	if v, ok := u.Value("-c", "--command"); ok {
		w.script(v, nil)
	} else {
		w.standardInput()
	}
	if len(u.Operands) == 0 {
		w.write("typescript")
	}
	return false
}

// envCommand: variables, then a command; -S splits a line.
func envCommand(w *walk, c *cmd, u *table.Use) bool {
	operands := u.Operands
	for _, s := range u.Settings {
		if s.Effect == "split" {
			if strings.ContainsAny(s.Value, "$\\") {
				w.ask(guardDynamic, "env -S expands variables")
			}
			again := append([]string{"env"}, splitWords(s.Value)...)
			w.inner(append(again, operands...))
			return true
		}
	}
	for len(operands) > 0 {
		name, v, ok := strings.Cut(operands[0], "=")
		if operands[0] == "-" {
			operands = operands[1:]
			continue
		}
		if !ok {
			break
		}
		if !shell.Static(name) {
			w.ask(guardDynamic, "the name of a variable that is computed")
		}
		w.environ(name, v)
		operands = operands[1:]
	}
	if len(operands) == 0 {
		w.ask(guardOption, "env prints the environment")
		return true
	}
	w.inner(operands)
	return true
}

// splitWords splits a text as env -S does: blanks and quotes.
func splitWords(s string) []string {
	var out []string
	var cur strings.Builder
	var quote rune
	has := false
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, has = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if has || cur.Len() > 0 {
				out = append(out, cur.String())
			}
			cur.Reset()
			has = false
		default:
			cur.WriteRune(r)
		}
	}
	if has || cur.Len() > 0 {
		out = append(out, cur.String())
	}
	return out
}

// xargsCommand: arguments from standard input are added to the command, or replace a
// text in it.
func xargsCommand(w *walk, _ *cmd, u *table.Use) bool {
	argv := u.Operands
	if len(argv) == 0 {
		return true // prints as echo does
	}
	in := w.input
	items := in.names
	if in.known && len(items) == 0 {
		items = strings.Fields(in.text)
	}
	if _, file := u.Value("-a", "--arg-file"); file || len(items) == 0 {
		mark := string(shell.Any)
		if in.net {
			mark = string(shell.Net)
		}
		items = []string{mark}
	}
	if len(items) > maxRounds {
		items = []string{string(shell.Any)}
	}
	w.input = input{given: true}
	defer func() { w.input = in }()
	replace, ok := u.Value("-I", "-J", "--replace", "-i")
	if !ok && u.Has("-i", "--replace") || ok && replace == "" {
		replace, ok = "{}", true
	}
	if !ok {
		w.inner(append(slices.Clone(argv), items...))
		return true
	}
	for _, item := range items {
		one := make([]string, len(argv))
		for i, a := range argv {
			one[i] = strings.ReplaceAll(a, replace, item)
		}
		w.inner(one)
	}
	return true
}

// parallelCommand: a command with places, then ::: and arguments.
func parallelCommand(w *walk, _ *cmd, u *table.Use) bool {
	argv := u.Operands
	var items []string
	for i, a := range argv {
		if strings.HasPrefix(a, ":::") {
			items = slices.DeleteFunc(slices.Clone(argv[i+1:]), func(s string) bool { return strings.HasPrefix(s, ":::") })
			if a != ":::" && a != ":::+" {
				items = []string{string(shell.Any)}
			}
			argv = argv[:i]
			break
		}
	}
	if len(items) == 0 {
		items = append(items, w.input.names...)
	}
	if len(items) == 0 || len(items) > maxRounds {
		items = []string{string(shell.Any)}
	}
	if len(argv) == 0 {
		for _, item := range items {
			w.literal(item)
		}
		return true
	}
	line := strings.Join(argv, " ")
	for _, item := range items {
		text := line
		for _, p := range []string{"{}", "{.}", "{/}", "{//}", "{/.}"} {
			text = strings.ReplaceAll(text, p, item)
		}
		if text == line {
			text += " " + item
		}
		w.literal(text)
	}
	return true
}
