package gitcommits

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/workspace/rules"
)

func sh(t testing.TB, dir, script string) string {
	t.Helper()
	c := exec.Command("sh", "-ec", script)
	c.Dir = dir
	c.Env = testenv.Environ("HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@x")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v %s", script, err, out)
	}
	return string(out)
}

func judging(r *rules.Rules) func() (*rules.Rules, error) {
	return func() (*rules.Rules, error) { return r, nil }
}

func live(t testing.TB) *rules.Rules {
	t.Helper()
	r, err := rules.New(rules.Options{Mode: belljar.ModeLive})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func paths(r Report) []string {
	var out []string
	for _, f := range r.Found {
		out = append(out, f.Path)
	}
	slices.Sort(out)
	return out
}

const history = `for i in $(seq 30); do echo $i > f$i; mkdir -p d/e; echo $i > d/e/f; git add -A; git commit -qm $i; done; echo old > .envrc; git add .envrc; git commit -qm envrc; git branch old HEAD~7; git tag -a -m t annotated HEAD~3`

func TestNew(t *testing.T) {
	testenv.Need(t, "git")
	bases := map[string]string{"sha1": t.TempDir(), "sha256": t.TempDir()}
	for format, dir := range bases {
		sh(t, dir, `git init -q --object-format=`+format+` .; `+strings.ReplaceAll(history, "seq 30", "seq 10"))
	}
	for _, c := range []struct{ name, script, want string }{
		{"nothing", `:`, ""},
		{"ordinary", `echo x > x; echo y > d/e/f; git add -A; git commit -qm x`, ""},
		{"new", `mkdir -p d/.vscode .husky; echo x > d/.vscode/tasks.json; echo x > .husky/pre-commit; git add -A; git commit -qm x`, ".husky/pre-commit d/.vscode/tasks.json"},
		{"changed", `echo evil >> .envrc; git commit -qam x`, ".envrc"},
		{"removed", `git rm -q .envrc; git commit -qm x`, ""},
		{"hidden by a later commit", `echo x > d/.envrc; git add -A; git commit -qm x; git rm -q d/.envrc; git commit -qm y`, "d/.envrc"},
		{"old date", `echo x > d/.envrc; git add -A; GIT_COMMITTER_DATE=1970-01-02T00:00:00Z git commit -qm x`, "d/.envrc"},
		{"another branch", `git checkout -q -b side; echo x > d/.envrc; git add -A; git commit -qm x; git checkout -q -`, "d/.envrc"},
		{"detached", `git checkout -q --detach; echo x > d/.envrc; git add -A; git commit -qm x`, "d/.envrc"},
		{"tag only", `git checkout -q --detach; echo x > d/.envrc; git add -A; git commit -qm x; git tag -a -m t t; git checkout -q old`, "d/.envrc"},
		{"linked work tree", `git worktree add -q --detach w; cd w; echo x > d/.envrc; git add -A; git commit -qm x`, "d/.envrc"},
		{"branch in old history", `git branch b HEAD~8; git branch c old~1; git tag r $(git rev-list --max-parents=0 HEAD)`, ""},
		{"root", `git checkout -q --orphan o; git rm -rqf .; echo x > .envrc; git add -A; git commit -qm x`, ".envrc"},
		{"merge", `git checkout -q old; echo z > z; git add -A; git commit -qm z; git merge -q -m m -`, ""},
		{"merge with more", `git checkout -q old; echo z > z; git add -A; git commit -qm z; git merge -q --no-commit -; echo x > d/.envrc; git add -A; git commit -qm m`, "d/.envrc"},
		{"link", `ln -s d .vscode; git add -A; git commit -qm x`, ".vscode"},
		{"packed", `echo x > d/.envrc; git add -A; git commit -qm x; git gc -q; git pack-refs --all`, "d/.envrc"},
		{"packed with deltas on references", `for i in $(seq 60); do echo $i > d/e/g$i; done; git add -A; git commit -qm a; echo x > d/.envrc; git add -A; git commit -qm x; git repack -adfq --window=50 --depth=50`, "d/.envrc"},
		{"modules", `printf '[submodule "a"]\n\tpath=a\n\turl=./a\n' > .gitmodules; git add -A; git commit -qm x`, ".gitmodules"},
	} {
		for format, base := range bases {
			t.Run(c.name+"/"+format, func(t *testing.T) {
				t.Parallel()
				if format == "sha256" && !strings.HasPrefix(c.name, "packed") {
					return // the format matters for packs only
				}
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
					t.Fatal(err)
				}
				repo := Read(context.Background(), dir+"/.git", "")
				sh(t, dir, c.script)
				r, err := New(context.Background(), repo, judging(live(t)))
				if err != nil || !r.Complete {
					t.Fatal(err, r)
				}
				if got := strings.Join(paths(r), " "); got != c.want {
					t.Errorf("found %q, want %q", got, c.want)
				}
			})
		}
	}
}

