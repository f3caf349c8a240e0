package judge

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// gitCommand: the repository must be the project's.
func gitCommand(w *walk, c *cmd, u *table.Use) bool {
	if !w.project(w.state.dir) || shell.Unknown(w.state.dir) {
		w.ask(guardRepo, "a repository outside the project: "+shell.Show(w.state.dir))
	}
	return len(u.Operands) > 0
}

func gitNothing(*walk, *cmd, *table.Use) bool { return true }

// config judges a setting that git is given on its command line.
func (w *walk) config(s string) {
	name, v, _ := strings.Cut(s, "=")
	name = strings.ToLower(name)
	section, _, _ := strings.Cut(name, ".")
	if !shell.Static(name) {
		w.ask(guardDynamic, "a setting of git that is computed")
		return
	}
	if name == "core.pager" && (v == "cat" || v == "") || section == "pager" && v == "false" {
		return
	}
	if harmlessSetting(name, section) {
		return
	}
	w.ask(guardOption, "the setting "+name+" of git may run a program")
	if v == "" {
		return
	}
	if section == "alias" && !strings.HasPrefix(v, "!") {
		v = "git " + v
	}
	if programSetting(name) {
		w.program(strings.TrimPrefix(v, "!"))
	}
}

func harmlessSetting(name, section string) bool {
	switch section {
	case "color", "advice", "column", "log", "status", "format", "i18n", "blame":
		return !strings.Contains(name, "file") && !strings.Contains(name, "pretty.") && !strings.Contains(name, "attach")
	}
	switch name {
	case "user.name", "user.email", "core.quotepath", "core.abbrev", "core.autocrlf", "core.ignorecase", "core.filemode", "init.defaultbranch", "diff.algorithm",
		"diff.noprefix", "diff.renames", "diff.context", "diff.mnemonicprefix", "commit.verbose", "merge.conflictstyle", "pull.rebase", "pull.ff", "rebase.autostash", "rebase.autosquash",
		"grep.linenumber", "tag.sort", "branch.sort", "core.commentchar", "fetch.prune", "gc.auto", "diff.renamelimit", "merge.renamelimit", "core.precomposeunicode":
		return true
	}
	return false
}

// programSetting says whether the value of a setting is a shell line.
func programSetting(name string) bool {
	for _, end := range []string{"command", ".cmd", "pager", "editor", "fsmonitor", "helper", "textconv", "driver", "clean", "smudge", "process", "program", "external", "askpass", "gitproxy", "hook", "path"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return strings.HasPrefix(name, "alias.") || strings.HasPrefix(name, "pager.")
}

// remote judges the address of a repository.
func (w *walk) remote(r string) {
	switch {
	case shell.FromNet(r) || shell.Unknown(r):
		w.ask(guardDynamic, "a repository that is not known")
	case strings.Contains(r, "::"):
		w.ask(guardOption, "the address of a repository runs a program: "+r)
		if rest, ok := strings.CutPrefix(r, "ext::"); ok {
			w.program(strings.ReplaceAll(rest, "% ", " "))
		}
	case strings.HasPrefix(r, "-"):
		w.ask(guardOption, "a repository that looks like an option")
	case strings.ContainsAny(r, ":/") || r == "." || r == "..":
		w.ask(guardOption, "a repository by its address: "+r)
	}
}

// revision judges a revision, a path, or revision:path.
func (w *walk) revision(r string) {
	if _, p, ok := strings.Cut(r, ":"); ok && p != "" {
		w.read(strings.TrimPrefix(p, "/"), false)
		return
	}
	if shell.Unknown(r) {
		return
	}
	w.read(r, false)
}

// gitPaths: what only lists history does not show files.
func gitPaths(w *walk, c *cmd, u *table.Use) bool {
	name := strings.TrimPrefix(c.spec.Name, "git ")
	if slices.Contains([]string{"log", "shortlog", "reflog", "whatchanged"}, name) && !slices.ContainsFunc(c.args, showsPatch) {
		return true
	}
	return slices.ContainsFunc(c.args, func(a string) bool {
		return a == "--name-only" || a == "--name-status" || a == "--stat" || a == "--numstat" || a == "--shortstat" || a == "--quiet"
	}) && !slices.ContainsFunc(c.args, showsPatch)
}

func showsPatch(a string) bool {
	for _, long := range []string{"--pat", "--bin", "--rem", "--dd", "--diff-m"} { // git takes abbreviations
		if strings.HasPrefix(a, long) {
			return true
		}
	}
	return strings.HasPrefix(a, "-L") || strings.HasPrefix(a, "-U") || strings.HasPrefix(a, "--unified") ||
		a == "-c" || a == "--cc" || a == "-m" || len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.ContainsAny(a, "pu")
}

// gitList: a name makes, moves or removes a branch or tag, unless something lists.
func gitList(w *walk, c *cmd, u *table.Use) bool {
	if c.spec.Name == "git tag" && u.Has("-n") || u.Has("-l", "--list", "--contains", "--no-contains", "--merged", "--no-merged", "--points-at") {
		return true
	}
	return false
}

// gitCheckout: a branch is taken; files are overwritten only when asked.
func gitCheckout(w *walk, _ *cmd, u *table.Use) bool {
	for i, o := range u.Operands {
		if u.Dashes >= 0 && i >= u.Dashes || o == "." || strings.HasPrefix(o, ":") || i > 0 && !u.Has("-b", "--orphan") {
			w.ask(guardOption, "git checkout overwrites files: "+shell.Show(o))
			break
		}
	}
	return true
}

// gitPush: a refspec may force or delete.
func gitPush(w *walk, c *cmd, u *table.Use) bool {
	for i, e := range c.spec.Given(u) {
		o := u.Operands[i]
		switch {
		case e == "remote":
			w.remote(o)
		case strings.HasPrefix(o, "+"):
			w.deny(guardForce, "+ forces the push of "+shell.Show(o))
		case strings.HasPrefix(o, ":"):
			w.deny(guardForce, "an empty source deletes "+shell.Show(o))
		case shell.Unknown(o):
			w.ask(guardDynamic, "a refspec that is not known")
		}
	}
	return true
}

// gitSubmodule: foreach runs a line.
func gitSubmodule(w *walk, _ *cmd, u *table.Use) bool {
	for i, o := range u.Operands {
		if o == "foreach" {
			rest := u.Operands[i+1:]
			for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
				rest = rest[1:]
			}
			w.literal(strings.Join(rest, " "))
			return true
		}
	}
	return true
}

// gitBisect: run runs a command.
func gitBisect(w *walk, _ *cmd, u *table.Use) bool {
	if len(u.Operands) > 1 && u.Operands[0] == "run" {
		w.inner(u.Operands[1:])
	}
	return true
}

// gitConfig: two operands write, and so do other options than those that show.
func gitConfig(w *walk, _ *cmd, u *table.Use) bool {
	file := ".git/config"
	if u.Has("--global") {
		file = w.judge.context.Home + "/.gitconfig"
	}
	if u.Has("--system") {
		file = "/etc/gitconfig"
	}
	ops := u.Operands
	shows := u.Has("--get", "--get-all", "--get-regexp", "--list", "-l", "--get-urlmatch", "--get-color", "--get-colorbool") ||
		len(ops) > 0 && (ops[0] == "get" || ops[0] == "list") || len(ops) == 1 && !u.Has("--unset", "--unset-all", "--remove-section", "-e", "--edit", "--add", "--replace-all", "--rename-section")
	if !shows {
		w.write(file)
		for _, o := range ops {
			if strings.HasPrefix(o, "!") {
				w.program(o[1:])
			}
		}
	}
	return true
}
