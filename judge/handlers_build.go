package judge

import (
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// makeCommand judges operands of make: variables may replace programs, or run one.
func makeCommand(w *walk, _ *cmd, u *table.Use) bool {
	w.here()
	for _, s := range u.Settings {
		if s.Value == "-" && slices.Contains([]string{"-f", "--file", "--makefile"}, s.Name) {
			w.ask(guardOption, "make obeys its standard input")
		}
	}
	for _, o := range u.Operands {
		name, v, set := strings.Cut(o, "=")
		if !set {
			if shell.MayBeOption(o) {
				w.ask(guardOption, "an argument of make that is not known")
			}
			continue
		}
		name = strings.TrimRight(name, ":?+!")
		w.environ(name, v)
		switch {
		case strings.ContainsAny(v, "`$;|&<>(") || shell.Unknown(v):
			w.ask(guardOption, "a variable of make that may run a command: "+shell.Show(o))
		case slices.Contains([]string{"SHELL", ".SHELLFLAGS", "MAKE", "MAKEFLAGS", "RM", "INSTALL", "PYTHON", "NODE", "NPM", "GO", "CARGO", "DOCKER", "YACC", "LEX", "BASH", "SH"}, name),
			strings.Contains(v, "/") && !w.inProject(v):
			w.ask(guardOption, "a variable of make that replaces a program or a file: "+shell.Show(o))
		}
	}
	return true
}

func (w *walk) inProject(p string) bool { return w.project(w.resolve(p)) && !strings.Contains(p, " ") }

// goCommand judges what is built: packages of the project, or by import path.
func goCommand(w *walk, c *cmd, u *table.Use) bool {
	w.here()
	if v, ok := u.Value("-ldflags"); ok && !harmlessLinking(v) {
		w.ask(guardOption, "-ldflags may name a linker: "+shell.Show(v))
	}
	for _, o := range u.Operands {
		if u.Has("-args") {
			break
		}
		if strings.HasPrefix(o, "/") || strings.HasPrefix(o, ".") || shell.Unknown(o) {
			w.within(strings.TrimSuffix(strings.TrimSuffix(o, "..."), "/"), c.spec.Name+" takes a package")
		}
	}
	return true
}

// harmlessLinking says whether options of the linker only set names and leave out symbols.
func harmlessLinking(v string) bool {
	for _, o := range strings.Fields(v) {
		o = strings.Trim(o, `'"`)
		if strings.HasPrefix(o, "-") && o != "-s" && o != "-w" && o != "-X" && o != "-v" && !strings.HasPrefix(o, "-X=") && !strings.HasPrefix(o, "-buildid") && !strings.HasPrefix(o, "-s=") && !strings.HasPrefix(o, "-w=") && o != "-extldflags=-static" {
			return false
		}
	}
	return !shell.MayBeOption(v) && !strings.Contains(v, " "+string(shell.Any))
}

// npmCommand: scripts get what follows --; before it are settings.
func npmCommand(w *walk, _ *cmd, _ *table.Use) bool {
	w.here()
	return true
}

// cargoCommand: another toolchain is another program.
func cargoCommand(w *walk, _ *cmd, u *table.Use) bool {
	w.here()
	if len(u.Operands) > 0 && strings.HasPrefix(u.Operands[0], "+") {
		w.ask(guardOption, "another toolchain: "+shell.Show(u.Operands[0]))
	}
	return len(u.Operands) > 0
}

// stopDash: what follows -- belongs to what is run.
func stopDash(*walk, *cmd, *table.Use) bool { return true }

// pytestCommand: the tests must be the project's.
func pytestCommand(w *walk, c *cmd, u *table.Use) bool {
	w.here()
	for _, s := range u.Settings {
		if s.Name == "-p" && !strings.HasPrefix(s.Value, "no:") {
			w.ask(guardOption, "a plugin of pytest: "+shell.Show(s.Value))
		}
	}
	for _, o := range u.Operands {
		if strings.HasPrefix(o, "@") {
			w.ask(guardOption, "arguments of pytest from a file: "+shell.Show(o))
		}
		file, _, _ := strings.Cut(o, "::")
		w.within(file, c.name+" runs tests")
	}
	return true
}

// tarCommand judges tar, whose first word may be a bundle of letters.
func tarCommand(w *walk, c *cmd, u *table.Use) bool {
	if len(c.args) > 0 && c.args[0] != "" && c.args[0][0] != '-' && shell.Static(c.args[0]) {
		u = c.spec.Read(bundled(c.args))
		w.settings(c.spec, u)
	}
	dir := w.state.dir
	defer func() { w.state.dir = dir }()
	create := u.Has("-c", "--create", "-r", "--append", "-u", "--update", "-A", "--catenate", "--concatenate")
	extract := u.Has("-x", "--extract", "--get")
	for _, s := range u.Settings {
		switch s.Name {
		case "-f", "--file":
			w.archive(s.Value, create)
		case "-C", "--directory":
			w.state.dir = w.resolve(s.Value)
		case "--checkpoint-action":
			if action, line, ok := strings.Cut(s.Value, "="); ok && action == "exec" {
				w.runs(use{c.spec, "line", line, "tar --checkpoint-action", false})
			} else if !slices.Contains([]string{"dot", "echo", ".", "bell", "totals"}, action) {
				w.ask(guardOption, "an action of tar that is not known")
			}
		case "-P", "--absolute-names":
			if extract {
				w.ask(guardOption, "tar writes absolute names")
			}
		}
	}
	if extract && !u.Has("-O", "--to-stdout") {
		w.write(w.state.dir)
	}
	if create {
		for _, o := range u.Operands {
			w.read(o, false)
			w.tree(o)
		}
	}
	return true
}

// bundled are arguments of tar in the old style, rewritten with dashes: letters that
// take a value take the next words in order.
func bundled(args []string) []string {
	var out []string
	rest := args[1:]
	for _, r := range args[0] {
		out = append(out, "-"+string(r))
		if strings.ContainsRune("bfCFgHIKLNTVX", r) && len(rest) > 0 {
			out, rest = append(out, rest[0]), rest[1:]
		}
	}
	return append(out, rest...)
}

// archive judges the file of an archive; host:file runs a remote shell.
func (w *walk) archive(f string, create bool) {
	if host, _, remote := strings.Cut(f, ":"); remote && !strings.Contains(host, "/") {
		w.ask(guardOption, "an archive on another machine: "+f)
		return
	}
	if f == "-" {
		return
	}
	if create {
		w.write(f)
		return
	}
	w.read(f, false)
}

// sshCommand: what runs on the other machine is not judged, what is known to be
// privileged is said.
func sshCommand(w *walk, _ *cmd, u *table.Use) bool {
	if v, ok := u.Value("-o"); ok {
		name, line, _ := strings.Cut(v, "=")
		if strings.HasSuffix(strings.ToLower(strings.TrimSpace(name)), "command") {
			w.program(line)
		}
	}
	return true
}

// remoteCopy: a word with a colon is on another machine.
func remoteCopy(w *walk, _ *cmd, u *table.Use) bool {
	for i, o := range u.Operands {
		if host, _, remote := strings.Cut(o, ":"); remote && !strings.Contains(host, "/") {
			continue
		}
		if last := i == len(u.Operands)-1; last && i > 0 {
			w.write(o)
			if b := path.Base(u.Operands[0]); b != "." && b != ".." {
				w.into(path.Join(o, b))
			}
			continue
		}
		w.read(o, false)
		w.tree(o)
	}
	return true
}

// downloadCommand: files that are named by their address hold what came from the network.
func downloadCommand(w *walk, c *cmd, u *table.Use) bool {
	dir, named := "", u.Has("-O", "--remote-name", "--remote-name-all", "-J", "--remote-header-name")
	switch c.name {
	case "curl":
		dir, _ = u.Value("--output-dir")
		if file, ok := u.Value("-o", "--output"); ok && dir != "" {
			w.state.load(w.resolve(path.Join(dir, file)))
		}
	default:
		dir, _ = u.Value("-P", "--directory-prefix")
		named = !u.Has("-O", "--output-document")
	}
	if !named {
		return false
	}
	for _, o := range append(u.Operands, valuesOf(u, "--url")...) {
		address, _, _ := strings.Cut(o, "#")
		bare, _, _ := strings.Cut(address, "?") // wget keeps what is asked in the name
		for _, name := range []string{path.Base(address), path.Base(bare)} {
			if name != "." && name != "/" {
				w.state.load(w.resolve(path.Join(dir, name)))
			}
		}
	}
	return false
}

// valuesOf are all values of an option.
func valuesOf(u *table.Use, name string) []string {
	var l []string
	for _, s := range u.Settings {
		if s.Name == name && s.Given {
			l = append(l, s.Value)
		}
	}
	return l
}