// TestPlace: what a repository below the project brings is judged and named where it
// would be checked out.
func TestPlace(t *testing.T) {
	testenv.Need(t, "git")
	dir := t.TempDir()
	sh(t, dir, `git init -q .; mkdir -p build d; echo x > build/x; echo x > d/.envrc; git add -f .; git commit -qm x`)
	o := rules.Options{Mode: belljar.ModeLive, Hold: []belljar.Pattern{{Glob: "/vendor/lib/build/**"}}}
	r, err := rules.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{"": "d/.envrc", "vendor/lib": "vendor/lib/build/x vendor/lib/d/.envrc"} {
		rep, err := New(context.Background(), Repository{GitDir: dir + "/.git", At: at}, judging(r))
		if got := strings.Join(paths(rep), " "); err != nil || got != want {
			t.Errorf("at %q: %q, want %q (%v)", at, got, want, err)
		}
	}
}

// TestBounds: an endless repository ends with the time that it is given, and says so.
func TestBounds(t *testing.T) {
	testenv.Need(t, "git")
	dir := t.TempDir()
	sh(t, dir, `git init -q .; { i=0; while [ $i -lt 3000 ]; do i=$((i+1)); printf 'commit refs/heads/x\nmark :%d\ncommitter x <x@x> %d +0000\ndata 1\nx\nM 100644 inline f\ndata 5\n%05d\n' $i $i $i; done; } | git fast-import --quiet`)
	start := time.Now()
	r, err := New(context.Background(), Repository{GitDir: dir + "/.git"}, judging(live(t)))
	if err != nil || r.Complete || r.Commits != maxCommits {
		t.Errorf("%v %+v", err, r)
	}
	t.Logf("%d commits in %v", r.Commits, time.Since(start))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r, err := New(ctx, Repository{GitDir: dir + "/.git"}, judging(live(t))); err == nil && r.Complete {
		t.Errorf("complete although nothing could be looked at: %+v", r)
	}
	if _, err := New(context.Background(), Repository{GitDir: dir + "/none"}, judging(live(t))); err == nil {
		t.Error("no repository: no error")
	}
}

// TestDamaged reads a repository in which every file is damaged in turn: it must end
// and not panic.
func TestDamaged(t *testing.T) {
	testenv.Need(t, "git")
	dir := t.TempDir()
	sh(t, dir, `git init -q .; `+strings.ReplaceAll(history, "seq 30", "seq 9")+`; git repack -adfq; echo x > .envrc; git commit -qam x; chmod -R u+w .git`)
	for _, p := range strings.Fields(sh(t, dir, `find .git/objects -type f; echo .git/HEAD; find .git/refs -type f`)) {
		p = dir + "/" + p
		good, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(good); i += max(len(good)/25, 1) {
			for _, x := range []byte{0x01, 0x80} {
				bad := bytes.Clone(good)
				bad[i] ^= x
				if err := os.WriteFile(p, bad, 0o644); err != nil {
					t.Fatal(err)
				}
				_, _ = New(context.Background(), Repository{GitDir: dir + "/.git"}, judging(live(t)))
			}
		}
		if err := os.WriteFile(p, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := New(context.Background(), Repository{GitDir: dir + "/.git"}, judging(live(t))); err != nil || !r.Complete || len(r.Found) == 0 {
		t.Errorf("%v %+v", err, r)
	}
}

func FuzzObjects(f *testing.F) {
	f.Add([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nx"))
	f.Add([]byte("100644 a\x00aaaaaaaaaaaaaaaaaaaa40000 d\x00bbbbbbbbbbbbbbbbbbbb"))
	f.Fuzz(func(t *testing.T, a []byte) {
		_, parents := parseCommit(a)
		if len(parents) > 101 {
			t.Error("too many parents")
		}
		if es, err := parseTree(a, 20); err == nil && len(es)*23 > len(a) {
			t.Error("more entries than there is room for")
		}
	})
}
