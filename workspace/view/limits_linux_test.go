package view

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestSparsePrivateFile: a private file cannot be longer than the quota could fill.
func TestSparsePrivateFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{disk: 8 << 20})
	for _, script := range []string{
		`truncate -s 100G .envrc`, `truncate -s 9M .envrc`, `printf x | dd of=.envrc bs=1 seek=100G conv=notrunc`,
		`fallocate -l 100G .envrc`, `fallocate -z -o 100G -l 4096 .envrc`,
	} {
		if out, err := w.run("sh", "-c", script); err == nil {
			t.Errorf("%s succeeded: %s", script, out)
		}
		if i, err := os.Stat(w.in + "/.envrc"); err == nil && i.Size() > 8<<20 {
			t.Errorf("%s: %d bytes", script, i.Size())
		}
	}
	w.sh(`truncate -s 2M .envrc; dd if=/dev/zero of=.envrc bs=64k count=48 conv=notrunc status=none; truncate -s 4M .envrc; echo end >> .envrc`)
	absent(t, w.host+"/.envrc")
	w.sh(`truncate -s 100G passes`) // the host's own files may be as sparse as they like
	out, err := w.run("sh", "-c", `mv passes .npmrc`)
	if err == nil {
		t.Errorf("a sparse file became private: %s", out)
	}
	// A copy fills the holes, which is charged.
	w = newWorld(t, worldOptions{disk: 8 << 20})
	w.run("sh", "-c", `for i in 1 2 3 4 5 6; do truncate -s 3M .envrc && mv .envrc out$i; truncate -s 3M in && mv in .npmrc; done`)
	out = w.onHost(`du -k . | tail -1 | cut -f1`)
	if kib, err := strconv.Atoi(strings.TrimSpace(out)); err != nil || kib > 10<<10 {
		t.Errorf("the host has %s KiB", out)
	}
}

// TestDirectoriesStayUsable: the owner can always enter what the sandbox leaves.
func TestDirectoriesStayUsable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.sh(`mkdir d .vscode; mkdir -m 0 e .vscode/e; chmod 0 d .vscode .; chmod 500 d`)
	for _, d := range []string{"", "/d", "/e"} {
		i, err := os.Stat(w.host + d)
		must(t, err)
		if i.Mode().Perm()&0o700 != 0o700 {
			t.Errorf("%q is %v", d, i.Mode())
		}
	}
	i, err := os.Stat(w.in + "/.vscode/e")
	must(t, err)
	if i.Mode().Perm()&0o700 != 0o700 {
		t.Errorf("a private folder is %v", i.Mode())
	}
}

// TestForgedHead: what git would not take for a HEAD stays inside.
func TestForgedHead(t *testing.T) {
	t.Parallel()
	for _, forged := range []string{`garbage\n`, `ref: refs/heads/../../../x\n`, `ref: refs/heads/main`, ``} {
		w := repoWorld(t)
		w.run("sh", "-c", `printf '`+forged+`' > .git/HEAD.lock; mv .git/HEAD.lock .git/HEAD`)
		if got := read(t, w.host+"/.git/HEAD"); got != "ref: refs/heads/main\n" {
			t.Errorf("%q: the host has %q", forged, got)
		}
		w.onHost(`git status; git fsck --strict`)
	}
}

// worktreeSeed makes it anew: work trees know their absolute paths.
func worktreeSeed(t *testing.T) func(string) {
	return func(h string) { (&world{t: t, host: h}).onHost(makeRepo + ` && git worktree add -q wt -b wt`) }
}

// TestForgedWorktreeHead is the same for a linked work tree.
func TestForgedWorktreeHead(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "git")
	w := newWorld(t, worldOptions{seed: worktreeSeed(t)})
	w.run("sh", "-c", `echo garbage > .git/worktrees/wt/HEAD.lock; mv .git/worktrees/wt/HEAD.lock .git/worktrees/wt/HEAD`)
	if got := read(t, w.host+"/.git/worktrees/wt/HEAD"); got != "ref: refs/heads/wt\n" {
		t.Errorf("the host has %q", got)
	}
	w.sh(`cd wt; cp ../.git/HEAD x; rm x`)
	w.onHost(`cd wt; git status`)
	w = newWorld(t, worldOptions{seed: worktreeSeed(t)})
	w.sh(`cd wt; git checkout -q --detach; git checkout -qb other`)
	if got := read(t, w.host+"/.git/worktrees/wt/HEAD"); got != "ref: refs/heads/other\n" {
		t.Errorf("the host has %q", got)
	}
}

// TestIndexStays: the host's index is not taken away, and a new one arrives.
func TestIndexStays(t *testing.T) {
	t.Parallel()
	w := repoWorld(t)
	w.onHost(`git pack-refs --all`)
	for _, script := range []string{`mv .git/index .git/index.old`, `mv .git/index x`, `mv .git/packed-refs .git/packed-refs.new`} {
		if out, err := w.run("sh", "-c", script); err == nil {
			t.Errorf("%s succeeded: %s", script, out)
		}
	}
	w.sh(`rm .git/index .git/packed-refs; test ! -e .git/index; test ! -e .git/packed-refs`)
	w.onHost(`git fsck --strict; test -z "$(git status --porcelain)"`)
	w.sh(`echo new > n; echo ref > r; git read-tree --empty; git add n`)
	if out := w.onHost(`git ls-files`); !strings.Contains(out, "n\n") {
		t.Errorf("the new index did not arrive: %s", out)
	}
	w.sh(`git init -q made; cd made; echo n > n; git add n; git commit -qm n; rm .git/index`)
	absent(t, w.host+"/made/.git/index")
}

// TestRefusedIsTold: changing what only git's lock file replaces fails, it is not
// ignored.
func TestRefusedIsTold(t *testing.T) {
	t.Parallel()
	w := repoWorld(t)
	for _, c := range []struct {
		name string
		do   func(string) error
	}{
		{"truncate", func(p string) error { return os.Truncate(p, 0) }},
		{"chmod", func(p string) error { return os.Chmod(p, 0o600) }},
		{"utime", func(p string) error { return unix.Utimes(p, []unix.Timeval{{Sec: 1}, {Sec: 1}}) }},
	} {
		if err := c.do(w.in + "/.git/HEAD"); !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v, want EPERM", c.name, err)
		}
	}
}
