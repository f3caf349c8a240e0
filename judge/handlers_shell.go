package judge

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// chdirCommand follows cd, pushd and popd.
func chdirCommand(w *walk, c *cmd, _ *table.Use) bool {
	s := w.state
	from := s.dir
	to := ""
	for _, a := range c.args {
		if a == "--" || a != "-" && strings.HasPrefix(a, "-") && isLetters(a[1:]) {
			continue
		}
		to = a
		break
	}
	switch {
	case c.name == "popd":
		s.dir = unknownDir
		if n := len(s.stack); n > 0 && len(c.args) == 0 {
			s.dir, s.stack = s.stack[n-1], s.stack[:n-1]
		}
	case c.name == "pushd" && (to == "" || to[0] == '+' || to[0] == '-'):
		s.dir, s.stack = unknownDir, nil
	case to == "-":
		s.dir = s.old
	case to == "":
		s.dir = w.variable("HOME")
		if len(c.args) > 0 && slices.Contains(c.args, "") {
			s.dir = from
		}
	case shell.Unknown(to) || strings.Contains(to, string(shell.File)):
		s.dir = unknownDir
		if shell.Static(to[:1]) || !shell.MayBeOption(to) {
			s.dir = w.resolve(to)
		}
	default:
		s.dir = w.resolve(to)
	}
	if _, set := s.vars["CDPATH"]; set {
		s.dir = unknownDir
	}
	if c.name == "pushd" {
		s.stack = append(s.stack, from)
	}
	s.old = from
	delete(s.vars, "PWD")
	return true
}

func isLetters(s string) bool {
	for i := range len(s) {
		if s[i] < '@' || s[i] > 'z' {
			return false
		}
	}
	return s != ""
}

// optionsCommand: set -- gives arguments, shopt may change what globs and names mean.
func optionsCommand(w *walk, c *cmd, _ *table.Use) bool {
	if c.name == "shopt" {
		for _, a := range c.args {
			switch a {
			case "dotglob", "globstar", "extglob", "nullglob", "nocaseglob":
				w.state.globs = true
				if a == "dotglob" || a == "nocaseglob" {
					w.ask(guardDynamic, "globs match other names with "+a)
				}
			}
		}
		return true
	}
	for i, a := range c.args {
		if a == "--" {
			w.state.args = append([]string{}, c.args[i+1:]...)
			return true
		}
		if a == "" || a[0] != '-' && a[0] != '+' {
			if i > 0 && (c.args[i-1] == "-o" || strings.HasSuffix(c.args[i-1], "o") && strings.HasPrefix(c.args[i-1], "-")) {
				continue
			}
			w.state.args = append([]string{}, c.args[i:]...)
			return true
		}
	}
	return true
}

// declareCommand is export and its like behind a wrapper or with computed words.
func declareCommand(w *walk, c *cmd, _ *table.Use) bool {
	reference, integer := false, false
	for _, a := range c.args {
		reference, integer = w.declared1(a, reference, integer)
	}
	if reference {
		w.ask(guardDynamic, "a name for another variable")
	}
	return true
}

// unsetCommand takes variables and functions away.
func unsetCommand(w *walk, c *cmd, _ *table.Use) bool {
	for _, a := range c.args {
		if strings.HasPrefix(a, "-") {
			continue
		}
		w.name(a)
		if !shell.Static(a) {
			w.unsets = true
			continue
		}
		if a == "PATH" {
			w.environ(a, "") // programs are looked for in the working folder then
		}
		delete(w.state.funcs, a)
		if _, ok := w.state.vars[a]; ok || a == "HOME" || a == "PWD" || a == "IFS" {
			w.state.vars[a] = scalar("")
		}
	}
	return true
}

// inputCommand: read and mapfile set variables; mapfile -C runs a line.
func inputCommand(w *walk, c *cmd, _ *table.Use) bool {
	for i := 0; i < len(c.args); i++ {
		a := c.args[i]
		switch {
		case c.name == "getopts":
			if i == 1 {
				w.name(a)
				w.set(a)
			}
		case strings.HasPrefix(a, "-") && len(a) > 1:
			letter := a[len(a)-1]
			if k := strings.IndexByte(a, 'C'); k > 0 && c.name != "read" {
				callback := a[k+1:]
				if callback == "" && i+1 < len(c.args) {
					i++
					callback = c.args[i]
				}
				w.ask(guardOption, c.name+" -C runs a shell line")
				w.literal(callback)
				continue
			}
			if strings.IndexByte("dnNptuisScO", letter) >= 0 && letter != 's' && letter != 't' || letter == 't' && c.name == "read" {
				i++
			}
			if k := strings.IndexByte(a, 'a'); k > 0 && c.name == "read" && k+1 < len(a) {
				w.set(a[k+1:])
			}
		default:
			w.name(a)
			w.set(a)
		}
	}
	w.readsName(c)
	return true
}

