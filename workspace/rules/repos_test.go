package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// project makes a home with a project p from files (a value "-> x" is a link).
func project(t *testing.T, files map[string]string) DiscoverOptions {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		p := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		text = strings.ReplaceAll(text, "HOME", home)
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, p)
		} else {
			err = os.WriteFile(p, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return DiscoverOptions{Dir: filepath.Join(home, "p"), Home: home, GlobalConfigs: []string{filepath.Join(home, ".gitconfig")}}
}

func holds(ps []belljar.Pattern, glob string) bool {
	return slices.ContainsFunc(ps, func(p belljar.Pattern) bool { return p.Glob == glob })
}

func TestDiscoverRepositories(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // globs that are held; with a ! before it, not held
	}{
		{"submodule", map[string]string{
			"p/.git/modules/libs/a/HEAD": "", "p/.git/modules/libs/a/config": "[core]\n worktree = ../../../../libs/a\n hooksPath = H\n",
			"p/libs/a/.git": "gitdir: ../../.git/modules/libs/a\n",
		}, "/libs/a/H"},
		{"submodule of a submodule, not checked out", map[string]string{
			"p/.git/modules/a/HEAD": "", "p/.git/modules/a/modules/b/HEAD": "",
			"p/.git/modules/a/modules/b/config": "[core]\n worktree = ../../../../../a/b\n hooksPath = ../H\n",
		}, "/a/H"},
		{"nested repository", map[string]string{"p/x/y/.git/config": "[core]\n hooksPath = H\n"}, "/x/y/H !/H"},
		{"nested .git file", map[string]string{"p/x/.git": "gitdir: HOME/g\n", "g/config": "[core]\n hooksPath = H\n"}, "/x/H"},
		{"bare look-alike", map[string]string{
			"p/x/HEAD": "", "p/x/objects/o": "", "p/x/refs/r": "", "p/x/config": "[core]\n hooksPath = HOME/p/H\n",
		}, "/H"},
		{"linked work tree in the project", map[string]string{
			"p/.git/config": "[core]\n hooksPath = H\n", "p/.git/worktrees/w/gitdir": "HOME/p/trees/w/.git\n", "p/.git/worktrees/w/commondir": "../..\n",
		}, "/H /trees/w/H"},
		{"nested hook links", map[string]string{"p/x/.git/hooks/pre-commit": "-> ../../s/pc", "p/x/s/pc": ""}, "/x/s/pc"},
		{"deep link of a held name", map[string]string{"p/x/y/.husky": "-> ../husky", "p/x/husky/a": ""}, "/x/husky"},
		{"above", map[string]string{"p/a": "", ".git/config": "[core]\n hooksPath = p/H\n fsmonitor = p/f.sh\n"}, "/H /f.sh"},
		{"above, the hooks are the project", map[string]string{"p/a": "", ".git/config": "[core]\n hooksPath = p\n"}, "/pre-commit !/a"},
		{"the work tree is the folder of hooks", map[string]string{"p/.git/config": "[core]\n hooksPath = .\n"}, "/pre-commit /post-checkout"},
		{"include", map[string]string{
			"p/.git/config": "[include]\n path = ../inc/a\n[includeIf \"gitdir:/nowhere/\"]\n path = ~/b\n",
			"p/inc/a":       "[core] hooksPath = H\n[include] path = c\n", "p/inc/c": "[core] fsmonitor = tools/c\n[include] path = a\n",
			"b": "[core]\n pager = ./tools/b\n",
		}, "/inc/a /inc/c /H /tools/c /tools/b"},
		{"global", map[string]string{
			".gitconfig": "[core]\n hooksPath = H\n[include]\n path = more\n[alias]\n t = !npm test\n s = !./s.sh\n", "more": "[core]\n fsmonitor = m.sh\n",
			"p/test/a": "", "p/x/.git/HEAD": "", "p/m.sh": "",
		}, "/H /x/H /m.sh /s.sh !/test"},
		{"global that is a file of the project", map[string]string{".gitconfig": "-> p/dot/gitconfig", "p/dot/gitconfig": "[core] pager = ./x/y\n"}, "/dot/gitconfig /x/y"},
		{"links on the way", map[string]string{
			"p/.git/config": "[core]\n hooksPath = tools/hooks\n", "p/tools": "-> mid", "p/mid": "-> HOME/p/real", "p/real/hooks/pre-commit": "",
		}, "/tools/hooks /mid/hooks /real/hooks"},
		{"link from outside", map[string]string{"p/.git/config": "[core]\n hooksPath = ~/l/hooks\n", "l": "-> p/sub", "p/sub/a": ""}, "/sub/hooks"},
		{"words of commands", map[string]string{
			"p/.git/config": `[filter "x"]
	clean = python3 clean.py %f
	smudge = "sh -c 'node smudge.js'"
	process = \"my dir/p.sh\" -x
[core]
	fsmonitor = "$(git rev-parse --show-toplevel)/tools/fsm.sh"
	editor = $PWD/tools/ed
	sshCommand = /workspace/tools/ssh.sh -v
	pager = "\"$HOME\"/p/pg"
[alias]
	a = "!f() { cd scripts && ./go; }; f"
	b = !` + "`git rev-parse --show-toplevel`" + `/tools/al
	main = branch main
[credential "https://x.example"]
	helper = !cred
[submodule "s"]
	update = !up.sh
[init]
	defaultBranch = main
`,
			"p/clean.py": "", "p/smudge.js": "", "p/my dir/p.sh": "", "p/tools/fsm.sh": "", "p/tools/ed": "", "p/tools/ssh.sh": "", "p/pg": "",
			"p/scripts/go": "", "p/tools/al": "", "p/cred": "", "p/up.sh": "", "p/main/a": "",
		}, "/clean.py /smudge.js /my_dir/p.sh /tools/fsm.sh /tools/ed /tools/ssh.sh /pg /scripts /tools/al /cred /up.sh !/main !/tools"},
		{"global, for repositories that are not there yet", map[string]string{
			".gitconfig": "[core]\n hooksPath = .githooks\n fsmonitor = ./tools/fsm -x\n attributesFile = ~/a\n pager = less\n[include]\n path = more\n[alias]\n m = !git rebase origin/main\n s = !./run/s.sh\n",
			"more":       "[core]\n hooksPath = ../up/hooks\n[filter \"x\"]\n clean = sh tools/clean.sh %f\n[credential]\n helper = /usr/bin/x\n", "p/a": "",
		}, "**/.githooks/pre-commit **/tools/fsm **/up/hooks/post-checkout **/run/s.sh **/tools/clean.sh !**/origin/main !**/a !**/less !**/usr/bin/x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Discover(project(t, c.files))
			if err != nil || len(f.Notes) > 0 {
				t.Fatal(err, f.Notes)
			}
			for _, w := range strings.Fields(c.want) {
				glob, not := strings.CutPrefix(strings.ReplaceAll(w, "_", " "), "!")
				if holds(f.Hold, glob) == not {
					t.Errorf("%s: want %s in %+v", c.name, w, f.Hold)
				}
			}
			if _, err := New(Options{Mode: belljar.ModeLive, Hold: f.Hold, Hide: f.Hide}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFromGitConfigSyntax(t *testing.T) {
	for config, want := range map[string]string{
		"[core]\nhooksPath = ho\\\noks\n":                 "/hooks",
		"[core]\nhooksPath = \"my hooks\" ; no\n":         "/my hooks",
		"[core]\nhooksPath = my  hooks # no\n":            "/my  hooks",
		"[core]\nhooksPath = \"a;b#c\"\n":                 "/a;b#c",
		"[core] hooksPath=x\n":                            "/x",
		"[CORE]HooksPath=x":                               "/x",
		"\ufeff[core]\r\n\thooksPath = x\r\n":             "/x",
		"[a \"]\"]\n[core]\nhooksPath = x":                "/x",
		"[filter \"A \\\"]b\"] Clean = ./c\n":             "/c",
		"[filter.X]\nclean = ./c\n":                       "/c",
		"# [x]\n;[y]\n[core] # c\nbare\nhooksPath = ./x/": "/x",
		"[core]\nhooksPath = :(optional)x\n":              "/x",
	} {
		if got := fromGitConfig(config, "/p/.git/config", "/p", "/p/.git"); !holds(got, want) {
			t.Errorf("%q: %+v, want %s", config, got, want)
		}
	}
}

func TestDiscoverIsBounded(t *testing.T) {
	files := map[string]string{"p/.zz": "", "p/z/.env": "-> ../secret"}
	for i := range 2100 {
		files[fmt.Sprintf("p/%04d", i)] = ""
		files[fmt.Sprintf("p/.git/hooks/%04d", i)] = ""
	}
	files["p/.husky"], files["p/.git/hooks/pre-push"] = "-> tools/husky", "-> ../../push"
	o := project(t, files)
	for i := range maxDirs {
		if err := os.MkdirAll(filepath.Join(o.Dir, "d", fmt.Sprint(i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	f, err := Discover(o)
	t.Logf("%v", time.Since(start))
	if err != nil || !holds(f.Hold, "/tools/husky") || !holds(f.Hold, "/push") || !holds(f.Hide, "/secret") {
		t.Errorf("%+v, %v", f, err)
	}
	if len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "too many folders") {
		t.Errorf("notes %q", f.Notes)
	}
}

func TestDiscoverIsBoundedInHostileConfigurations(t *testing.T) {
	var b strings.Builder
	b.WriteString("[alias]\n")
	for i := range 60_000 {
		fmt.Fprintf(&b, "a%d = !./t/%d x%d\n", i, i, i)
	}
	files := map[string]string{"p/.git/config": "[core]\n hooksPath = H\n", "p/z/z/.git/config": "[core]\n hooksPath = Z\n"}
	for _, d := range []string{"a", "b"} {
		files["p/"+d+"/HEAD"], files["p/"+d+"/commondir"], files["p/"+d+"/config"] = "", ".", b.String()
	}
	o := project(t, files)
	start := time.Now()
	f, err := Discover(o)
	if err != nil || !holds(f.Hold, "/H") || !holds(f.Hold, "/z/z/Z") || len(f.Hold) > maxPatterns || len(f.Notes) == 0 {
		t.Errorf("%d patterns, notes %q, %v", len(f.Hold), f.Notes, err)
	}
	looked := time.Since(start)
	if _, err := New(Options{Mode: belljar.ModeLive, Hold: f.Hold}); err != nil {
		t.Error(err)
	}
	t.Logf("%v, rules %v", looked, time.Since(start)-looked)
}

func TestReftableIsHeld(t *testing.T) {
	if v := mustRules(t, Options{}).Explain(".git/reftable/tables.list"); v.Kind != Hold {
		t.Errorf("%v", v.Kind)
	}
}
