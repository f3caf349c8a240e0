package worktree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/workspace/internal/objects"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// A lab is a user's repository and a worktree that was made of it.
type lab struct {
	t    *testing.T
	dir  string
	src  Source
	made string
	info *Info
}

const prepared = `git init -q -b main --object-format=$FORMAT .; seq 30 > a.txt; mkdir -p src/deep; echo b > src/b.txt; echo c > src/deep/c
echo SECRET > .env; ln -s a.txt link; printf '#!/bin/sh\n' > run.sh; chmod +x run.sh; printf 'x\0y' > bin; echo '*.o' > .gitignore
git add -f .; git commit -qm first; echo more >> src/b.txt; git commit -qam second; git tag v1; git branch side HEAD~1`

func newLab(t *testing.T, script string) *lab { return newLabOf(t, "sha1", script) }

func newLabOf(t *testing.T, format, script string) *lab {
	t.Helper()
	testenv.Need(t, "git")
	l := &lab{t: t, dir: t.TempDir()}
	project := filepath.Join(l.dir, "project")
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	l.src = Source{Project: project, GitDir: project + "/.git", Common: project + "/.git"}
	l.host(strings.ReplaceAll(prepared, "$FORMAT", format))
	l.host(script)
	l.create("one", false)
	return l
}

func (l *lab) create(name string, uncommitted bool) {
	l.t.Helper()
	l.made = filepath.Join(l.dir, "worktrees", name)
	var err error
	l.info, err = Create(context.Background(), CreateOptions{Source: l.src, Dir: l.made, Name: name, Rules: l.rules(), Uncommitted: uncommitted})
	if err != nil {
		l.t.Fatal(err)
	}
	// Where git runs here, the objects are not where a sandbox has them.
	if err := os.WriteFile(Tree(l.made)+"/.git/objects/info/alternates", []byte(l.src.ObjectsDir()+"\n"), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) rules() *rules.Rules {
	r, err := rules.New(rules.Options{Mode: belljar.ModeWorktree})
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

func (l *lab) sh(dir, script string, env ...string) string {
	l.t.Helper()
	c := exec.Command("sh", "-ec", script)
	c.Dir = dir
	c.Env = testenv.Environ(append([]string{"HOME=" + l.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@x"}, env...)...)
	out, err := c.CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func (l *lab) host(script string) string { l.t.Helper(); return l.sh(l.src.Project, script) }

// in runs a script in the worktree.
func (l *lab) in(script string) string {
	l.t.Helper()
	return l.sh(Tree(l.made), script, "PROJECT="+l.src.Project)
}

func (l *lab) fetch() (*Fetched, error) { return Fetch(context.Background(), l.src, l.made) }

func (l *lab) mergeWith(risky bool) *Merged {
	l.t.Helper()
	if _, err := l.fetch(); err != nil {
		l.t.Fatal(err)
	}
	m, err := Merge(context.Background(), MergeOptions{Source: l.src, Info: l.info, Who: Signature{"A <B>\n", "a@b"}, Rules: l.rules(), Risky: risky})
	if err != nil {
		l.t.Fatal(err)
	}
	return m
}

// clean wants git to find nothing wrong and nothing changed at home.
func (l *lab) clean() {
	l.t.Helper()
	if out := l.host("git status --porcelain; git fsck --strict --no-dangling 2>&1"); out != "" {
		l.t.Errorf("at home: %s", out)
	}
	if out := l.host("find .git -name '*.lock' -o -name 'tmp_belljar*' -o -name index.belljar; find . -name '.belljar-*'"); out != "" {
		l.t.Errorf("left behind: %s", out)
	}
}

func TestCreate(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			l := newLabOf(t, format, `echo dirty >> a.txt; echo new > new.txt; git remote add origin https://user:token@example.com/x.git; git config branch.main.remote origin`)
			if out := l.in("git status --porcelain -b"); out != "## belljar/one\n" {
				t.Errorf("status inside: %q", out)
			}
			if out := l.in("git diff-index --cached HEAD; git ls-files -t | grep -v ^H; ls -A; git fsck --strict"); !strings.HasPrefix(out, "S .env\n.git\n.gitignore\na.txt\nbin\nlink\nrun.sh\nsrc\n") {
				t.Errorf("inside: %s", out)
			}
			if out := l.in("git branch -a --format='%(refname)'; git tag; git remote -v; cat .git/config; test -x run.sh; readlink link"); !strings.Contains(out, "refs/heads/main\nrefs/heads/side\nv1\n") ||
				!strings.Contains(out, "https://example.com/x.git") || strings.Contains(out, "token") {
				t.Errorf("the repository inside: %s", out)
			}
			l.in("git gc -q; git checkout -q side; git checkout -q belljar/one; git stash list; git rebase -q side")
			if l.host("git status --porcelain") == "" {
				t.Error("the user's changes are gone")
			}
		})
	}
}

// Each creation removes what killed ones left, and nothing of one that goes on beside it.
func TestCreateAtOnce(t *testing.T) {
	l := newLab(t, "")
	rules := l.rules()
	var g errgroup.Group
	for i := range 8 {
		g.Go(func() error {
			for n := range 25 {
				name := fmt.Sprintf("at-%d-%d", i, n)
				dir := filepath.Join(l.dir, "worktrees", name)
				if _, err := Create(context.Background(), CreateOptions{Source: l.src, Dir: dir, Name: name, Rules: rules}); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Of creations of one worktree at once one makes it, whole.
func TestCreateTheSameAtOnce(t *testing.T) {
	l := newLab(t, "")
	rules := l.rules()
	for n := range 25 {
		name := fmt.Sprintf("same-%d", n)
		dir := filepath.Join(l.dir, "worktrees", name)
		var g errgroup.Group
		var made atomic.Int32
		for range 4 {
			g.Go(func() error {
				_, err := Create(context.Background(), CreateOptions{Source: l.src, Dir: dir, Name: name, Rules: rules})
				if err == nil {
					made.Add(1)
				} else if errors.Is(err, ErrThere) {
					_, err = Load(dir)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil || made.Load() != 1 {
			t.Fatalf("%d made it: %v", made.Load(), err)
		}
	}
}

// Merges that follow each other at once never take the lock of one that goes on for one that a
// killed merge left.
func TestIndexLockAtOnce(t *testing.T) {
	l := newLab(t, "")
	var g errgroup.Group
	var holders, taken atomic.Int32
	for range 8 {
		g.Go(func() error {
			r, err := openRepo(context.Background(), l.src.GitDir, l.src.Common)
			if err != nil {
				return err
			}
			defer r.close()
			for range 1000 {
				lock, err := (&landing{merging: &merging{r: r, res: &Merged{}}}).lockIndex()
				if err != nil {
					return err
				}
				if lock == nil {
					continue
				}
				taken.Add(1)
				alone := holders.Add(1) == 1
				holders.Add(-1)
				if err := errors.Join(r.git.Remove(indexLock), lock.Close()); err != nil || !alone {
					return fmt.Errorf("alone: %t, %w", alone, err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if taken.Load() == 0 {
		t.Error("nobody had the lock")
	}
}

// The same branch is brought home by several at once: all find it there.
func TestFetchTheSameAtOnce(t *testing.T) {
	l := newLab(t, "")
	l.sh(Tree(l.made), "echo x > x; git add x; git commit -qm x", "GIT_AUTHOR_NAME=n", "GIT_AUTHOR_EMAIL=e", "GIT_COMMITTER_NAME=n", "GIT_COMMITTER_EMAIL=e")
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			_, err := l.fetch()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestUncommitted(t *testing.T) {
	l := newLab(t, `echo dirty >> a.txt; git rm -q src/deep/c; echo new > new.txt; echo o > x.o; mkdir -p d/e; echo n > d/e/f; echo S > d/.env
rm link; mkdir link; echo in > link/x; git init -q nested; rm run.sh; ln -s a.txt run.sh`)
	l.create("two", true)
	got := l.in("git status --porcelain -uall; cat new.txt link/x; readlink run.sh")
	want := " M a.txt\n D link\n T run.sh\n D src/deep/c\n?? d/e/f\n?? link/x\n?? new.txt\nnew\nin\na.txt\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	names, err := Uncommitted(context.Background(), l.src, l.made, l.rules(), 100)
	if want := []string{"a.txt", "d/e/f", "link", "link/x", "new.txt", "run.sh", "src/deep/c"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v %q", err, names)
	}
}

func TestCreateRefuses(t *testing.T) {
	for _, c := range []struct{ name, script, why string }{
		{"branch", "git branch belljar/two", "is there already"},
		{"branch in the way", "git branch belljar", "is in the way"},
		{"borrowed", "git repack -qad; mv .git/objects/pack ../p; mkdir -p ../o .git/objects/info; mv ../p ../o/pack; echo ../../../o > .git/objects/info/alternates", "borrows objects elsewhere"},
		{"no commit", "rm -rf .git; git init -q .", "no commit yet"},
		{"objects are a link", "mv .git/objects ../o; ln -s ../../o .git/objects", "no folder of objects"},
		{"hostile tree", `T=$(printf '100644 blob %s\t.git/x' $(git rev-parse HEAD:a.txt) | sed s,.git/x,.GIT, | git mktree); git update-ref HEAD $(git commit-tree -m x $T)`, "with the name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, "")
			l.host(c.script)
			dir := filepath.Join(l.dir, "worktrees", "two")
			_, err := Create(context.Background(), CreateOptions{Source: l.src, Dir: dir, Name: "two", Rules: l.rules()})
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(l.dir, "worktrees", "*")); len(left) != 1 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// TestMergeAsGit: what merges here gives the tree that git gives.
func TestMergeAsGit(t *testing.T) {
	for _, c := range []struct{ name, ours, theirs string }{
		{"fast-forward", ":", `sed -i s/^3$/three/ a.txt; git rm -q src/deep/c; mkdir n; echo n > n/n; chmod -x run.sh; ln -sf bin link; git add -A; git commit -qm t`},
		{"both", `sed -i s/^3$/three/ a.txt; git commit -qam o`, `sed -i s/^20$/twenty/ a.txt; echo n > n; git add -A; git commit -qm t`},
		{"same on both", `echo n > n; sed -i s/^3$/x/ a.txt; git add -A; git commit -qm o`, `echo n > n; sed -i s/^3$/x/ a.txt; git add -A; git commit -qm t`},
		{"removed and mode", `git rm -q bin; git commit -qam o`, `chmod +x a.txt; git rm -rq src; git commit -qam t`},
		{"file to folder", `echo o > o; git add .; git commit -qm o`, `git rm -q link; mkdir -p link/x; echo y > link/x/y; git add .; git commit -qm t`},
		{"folder to file", `echo o > o; git add .; git commit -qm o`, `git rm -rq src; echo file > src; git add .; git commit -qm t`},
		{"mode and text", `chmod +x a.txt; git commit -qam o`, `echo x >> a.txt; git commit -qam t`},
		{"merge inside", `echo o > o; git add .; git commit -qm o`, `git checkout -qb k HEAD~1; echo k > k; git add .; git commit -qm k; git checkout -q belljar/one; git merge -q -m m k`},
	} {
		for _, format := range []string{"sha1", "sha256"} {
			t.Run(c.name+"/"+format, func(t *testing.T) {
				t.Parallel()
				l := newLabOf(t, format, "")
				l.in(c.theirs)
				l.host(c.ours)
				if _, err := l.fetch(); err != nil {
					t.Fatal(err)
				}
				l.host("git worktree add -q --detach ../expected; cd ../expected; git merge -q -m m belljar/one")
				m := l.mergeWith(true)
				if m.Blocked != "" || len(m.Conflicts) > 0 {
					t.Fatalf("%+v", m)
				}
				if got, want := l.host("git rev-parse HEAD^{tree}"), l.host("git -C ../expected rev-parse HEAD^{tree}"); got != want {
					t.Errorf("the tree is not git's:\n%s", l.host("git diff --stat HEAD:: $(git -C ../expected rev-parse HEAD) || git -C ../expected diff HEAD "+strings.TrimSpace(l.host("git rev-parse HEAD"))))
				}
				l.clean()
				if m.Commit != strings.TrimSpace(l.host("git rev-parse HEAD")) || l.host("git symbolic-ref HEAD") != "refs/heads/main\n" {
					t.Error("HEAD is not what was said")
				}
				if again := l.mergeWith(true); !again.UpToDate {
					t.Errorf("again: %+v", again)
				}
			})
		}
	}
}

// TestMergeNot: nothing changes where there is a conflict or something in the way.
func TestMergeNot(t *testing.T) {
	for _, c := range []struct{ name, ours, theirs, why string }{
		{"conflict", `sed -i s/^3$/x/ a.txt; git commit -qam o`, `sed -i s/^3$/y/ a.txt; git commit -qam t`, "conflict a.txt: the same lines"},
		{"removed and changed", `git rm -q a.txt; git commit -qam o`, `echo y >> a.txt; git commit -qam t`, "conflict a.txt: removed here"},
		{"changed and removed", `echo y >> a.txt; git commit -qam t`, `git rm -q a.txt; git commit -qam o`, "conflict a.txt: changed here"},
		{"binary", `printf 'o\0' > bin; git commit -qam o`, `printf 't\0' > bin; git commit -qam t`, "conflict bin: changed on both sides, and no text"},
		{"added twice", `echo o > n; git add .; git commit -qm o`, `echo t > n; git add .; git commit -qm t`, "conflict n: added on both sides"},
		{"link", `ln -sf bin link; git commit -qam o`, `ln -sf src link; git commit -qam t`, "conflict link: changed on both sides, and not only"},
		{"dirty", `echo x >> a.txt`, `echo y > b; sed -i s/^3$/y/ a.txt; git add .; git commit -qm t`, `"a.txt" is changed here`},
		{"staged", `echo x >> a.txt; git add a.txt; git show HEAD:a.txt > a.txt`, `sed -i s/^3$/y/ a.txt; git commit -qam t`, `"a.txt" is staged here`},
		{"untracked", `echo mine > n`, `echo t > n; git add .; git commit -qm t`, `"n" is here already`},
		{"untracked folder", `mkdir n; echo mine > n/x`, `echo t > n; git add .; git commit -qm t`, `"n" is a folder here`},
		{"ignored", `echo mine > x.o`, `echo t > x.o; git add -f .; git commit -qm t`, `"x.o" is here already`},
		{"removed here", `rm a.txt`, `echo y >> a.txt; git commit -qam t`, `"a.txt" was removed here`},
		{"link in the way", `ln -s /tmp n`, `mkdir n; echo t > n/x; git add .; git commit -qm t`, `"n/x" cannot be reached`},
		{"merging", `echo m > .git/MERGE_HEAD`, `echo y >> a.txt; git commit -qam t`, "git has not finished"},
		{"locked", `touch .git/index.lock`, `echo y >> a.txt; git commit -qam t`, "another program works"},
		{"strangers", `git checkout -q --orphan o; git commit -qm o`, `echo y >> a.txt; git commit -qam t`, "no commit in common"},
		{"risky", `:`, `echo x > .envrc; git add -f .; git commit -qm t`, "it brings files"},
		{"risky link", `:`, `ln -s /etc/passwd p; git add -f .; git commit -qm t`, "it brings files"},
		{"hidden", `:`, `echo x > n.pem; git add -f .; git commit -qm t`, "it brings files"},
		{"hidden removed", `:`, `git update-index --no-skip-worktree .env; git rm -q --cached .env; git commit -qm t`, "it brings files"},
		{"submodule", `:`, `git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),sub; git commit -qm t`, "it brings files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "")
			l.in(c.theirs)
			l.host(c.ours)
			before := l.host("git rev-parse HEAD; git status --porcelain 2>&1; git ls-files -s; find . -path ./.git -prune -o -type f -print | sort | xargs md5sum")
			m := l.mergeWith(false)
			why := m.Blocked
			for _, x := range m.Conflicts {
				why += "conflict " + x.Path + ": " + x.Why
			}
			if !strings.Contains(why, c.why) || m.Commit != "" {
				t.Errorf("why: %q, commit %q", why, m.Commit)
			}
			if after := l.host("git rev-parse HEAD; git status --porcelain 2>&1; git ls-files -s; find . -path ./.git -prune -o -type f -print | sort | xargs md5sum"); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

// TestMergeNotRisky: what needs consent is told of where nothing is merged, too.
func TestMergeNotRisky(t *testing.T) {
	const evil = `echo x > .envrc; git add -f .; git commit -qm t`
	for name, c := range map[string][2]string{
		"conflict":  {`sed -i s/^3$/x/ a.txt; git commit -qam o`, `sed -i s/^3$/y/ a.txt;` + evil},
		"strangers": {`git checkout -q --orphan o; git commit -qm o`, evil},
		"beginnings": {`echo o > o; git add -f .; git commit -qm o; O=$(git rev-parse HEAD); T=$(cd ../worktrees/one; cat tip)
			git fetch -q ../worktrees/one/tree $T; git merge -q -m m $T`, `echo t > t; git add .; git commit -qm t; git rev-parse HEAD > ../tip`},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, "")
			l.in(c[1])
			l.host(c[0])
			if name == "beginnings" { // each side merges the other
				l.in(`git fetch -q "$PROJECT" main; git merge -q -m n $(git rev-parse FETCH_HEAD^1);` + evil)
			}
			m := l.mergeWith(false)
			if m.Commit != "" || m.Blocked == "" && len(m.Conflicts) == 0 {
				t.Fatalf("it was merged: %+v", m)
			}
			if !slices.ContainsFunc(m.Changes, func(c Change) bool { return c.Path == ".envrc" && c.Risky }) {
				t.Errorf("not told of: %+v", m)
			}
		})
	}
}

// An ending is a context that ends when a merge has added a file.
type ending struct {
	context.Context
	tree string
}

func (e *ending) Err() error {
	if _, err := os.Lstat(e.tree + "/n"); err == nil {
		return context.Canceled
	}
	return nil
}

// TestMergeFails: what a merge that fails midway has changed is taken back, whatever
// keeps it from ending.
func TestMergeFails(t *testing.T) {
	for name, script := range map[string]string{
		"a file": ``,
		"branch": `touch .git/refs/heads/main.lock`,
		"index":  `mkdir .git/index.belljar`,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, `mkdir z; echo f > z/f; chmod 755 bin; git add .; git commit -qm z`)
			l.in(`sed -i s/^3$/y/ a.txt; git rm -q src/deep/c; echo n > n; mkdir d; mv bin d; ln -sf bin link; echo f2 > z/f; git add -A; git commit -qm t`)
			if _, err := l.fetch(); err != nil {
				t.Fatal(err)
			}
			l.host(script)
			const look = "git rev-parse HEAD; git --no-optional-locks status --porcelain 2>&1; git ls-files -s; find . -path ./.git -prune -o -print | sort | xargs ls -ld --time-style=+ | awk '{print $1,$NF}'; cat a.txt"
			before := l.host(look)
			o := MergeOptions{Source: l.src, Info: l.info, Rules: l.rules(), Risky: true}
			ctx := context.Background()
			if name == "a file" { // the last is not reached
				ctx = &ending{Context: ctx, tree: l.src.Project}
			}
			if m, err := Merge(ctx, o); err == nil || errors.Is(err, ErrHalf) {
				t.Fatalf("%+v, %v", m, err)
			}
			if after := l.host(look); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

// TestReplace: a file is replaced only where it is still what it was; what was saved in
// the moment before stays, whatever it is, and nothing is left behind.
func TestReplace(t *testing.T) {
	sum := func(text string) side { return side{modeFile, objects.Sum(objects.Blob, []byte(text), 20)} }
	for _, c := range []struct {
		name, is string
		was      side
		ok       bool
	}{
		{"same", "old", sum("old"), true},
		{"edited", "edit", sum("old"), false},
		{"nothing", "", side{}, true},
		{"made", "edit", side{}, false},
		{"removed", "", sum("old"), false},
		{"folder", "/", sum("old"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			switch c.is {
			case "":
			case "/":
				if err := os.MkdirAll(dir+"/f/in", 0o700); err != nil {
					t.Fatal(err)
				}
			default:
				if err := os.WriteFile(dir+"/f", []byte(c.is), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f, err := openFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.close()
			err = f.replace("f", modeFile, []byte("new"), c.was, 20)
			if (err == nil) != c.ok || !c.ok && !errors.Is(err, errMoment) {
				t.Error(err)
			}
			want := c.is
			if c.ok {
				want = "new"
			}
			b, _ := os.ReadFile(dir + "/f")
			if st, err := os.Stat(dir + "/f/in"); string(b) != want && (c.is != "/" || err != nil || !st.IsDir()) {
				t.Errorf("it is %q", b)
			}
			if left, _ := filepath.Glob(dir + "/.belljar*"); len(left) > 0 {
				t.Error("left behind", left)
			}
		})
	}
}

// TestMergeKilled: a merge that was killed at any step is completed by the next.
func TestMergeKilled(t *testing.T) {
	for _, half := range []string{
		`printf 'belljar merge' > .git/index.lock; git show belljar/one:a.txt | head -5 > .belljar-AAAAAAAAAAAAAAAAAAAAAAAAAA
			cp src/deep/c src/deep/.belljar-BBBBBBBBBBBBBBBBBBBBBBBBBB; mkdir .git/objects/tmp_belljar_A; echo x > .git/objects/tmp_belljar_A/x; touch -d yesterday .git/objects/tmp_belljar_A
			echo mine > .belljar-CCCCCCCCCCCCCCCCCCCCCCCCCC`,
		`printf 'belljar merge' > .git/index.lock`,
		`printf 'belljar merge' > .git/index.lock; git show belljar/one:a.txt > a.txt; rm src/deep/c`,
		`git show belljar/one:a.txt > a.txt; rm -r src/deep; echo n > n; git add -A; printf 'belljar merge' > .git/index.lock`,
	} {
		l := newLab(t, "")
		l.in(`sed -i s/^3$/y/ a.txt; git rm -q src/deep/c; echo n > n; git add .; git commit -qm t`)
		if _, err := l.fetch(); err != nil {
			t.Fatal(err)
		}
		l.host(half)
		if m := l.mergeWith(false); m.Blocked != "" || m.Commit == "" {
			t.Errorf("%s: %+v", half, m)
		}
		if strings.Contains(half, "CCC") && l.host("cat .belljar-CCC*; rm .belljar-CCC*") != "mine\n" {
			t.Error("what is no leftover is gone")
		}
		l.clean()
	}
}

// TestFetchAgain: a branch moves forward only.
func TestFetchAgain(t *testing.T) {
	l := newLab(t, "git pack-refs --all")
	l.in("echo x > x; git add .; git commit -qm x")
	for _, want := range []int{1, 0} {
		if got, err := l.fetch(); err != nil || got.Commits != want {
			t.Fatal(got, err)
		}
	}
	l.host("git pack-refs --all; git gc -q")
	l.in("echo y > y; git add .; git commit -qm y; git repack -qad; git pack-refs --all")
	if got, err := l.fetch(); err != nil || got.Commits != 1 {
		t.Fatal(got, err)
	}
	l.in("git commit -q --amend -m z")
	if _, err := l.fetch(); err == nil || !strings.Contains(err.Error(), "rewritten") {
		t.Errorf("a branch that was rewritten: %v", err)
	}
	l.clean()
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, text := range []string{"{", `{"name":"x","branch":"main"}`, `{"name":"../x","branch":"belljar/../x"}`} {
		if err := os.WriteFile(filepath.Join(dir, infoFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}