// readsName: a line of what lists paths is one path, when it is read as a whole.
func (w *walk) readsName(c *cmd) {
	args := c.args
	for len(args) > 0 && (args[0] == "-r" || args[0] == "-d" && len(args) > 1 && args[1] == "" || args[0] == "-rd" && len(args) > 1 && args[1] == "") {
		if args[0] != "-r" {
			args = args[1:]
		}
		args = args[1:]
	}
	if c.name == "read" && len(args) == 1 && isIdentifier(args[0]) && len(w.input.names) == 1 && !w.input.net {
		w.assign(args[0], scalar(w.input.names[0]))
	}
}

// waitCommand: -p sets a variable, whose subscript is evaluated.
func waitCommand(w *walk, c *cmd, _ *table.Use) bool {
	for i, a := range c.args {
		k := strings.IndexByte(a, 'p')
		if !strings.HasPrefix(a, "-") || k < 0 {
			continue
		}
		name := a[k+1:]
		if name == "" && i+1 < len(c.args) {
			name = c.args[i+1]
		}
		w.name(name)
		w.set(name)
	}
	return true
}

// letCommand: every argument is arithmetic.
func letCommand(w *walk, c *cmd, _ *table.Use) bool {
	for _, a := range c.args {
		if !shell.Static(a) || strings.ContainsAny(a, "[$`") {
			w.ask(guardDynamic, "arithmetic on text that is not a number")
		}
		if name, _, ok := strings.Cut(a, "="); ok {
			w.set(strings.TrimRight(name, "+-*/%&|^<> "))
		}
	}
	return true
}

// aliasCommand: an alias is a shell line, or the beginning of one.
func aliasCommand(w *walk, c *cmd, _ *table.Use) bool {
	for _, a := range c.args {
		if _, v, ok := strings.Cut(a, "="); ok {
			w.ask(guardDynamic, "an alias changes what a command is")
			w.literal(v)
		}
	}
	return true
}

// evalCommand: the arguments are one line, run here.
func evalCommand(w *walk, c *cmd, _ *table.Use) bool {
	args := c.args
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	text := strings.Join(args, " ")
	if !shell.Static(text) {
		w.literal(text)
		w.state.dir = unknownDir
		return true
	}
	w.line(text)
	return true
}

// trapCommand: the first operand is a line.
func trapCommand(w *walk, c *cmd, _ *table.Use) bool {
	for _, a := range c.args {
		switch {
		case a == "--":
			continue
		case a == "-l" || a == "-p" || a == "-" || a == "":
			return true
		}
		after := w.aside(func() { w.literal(a) })
		if shell.Static(a) {
			after = w.aside(func() { w.quiet++; w.line(a); w.quiet-- })
		}
		w.state.join(after) // it may run at any time from now on
		break
	}
	return true
}

// sourceCommand: a file is run here, and may change everything.
func sourceCommand(w *walk, c *cmd, _ *table.Use) bool {
	args := c.args
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return true
	}
	w.code(args[0])
	if (strings.HasPrefix(args[0], "/dev/") || strings.HasPrefix(args[0], "/proc/")) && w.input.known {
		w.literal(w.input.text)
	}
	w.state.dir = unknownDir
	return true
}

// rebindCommand: builtins that bind names, keys or completions to commands.
func rebindCommand(w *walk, c *cmd, _ *table.Use) bool {
	if c.name == "hash" && !slices.ContainsFunc(c.args, func(a string) bool { return strings.HasPrefix(a, "-") && strings.Contains(a, "p") || shell.Unknown(a) }) {
		return true
	}
	if c.name == "history" && len(c.args) == 0 {
		return true
	}
	w.ask(guardDynamic, c.name+" makes the shell run something later")
	for _, a := range c.args {
		if strings.Contains(a, "$(") || strings.Contains(a, " ") {
			_, after, ok := strings.Cut(a, ":")
			if !ok {
				after = a
			}
			w.literal(strings.Trim(after, `"`))
		}
	}
	return true
}

