package rules

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
)

func TestDiscover(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{".git/hooks", "scripts", "tools/husky", ".claude/hooks", "config", "src"} {
		must(os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for name, text := range map[string]string{".git/config": "[core]\n\thooksPath = more\n", "scripts/pre-commit": "", "config/dev": "K=1", "tools/x[1]": ""} {
		must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	for link, target := range map[string]string{
		".git/hooks/pre-commit": "../../scripts/pre-commit", ".husky": "tools/husky", ".env": "config/dev", ".claude/hooks/a": "../../tools/x[1]",
		".bashrc": "/etc/bash.bashrc", "plain": "src", ".vscode": "not-yet", ".idea": "../outside",
	} {
		must(os.Symlink(target, filepath.Join(dir, link)))
	}
	f, err := Discover(DiscoverOptions{Dir: dir})
	must(err)
	globs := func(ps []belljar.Pattern) (out []string) {
		for _, p := range ps {
			out = append(out, p.Glob)
		}
		slices.Sort(out)
		return out
	}
	if d := cmp.Diff([]string{"/config/dev"}, globs(f.Hide)); d != "" {
		t.Errorf("hide (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"/more", "/not-yet", "/scripts/pre-commit", "/tools/husky", `/tools/x\[1\]`}, globs(f.Hold)); d != "" {
		t.Errorf("hold (-want +got):\n%s", d)
	}
	r := mustRules(t, Options{Hide: f.Hide, Hold: f.Hold})
	for p, k := range map[string]Kind{"scripts/pre-commit": Hold, "tools/husky/pre-push": Hold, "config/dev": Hide, "scripts/other": Pass, "more/x": Hold} {
		if v := r.Explain(p); v.Kind != k {
			t.Errorf("%s: %v, want %v", p, v.Kind, k)
		}
	}
}

func TestDiscoverInLinkedWorkTree(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir, common := filepath.Join(base, "wt"), filepath.Join(base, "main/.git")
	for name, text := range map[string]string{
		"wt/.git": "gitdir: " + common + "/worktrees/wt\n", "main/.git/worktrees/wt/commondir": "../..\n",
		"main/.git/config": "[core]\n\tfsmonitor = tools/watch\n",
	} {
		p := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Discover(DiscoverOptions{Dir: dir})
	if err != nil || len(f.Hold) != 1 || f.Hold[0].Glob != "/tools/watch" {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := Discover(DiscoverOptions{Dir: t.TempDir()}); err != nil || len(f.Hold)+len(f.Hide) != 0 {
		t.Errorf("empty folder: %+v, %v", f, err)
	}
}

// What existing hooks, filters and .envrc hand on to runs by itself, too.
func TestDiscoverInScripts(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	far := t.TempDir()
	for name, text := range map[string]string{
		".git/HEAD":   "ref: refs/heads/main\n",
		".git/config": "[filter \"nb\"]\n\tclean = \"/usr/bin/python3\" -m nbstripout.core\n[filter \"y\"]\n\tclean = node -r ./lib/yclean -e 0\n[core]\n\thooksPath = " + far + "\n",
		".git/hooks/pre-commit": "#!/bin/sh\n# see docs/hooks.md\n. \"$(dirname \"$0\")/../../lib/common\"\nexec scripts/check --all src\n" +
			"INSTALL_PYTHON=/usr/bin/python3\nexec \"$INSTALL_PYTHON\" -mpre_commit hook-impl\nnpm test\nsh run.sh\ncd packages/web && node tool\n",
		".git/hooks/post-merge.sample": "scripts/sample\n",
		".envrc":                       "source_env scripts/env.sh\nuse flake\nexport X=$(cat config/x.txt)\n",
		"lib/common":                   "", "lib/yclean.js": "", "scripts/check": "", "scripts/env.sh": "", "scripts/sample": "", "scripts/far.py": "", "run.sh": "",
		"docs/hooks.md": "", "src/a": "", "test/a": "", "packages/web/a": "", "package.json": "", "tool.js": "", "config/x.txt": "",
	} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(far, "pre-push"), []byte("#!/bin/sh\npython3 \"$ROOT/scripts/far.py\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := Discover(DiscoverOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r := mustRules(t, Options{Hide: f.Hide, Hold: f.Hold})
	for p, k := range map[string]Kind{
		"lib/common": Hold, "scripts/check": Hold, "pre_commit.py": Hold, "pre_commit/__main__.py": Hold, "nbstripout.py": Hold, "nbstripout/core.py": Hold,
		"lib/yclean.js": Hold, "lib/yclean": Hold, "scripts/env.sh": Hold, "flake.nix": Hold, "config/x.txt": Hold, "scripts/far.py": Hold, "run.sh": Hold,
		"tool.js": Hold, "scripts/sample": Pass, "docs/hooks.md": Pass, "src/a": Pass, "test/a": Pass, "packages/web/a": Pass, "package.json": Pass,
	} {
		if v := r.Explain(p); v.Kind != k {
			t.Errorf("%s: %v, want %v", p, v.Kind, k)
		}
	}
}
