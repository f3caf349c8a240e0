package rules

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

func mustRules(t testing.TB, o Options) *Rules {
	t.Helper()
	if o.Mode == "" {
		o.Mode = belljar.ModeLive
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// walk judges a path: a component that ends the path has type e.
func walk(r *Rules, path string, e Entry) (State, Verdict) {
	s := r.Root()
	parts := strings.Split(path, "/")
	for _, p := range parts[:len(parts)-1] {
		s, _ = s.Judge(p, Dir)
	}
	return s.Judge(parts[len(parts)-1], e)
}

func TestVerdicts(t *testing.T) {
	r := mustRules(t, Options{})
	for _, c := range []struct {
		kind  Kind
		class Class
		entry Entry
		paths string
	}{
		{Pass, "", File, "main.go a/b/c.txt README.md head.tsx src/config src/objects hooks/x.c .gitignore .github.txt env .editorconfig"},
		{Pass, "", File, ".env.example .env.sample a/.env.template .env.production.example id_rsa.pub"},
		{Hide, Secret, File, ".env .ENV a/.env.local .env.prod x.pem a/X.PEM k.key .npmrc a/.npmrc .pypirc my-service-account.json .git-credentials .netrc"},
		{Hide, Secret, File, "id_rsa a/id_ed25519 .kube/config .aws/credentials .docker/config.json a/.docker/config.json x.p12 .ssh/known_hosts .e\u200dnv .ßh/x"},
		{Hide, SelfRunning, File, ".envrc a/.envrc .ENVRC"},
		{Hold, SelfRunning, File, ".vscode/tasks.json .idea/x a/.husky/pre-commit .cursor/mcp.json .claude/settings.json .claude/hooks/x .mcp.json .bashrc"},
		{Hold, SelfRunning, File, ".VSCode/tasks.json .zed/x .devcontainer/devcontainer.json x.code-workspace .tool-versions mise.toml .vimrc .exrc .gdbinit opencode.json"},
		{Hold, GitConfig, File, ".gitmodules a/.GitModules .gitconfig HEAD a/head x/HEAD.lock .git a/.git .hg/hgrc"},
		{Hold, Policy, File, "belljar.yaml a/belljar.yaml"},
		{Pass, UserRun, File, "Makefile package.json a/package.json x.sh .github/workflows/ci.yml AGENTS.md CLAUDE.md Dockerfile .venv/bin/python setup.py build.rs .gitattributes conftest.py"},
		{Hold, GitConfig, File, ".git/config .git/CONFIG .git/config.lock .git/config.worktree .git/hooks/pre-commit .git/commondir .git/gitdir .git/info/attributes .git/info/grafts"},
		{Hold, GitConfig, File, ".git/rebase-merge/git-rebase-todo .git/rebase-apply/x .git/sequencer/todo .git/MERGE_RR .git/rr-cache/x/postimage .git/objects/info/alternates"},
		{Hold, GitConfig, File, ".git/refs/replace/abc .git/remotes/origin .git/unknown .git/svn/x .git/BISECT_RUN .GIT/config git~1/config .git./hooks/x"},
		{Hold, GitConfig, File, ".git/modules/m/config .git/modules/m/hooks/x .git/modules/a/b/config .git/modules/m/objects/info/alternates .git/worktrees/w/commondir .git/worktrees/w/config.worktree .git/worktrees/w/gitdir"},
		{Hold, GitConfig, File, ".git/objects/x/HEAD .git/refs/remotes/origin/commondir .git/lfs/HEAD .git/logs/objects .git/lfs/x/.git .git/objects/.git/config .git/refs/.GIT .git/.git/config"},
		{Pass, GitData, File, ".git/ORIG_HEAD .git/FETCH_HEAD .git/COMMIT_EDITMSG .git/index.lock .git/HEAD.lock .git/objects/ab/cdef .git/refs/heads/x.key .git/refs/heads/.env .git/logs/HEAD .git/refs/remotes/origin/HEAD"},
		{Pass, GitData, File, ".git/modules/m/ORIG_HEAD .git/modules/a/b/objects/x .git/worktrees/w/ORIG_HEAD .git/worktrees/w/logs/HEAD .git/info/exclude .git/shallow"},
		{Hold, GitConfig, Dir | Fresh, ".git/modules/new .git/worktrees/new .git/evil .git/objects/x/objects/../HEAD"},
		{Hold, Symlink, Link | Fresh, ".git/info .git/objects/x .git/refs/heads/l .github .docker .git/HEAD"},
		{Hold, GitConfig, Link | Fresh, ".git a/.git HEAD"},
		{Hold, SelfRunning, Link | Fresh, ".vscode .claude .mcp.json"},
		{Pass, "", Link | Fresh, "latest src/link"},
		{Pass, "", Dir, "src head app/head objects refs"},
	} {
		for p := range strings.FieldsSeq(c.paths) {
			if strings.Contains(p, "..") {
				continue
			}
			_, v := walk(r, p, c.entry)
			if v.Kind != c.kind || v.Class != c.class {
				t.Errorf("%q (%x): %v %q (%s), want %v %q", p, c.entry, v.Kind, v.Class, v.Reason, c.kind, c.class)
			}
			if v.Kind != Pass && v.Reason == "" {
				t.Errorf("%q: no reason", p)
			}
		}
	}
}

func TestLockOnly(t *testing.T) {
	r := mustRules(t, Options{})
	git, _ := r.Root().Judge(".git", Dir)
	for _, n := range []string{"HEAD", "index", "packed-refs", "sharedindex.0123"} {
		if _, v := git.Judge(n, File); !v.LockOnly || v.Kind != Pass {
			t.Errorf("%s: %+v, want a pass by lock only", n, v)
		}
		if git.Replace("x", n) {
			t.Errorf("x may replace %s", n)
		}
	}
	for from, to := range map[string]string{"HEAD.lock": "HEAD", "index.lock": "index", "packed-refs.new": "packed-refs", "sharedindex_x": "sharedindex.1", "a": "b"} {
		if !git.Replace(from, to) {
			t.Errorf("%s may not replace %s", from, to)
		}
	}
}

func TestPinned(t *testing.T) {
	r := mustRules(t, Options{})
	git, _ := r.Root().Judge(".git", Dir)
	for _, n := range []string{"HEAD", "objects", "refs"} {
		if v := git.Remove(n, Any); v.Kind != Deny {
			t.Errorf("removal of .git/%s: %v", n, v.Kind)
		}
	}
	if v := r.Root().Remove(".git", Dir); v.Kind != Deny {
		t.Errorf("removal of .git: %v", v.Kind)
	}
	if v := r.Root().Remove(".git", File); v.Kind != Hold {
		t.Errorf("removal of a .git file: %v", v.Kind)
	}
	if v := git.Remove("index", File); v.Kind != Pass || v.LockOnly {
		t.Errorf("removal of the index: %+v", v)
	}
	if v := r.Root().Remove("a", Dir); v.Kind != Pass {
		t.Errorf("removal of a: %v", v.Kind)
	}
}

func TestStatesTell(t *testing.T) {
	r := mustRules(t, Options{Hold: []belljar.Pattern{{Glob: "deploy/**"}}})
	st := func(p string) State { s, _ := walk(r, p, Dir); return s }
	if st("a") != st("b") || st("a/b") != st("c") {
		t.Error("plain directories differ")
	}
	for _, p := range []string{".git", ".vscode", ".ssh", "deploy", ".github", ".git/refs", ".git/objects", ".claude"} {
		if st(p) == st("a") {
			t.Errorf("%s is like a plain directory: a rename could change what is below", p)
		}
	}
	if !st(".git/objects").Free() || st("a").Free() || !st(".vscode").Private() || st("a").Private() || !st(".git/refs").InGit() {
		t.Error("Free, Private or InGit is wrong")
	}
	if st(".vscode/x/y") != st(".vscode") {
		t.Error("below .vscode is not like .vscode")
	}
}

func TestShape(t *testing.T) {
	r := mustRules(t, Options{})
	s, _ := r.Root().Judge("fixture", Dir)
	names := func(l ...string) func(string) bool {
		return func(n string) bool { return strings.Contains(" "+strings.Join(l, " ")+" ", " "+n+" ") }
	}
	if s.Shape(names("config", "hooks", "objects", "refs")) != s {
		t.Error("without HEAD the state changed")
	}
	if got := s.Shape(names("HEAD", "objects", "refs")); got != s.AsGitDir() || got == s {
		t.Error("a bare repository is not taken for one")
	}
	half := s.Shape(names("HEAD"))
	if half == s || half.InGit() {
		t.Error("a folder with a HEAD only has the wrong state")
	}
	for _, n := range []string{"objects", "refs", "config", "hooks", "commondir", "Objects"} {
		if _, v := half.Judge(n, Any|Fresh); v.Kind != Hold {
			t.Errorf("%s beside a HEAD: %v", n, v.Kind)
		}
	}
	if sub, v := half.Judge("src", Dir); v.Kind != Pass || sub != s {
		t.Error("an ordinary folder beside a HEAD is not ordinary")
	}
	if !half.Shape(names("HEAD")).Shape(names()).InGit() && half.AsGitDir() != s.AsGitDir() {
		t.Error("AsGitDir of a headed folder differs")
	}
}

func TestUserPatterns(t *testing.T) {
	o := belljar.Origin{Layer: "user", File: "policy.yaml", Line: 3}
	r := mustRules(t, Options{
		Hide: []belljar.Pattern{{Glob: "**/*.tfstate", Origin: o}, {Glob: ".env*", Origin: belljar.Origin{Layer: "default"}}},
		Hold: []belljar.Pattern{{Glob: "deploy/**", Origin: o}},
	})
	for path, want := range map[string]Kind{
		"a/x.tfstate": Hide, "deploy": Pass, "deploy/x": Hold, "deploy/a/b": Hold, "deploy/x.tfstate": Hide, "deploy/.env": Hide,
		".env.example": Pass, ".env": Hide, ".vscode/.env": Hide, "x/deploy/y": Pass,
	} {
		v := r.Explain(path)
		if v.Kind != want {
			t.Errorf("%s: %v, want %v", path, v.Kind, want)
		}
		if path == "deploy/x" && (v.Rule == nil || v.Rule.Line != 3) {
			t.Errorf("%s does not say which rule: %+v", path, v.Rule)
		}
	}
	if _, err := New(Options{Mode: belljar.ModeLive, Hide: []belljar.Pattern{{Glob: "["}}}); err == nil {
		t.Error("a broken pattern compiles")
	}
	strict := mustRules(t, Options{Hide: []belljar.Pattern{{Glob: ".env*", Origin: o}}})
	if v := strict.Explain(".env.example"); v.Kind != Hide {
		t.Errorf("the user's own .env* does not hide a template: %v", v.Kind)
	}
}

func TestModes(t *testing.T) {
	rev := mustRules(t, Options{Mode: belljar.ModeReview})
	ro := mustRules(t, Options{Mode: belljar.ModeReadOnly})
	for p, want := range map[string][2]Kind{
		"main.go": {Hold, Deny}, ".env": {Hide, Hide}, ".vscode/x": {Hold, Deny}, ".git/index": {Hold, Deny}, ".git/config": {Hold, Deny},
	} {
		if v := rev.Explain(p); v.Kind != want[0] || v.Reason == "" || v.LockOnly {
			t.Errorf("review %s: %+v", p, v)
		}
		if v := ro.Explain(p); v.Kind != want[1] {
			t.Errorf("read-only %s: %v", p, v.Kind)
		}
	}
	if v := rev.Explain("Makefile"); v.Class != UserRun {
		t.Errorf("review loses the class: %+v", v)
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no mode is accepted")
	}
}

func TestMayLink(t *testing.T) {
	r := mustRules(t, Options{})
	plainDir := r.Root()
	git, _ := plainDir.Judge(".git", Dir)
	obj, _ := git.Judge("objects", Dir)
	v := func(s State, n string) Verdict { _, v := s.Judge(n, File); return v }
	for _, c := range []struct {
		a    State
		from string
		b    State
		to   string
		want bool
	}{
		{plainDir, "a", plainDir, "b", true},
		{plainDir, "a", plainDir, ".bashrc", false},
		{plainDir, ".mcp.json", plainDir, "a", false},
		{git, "index.lock", plainDir, "a", false},
		{plainDir, "a", git, "index", false},
		{plainDir, "a", git, "index.lock", false},
		{obj, "tmp_obj_x", obj, "y", true},
		{plainDir, "a", obj, "y", false},
	} {
		if got := MayLink(c.a, v(c.a, c.from), c.b, v(c.b, c.to)); got != c.want {
			t.Errorf("link %s to %s: %v", c.from, c.to, got)
		}
	}
}

func TestLinkLeaves(t *testing.T) {
	for _, c := range []struct {
		dir, target string
		want        bool
	}{
		{"", "a", false},
		{"", "../a", true},
		{"a", "../b", false},
		{"a/b", "../../c", false},
		{"a/b", "../../../c", true},
		{"", "/etc/passwd", true},
		{"a", "x/../b", true},
		{".", "./a/b", false},
		{"a", "..", false},
		{"", "..", true},
	} {
		if got := LinkLeaves(c.dir, c.target); got != c.want {
			t.Errorf("LinkLeaves(%q, %q) = %v", c.dir, c.target, got)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	s, _ := mustRules(b, Options{}).Root().Judge("src", Dir)
	git, _ := s.Judge(".git", Dir)
	obj, _ := git.Judge("objects", Dir)
	for _, c := range []struct {
		name string
		s    State
		file string
	}{{"plain", s, "component.go"}, {"upper", s, "README.md"}, {"secret", s, ".env.local"}, {"object", obj, "ab"}, {"git", git, "ORIG_HEAD"}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.s.Judge(c.file, File)
			}
		})
	}
}

// What editors keep beside a hidden file is hidden with it.
func TestEditorsCopies(t *testing.T) {
	r, err := New(Options{Mode: belljar.ModeLive, Hide: []belljar.Pattern{{Glob: "plans.txt"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(".npmrc.swp .npmrc.swo ..npmrc.swp .server.key.swp server.key~ .netrc~ .npmrc.bak .id_rsa.swp id_rsa~ id_rsa.~12~ id_rsa.bak " +
		"key.pem.bak #.env# .#.env #server.key# PLANS.TXT~ .plans.txt.swp plans.txt.orig .kube.bak") {
		if _, v := r.Root().Judge(name, File); v.Kind != Hide {
			t.Errorf("%s: %v (%s)", name, v.Kind, v.Reason)
		}
	}
	for _, name := range strings.Fields("main.go~ .main.go.swp #main.go# .#main.go main.go.bak ~ .~ ## .# .swp .bak a~ x.sql logo.svg") {
		if _, v := r.Root().Judge(name, File); v.Kind == Hide {
			t.Errorf("%s is hidden: %s", name, v.Reason)
		}
	}
}