// shellCommand: -c runs a line; otherwise a file, or standard input.
func shellCommand(w *walk, c *cmd, _ *table.Use) bool {
	line, operands, odd := shellArgs(c.args)
	if !line && readsInput(c.args) {
		operands = nil
	}
	if odd != "" {
		w.ask(guardOption, "an option of "+c.name+" that runs a file or is not known: "+shell.Show(odd))
	}
	switch {
	case line:
		if len(operands) == 0 {
			return true
		}
		w.script(operands[0], operands[1:])
	case len(operands) > 0 && operands[0] != "-":
		w.code(operands[0])
		for _, o := range operands {
			if shell.FromNet(o) {
				w.deny(guardNet, "code from the network")
			}
		}
		if (operands[0] == "/dev/stdin" || operands[0] == "/proc/self/fd/0") && w.input.known {
			w.literal(w.input.text)
		}
	default:
		w.standardInput()
	}
	return true
}

// readsInput says whether a shell takes its operands as arguments of what it reads
// from standard input.
func readsInput(args []string) bool {
	for _, a := range args {
		if len(a) < 2 || a[0] != '-' && a[0] != '+' || a == "--" {
			return false
		}
		if a[0] == '-' && a[1] != '-' && strings.Contains(a, "s") {
			return true
		}
	}
	return false
}

// script judges the text of sh -c: another shell, in which functions are not known to
// exist.
func (w *walk) script(text string, args []string) {
	unsets, external, old := w.unsets, w.external, w.state.args
	w.unsets, w.external = true, false
	w.state.args = nil
	if len(args) > 0 && !slices.ContainsFunc(args, shell.MayBeOption) {
		w.state.args = args[1:]
	}
	w.literal(text)
	w.unsets, w.external, w.state.args = unsets, external, old
}

// standardInput judges a shell that reads its line from standard input.
func (w *walk) standardInput() {
	switch {
	case w.input.net:
		w.deny(guardNet, "runs what came from the network")
	case w.input.known:
		w.script(w.input.text, nil)
		w.ask(guardDynamic, "a shell runs its standard input")
	default:
		w.ask(guardDynamic, "a shell runs its standard input")
	}
}

// shellArgs reads the options of a shell: whether there is -c, the operands, and an
// option that runs a file or is not known.
func shellArgs(args []string) (line bool, operands []string, odd string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--" || a == "-":
			return line, args[i+1:], odd
		case shell.MayBeOption(a):
			return line, args[i:], a
		case len(a) < 2 || a[0] != '-' && a[0] != '+':
			return line, args[i:], odd
		case strings.HasPrefix(a, "--"):
			switch a {
			case "--login", "--noprofile", "--norc", "--posix", "--verbose", "--version", "--help", "--restricted", "--noediting":
			default:
				odd = a
				if a == "--rcfile" || a == "--init-file" {
					i++
				}
			}
		default:
			line = line || a[0] == '-' && strings.Contains(a, "c")
			if strings.ContainsAny(a, "oO") {
				i++
			}
			if !shell.Static(a) {
				odd = a
			}
		}
	}
	return line, nil, odd
}

// interpreterCommand: code of another language; only where it comes from is judged.
func interpreterCommand(w *walk, c *cmd, _ *table.Use) bool {
	file := false
	for _, a := range c.args {
		if shell.FromNet(a) {
			w.deny(guardNet, "code from the network")
		}
		if len(a) > 1 && a[0] == '-' && strings.ContainsAny(a, "cemEprn") && !strings.HasPrefix(a, "--") || strings.HasPrefix(a, "--eval") {
			file = true // the code is an argument; standard input is data
		}
		if !strings.HasPrefix(a, "-") && !file && shell.Static(a) && !strings.ContainsAny(a, " \n;(") {
			file = true
			w.code(a)
		}
	}
	if w.input.net && !file {
		w.deny(guardNet, "runs what came from the network")
	}
	if w.input.net && slices.ContainsFunc(c.args, func(a string) bool { return a == "-" || a == "/dev/stdin" || strings.HasPrefix(a, "/dev/fd/") }) {
		w.deny(guardNet, "runs what came from the network")
	}
	w.stranger(c)
	return true
}
