package view

import (
	"os"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
)

const makeRepo = `git init -q -b main . && echo one > f && mkdir -p d && for i in $(seq 1 50); do echo $i > d/$i; done &&
git add -A && git commit -qm first && git config user.name host`

func repoWorld(t *testing.T) *world {
	t.Helper()
	return newWorld(t, worldOptions{seed: repoSeed(t, makeRepo)})
}

// TestGit uses git inside as people do and lets the host's git check the repository
// after every step.
func TestGit(t *testing.T) {
	t.Parallel()
	w := repoWorld(t)
	for _, step := range []struct{ name, script string }{
		{"status", `test -z "$(git status --porcelain)"`},
		{"commit", `echo two >> f; git add f; git commit -qm second`},
		{"branch", `git switch -qc topic; echo t > t; git add t; git commit -qm topic; git switch -q main; git merge -q topic`},
		{"stash", `echo dirty >> f; git stash -q; git stash pop -q; git checkout -q f`},
		{"rebase", `git switch -qc r HEAD~1; echo r > r; git add r; git commit -qm r; git rebase -q main; git switch -q main`},
		{"amend", `git commit -q --amend -m amended --allow-empty`},
		{"tag", `git tag v1; git tag -a v2 -m v2`},
		{"config", `git config core.abbrev 12; test "$(git config core.abbrev)" = 12`},
		{"remote", `git remote add origin /nowhere; git remote -v | grep -q nowhere`},
		{"hook", `printf '#!/bin/sh\necho ran > hook-ran\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; git commit -q --allow-empty -m h; test -f hook-ran; rm hook-ran .git/hooks/pre-commit`},
		{"worktree", `git worktree add -q wt -b wtb; cd wt; echo w > w; git add w; git commit -qm w; cd ..`},
		{"gc", `git gc -q; git pack-refs --all`},
		{"nested", `git init -q nested; cd nested; echo n > n; git add n; git commit -qm n; cd ..; rm -rf nested`},
		{"bare", `git init -q --bare bare.git; git push -q bare.git main`},
		{"reset", `git reset -q --hard HEAD~1; git log --oneline | head -3`},
		{"mv", `git mv f g; git commit -qm mv`},
		{"clean", `echo x > junk; git clean -qf; test ! -e junk`},
	} {
		t.Run(step.name, func(t *testing.T) {
			w.t = t
			config := read(t, w.host+"/.git/config")
			w.sh(step.script)
			if got := read(t, w.host+"/.git/config"); got != config {
				t.Errorf("the host's configuration changed: %q", got)
			}
			w.onHost(`git fsck --strict 2>&1; git status >/dev/null; git log --oneline >/dev/null`)
		})
	}
	w.t = t
	absent(t, w.host+"/.git/hooks/pre-commit")
	absent(t, w.host+"/bare.git/HEAD")
	if out := w.onHost(`git log --oneline`); !strings.Contains(out, "mv") {
		t.Errorf("commits made inside are missing on the host: %s", out)
	}
}

// TestGitDoesNotRehash: the first status inside finds the index valid, and so does
// the next one on the host.
func TestGitDoesNotRehash(t *testing.T) {
	w := repoWorld(t)
	w.onHost(`sleep 1.1; git status >/dev/null; touch -d '1 hour ago' d/1; git update-index --refresh; git status > /dev/null`)
	before := read(t, w.host+"/.git/index")
	w.sh(`git status >/dev/null`)
	if read(t, w.host+"/.git/index") != before {
		t.Error("git status inside rewrote the index")
	}
}

