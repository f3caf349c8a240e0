package workspace

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// While a git of the host holds the lock of a file, nothing is applied.
func TestApplyHeedsLocks(t *testing.T) {
	for _, c := range []struct {
		file, lock string
		free       bool
	}{
		{".git/index", ".git/index.lock", false},
		{".git/HEAD", ".git/HEAD.lock", false},
		{".git/refs/heads/main", ".git/refs/heads/main.lock", false},
		{".git/refs/heads/main", ".git/packed-refs.lock", false},
		{".git/logs/refs/heads/main", ".git/refs/heads/main.lock", false},
		{".git/logs/HEAD", ".git/HEAD.lock", false},
		{"sub/.git/index", "sub/.git/index.lock", false},
		{".git/COMMIT_EDITMSG", ".git/index.lock", true},
		{"sub/.git/index", ".git/index.lock", true},
		{"yarn", "yarn.lock", true},
	} {
		w := newWorld(t, map[string]string{c.lock: ""})
		for _, dir := range []string{".git/", "sub/.git/"} {
			for _, n := range []string{"HEAD", "index", "refs/heads/main", "logs/HEAD", "logs/refs/heads/main", "objects/x", "COMMIT_EDITMSG"} {
				w.write(dir+n, gitText(n, "1"))
			}
		}
		w.write("yarn", "1")
		w.edit(c.file, gitText(c.file, "2"))
		w.put("new", "2", 0o644)
		_, err := w.Apply(context.Background())
		if c.free {
			w.ok(err)
			continue
		}
		if belljar.KindOf(err) != belljar.KindConflict || !strings.Contains(err.Error(), c.lock) {
			t.Errorf("%s with %s: %v", c.file, c.lock, err)
		}
		w.has(c.file, gitText(c.file, "1"))
		w.none("new")
		_, err = w.Apply(context.Background(), "new")
		w.ok(err)
		w.has("new", "2")
		w.ok(os.Remove(filepath.Join(w.Dir, c.lock)))
		w.apply()
		w.has(c.file, gitText(c.file, "2"))
		w.write(c.lock, "")
		w.undoIsLocked(c.file, c.lock)
	}
}

// gitText is text that is valid for a file of git's.
func gitText(name, text string) string {
	switch path.Base(name) {
	case "index":
		return "DIRC\x00\x00\x00\x02\x00\x00\x00\x00" + strings.Repeat(text, 20)
	case "HEAD":
		if !strings.Contains(name, "logs/") {
			return "ref: refs/heads/b" + text + "\n"
		}
	}
	return text
}

// undoIsLocked wants an undo to leave a file while its lock is there, and no longer.
func (w *world) undoIsLocked(file, lock string) {
	w.Helper()
	left := ""
	for _, o := range w.undo() {
		if o.Status != Undone {
			left += o.Change.Path + " " + o.Why
		}
	}
	if !strings.Contains(left, lock) {
		w.Errorf("undo of %s with %s left %q", file, lock, left)
	}
	w.has(file, gitText(file, "2"))
	w.ok(os.Remove(filepath.Join(w.Dir, lock)))
	w.undo()
	w.has(file, gitText(file, "1"))
}