// TestGitAttacks plants what git on the host would obey; nothing of it may arrive.
func TestGitAttacks(t *testing.T) {
	t.Parallel()
	payload := `printf '#!/bin/sh\ntouch /tmp/pwned\n'`
	for _, c := range []struct{ name, script, absent string }{
		{"hook", payload + ` > .git/hooks/post-checkout; chmod +x .git/hooks/post-checkout`, ".git/hooks/post-checkout"},
		{"hook by rename", payload + ` > x; chmod +x x; mv x .git/hooks/post-checkout`, ".git/hooks/post-checkout"},
		{"hook by link", payload + ` > x; ln x .git/hooks/post-checkout || cp x .git/hooks/post-checkout`, ".git/hooks/post-checkout"},
		{"hook by symlink", payload + ` > x; chmod +x x; ln -s ../../x .git/hooks/post-checkout`, ".git/hooks/post-checkout"},
		{"hooks by symlink", `mkdir h; mv .git/hooks .git/old; ln -s ../h .git/hooks`, ".git/old"},
		{"commondir", `echo ../x > .git/commondir`, ".git/commondir"},
		{"git file", `mkdir s; echo "gitdir: ../x" > s/.git`, "s/.git"},
		{"git file by rename", `mkdir s; echo "gitdir: ../x" > s/g; mv s/g s/.git`, "s/.git"},
		{"git symlink", `mkdir s x; ln -s ../x s/.git`, "s/.git"},
		{"bare", `mkdir b; cd b; mkdir objects refs; printf '[core]\nfsmonitor=x\n' > config; echo 'ref: refs/heads/main' > HEAD`, "b/HEAD"},
		{"bare by rename", `mkdir b; cd b; mkdir objects refs; printf '[core]\nfsmonitor=x\n' > config; echo 'ref: refs/heads/main' > H; mv H HEAD`, "b/HEAD"},
		{"bare, HEAD first", `mkdir b; cd b; echo 'ref: refs/heads/main' > head; mv head HEAD; mkdir objects refs`, "b/HEAD"},
		{"copy of .git", `cp -r .git old`, "old/HEAD"},
		{"case", `mkdir .GIT; echo x > .GIT/config`, ".GIT/config"},
		{"rebase-merge", `mkdir .git/rebase-merge; echo 'exec x' > .git/rebase-merge/git-rebase-todo`, ".git/rebase-merge"},
		{"attributes", `mkdir -p .git/info; echo '* filter=x' > .git/info/attributes`, ".git/info/attributes"},
		{"alternates", `echo /x > .git/objects/info/alternates`, ".git/objects/info/alternates"},
		{"dir rename", `mkdir tmp1; echo '{}' > tmp1/tasks.json; mv tmp1 .vscode`, ".vscode"},
		{"dir rename to hooks", `mkdir hk; echo x > hk/pre-commit; mv .git/hooks .git/hx; mv hk .git/hooks`, ".git/hooks/pre-commit"},
		{"modules", `mkdir -p .git/modules/m; echo x > .git/modules/m/config`, ".git/modules/m/config"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := repoWorld(t)
			config := read(t, w.host+"/.git/config")
			out, err := w.run("sh", "-c", c.script)
			t.Logf("%v %s", err, out)
			absent(t, w.host+"/"+c.absent)
			if read(t, w.host+"/.git/config") != config {
				t.Error("the configuration changed on the host")
			}
			w.onHost(`git fsck --strict; git status; git checkout -q .`)
		})
	}
}

// TestGitPinned: a repository of the host cannot be taken apart.
func TestGitPinned(t *testing.T) {
	t.Parallel()
	w := repoWorld(t)
	index := read(t, w.host+"/.git/index")
	for _, script := range []string{
		`echo x >> .git/index`, `mv .git/index i`, `mv .git gone`, `rm -rf .git`, `mv .git/HEAD .git/H`, `mv .git/objects o`, `rm .git/HEAD`, `echo x > .git/HEAD`,
		`mv .git/refs r`, `rmdir .git/refs`, `echo x > x; mv x .git/HEAD`, `echo x > x; mv x .git/index`,
		`ln .git/HEAD H`,
	} {
		if out, err := w.run("sh", "-ec", script); err == nil {
			t.Errorf("%s succeeded: %s", script, out)
		}
	}
	w.run("sh", "-c", `echo x >> .git/index`) // removed above, so this one is private
	if read(t, w.host+"/.git/index") != index {
		t.Error("the host's index changed")
	}
	w.onHost(`test -f .git/HEAD; test -d .git/objects; test -d .git/refs`)
	if _, err := os.Stat(w.host + "/.git/config"); err != nil {
		t.Error(err)
	}
}

// TestForgedIndex: an index that would write a hook stays inside.
func TestForgedIndex(t *testing.T) {
	t.Parallel()
	w := repoWorld(t)
	before := read(t, w.host+"/.git/index")
	w.sh(`printf 'DIRC\0\0\0\2\0\0\0\1forged' > .git/index.lock; mv .git/index.lock .git/index`)
	if read(t, w.host+"/.git/index") != before {
		t.Error("a forged index reached the host")
	}
	w.onHost(`git status`)
	// A descriptor that was opened before the rename must not write afterwards.
	w2 := repoWorld(t)
	out, err := w2.run("sh", "-c", `cp .git/index .git/index.lock; exec 3<>.git/index.lock; mv .git/index.lock .git/index; echo forged >&3`)
	t.Logf("%v %s", err, out)
	if strings.HasPrefix(read(t, w2.host+"/.git/index"), "forged") {
		t.Error("the index was written in place")
	}
	w2.onHost(`git status`)
}

// TestGitReview uses git where everything is held.
func TestGitReview(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "git")
	w := newWorld(t, worldOptions{mode: belljar.ModeReview, seed: repoSeed(t, makeRepo)})
	before := snapshot(t, w.host)
	w.sh(`echo two >> f; git commit -qam two; git switch -qc b; git mv f g; git commit -qm mv; git switch -q main; git merge -q b; git gc -q; git config a.b c; git fsck --strict; rm -rf d; git checkout -q d; test -f d/1`)
	w.server.Close()
	for name, was := range snapshot(t, w.host) {
		if before[name] != was {
			t.Errorf("%s changed on the host", name)
		}
		delete(before, name)
	}
	for name := range before {
		t.Errorf("%s is gone on the host", name)
	}
}

// TestLinkedWorktree serves a work tree whose git directory lies elsewhere.
func TestLinkedWorktree(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "git")
	base := t.TempDir()
	main := &world{t: t, host: base + "/main"}
	must(t, os.Mkdir(main.host, 0o755))
	main.onHost(makeRepo + ` && git worktree add -q ../wt -b wt`)
	w := newWorld(t, worldOptions{host: base + "/wt", gitDirs: []string{base + "/main/.git"}})
	config := read(t, base+"/main/.git/config")
	w.sh(`git status; echo x > x; git add x; git commit -qm inside; git branch other; git stash -q || true; git config k.v w; git log --oneline`)
	if read(t, base+"/main/.git/config") != config {
		t.Error("the configuration changed on the host")
	}
	for _, script := range []string{
		`echo x > "$(git rev-parse --git-common-dir)/hooks/post-checkout"`, `echo ../x > "$(git rev-parse --git-dir)/commondir"`,
		`mkdir "$(git rev-parse --git-common-dir)/worktrees/evil"`,
	} {
		w.run("sh", "-c", script)
	}
	absent(t, base+"/main/.git/hooks/post-checkout")
	absent(t, base+"/main/.git/worktrees/evil")
	w.onHost(`git fsck --strict; git log --oneline | grep -q inside; cat "$(git rev-parse --git-dir)/commondir" | grep -qx '../..'`)
}

// TestClone makes whole repositories inside.
func TestClone(t *testing.T) {
	t.Parallel()
	w := repoWorld(t)
	w.sh(`git clone -q . copy; cd copy; git log --oneline; echo x > y; git add y; git commit -qm y; git push -q origin HEAD:refs/heads/pushed; cd ..; git log --oneline pushed; git -c protocol.file.allow=always submodule add -q "$PWD/copy" sub; git commit -qm sub; rm -rf copy`)
	w.onHost(`git fsck --strict; git log --oneline`)
	absent(t, w.host+"/copy")
	absent(t, w.host+"/.gitmodules")
}

// TestHostRenamesUnderUs: a descriptor that is open for writing inside is useless
// once the host gives the file a name that is held.
func TestHostRenamesUnderUs(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(h string) { write(t, h+"/x", "old") }})
	f, err := os.OpenFile(w.in+"/x", os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("OLD"), 0)
	must(t, err)
	must(t, os.Rename(w.host+"/x", w.host+"/.bash_profile"))
	eventually(t, "writing fails", func() bool { _, err := f.WriteAt([]byte("OLD"), 0); return err != nil })
	f.WriteAt([]byte("NEW"), 0)
	if got := read(t, w.host+"/.bash_profile"); got != "OLD" {
		t.Errorf("the file is %q", got)
	}
}
