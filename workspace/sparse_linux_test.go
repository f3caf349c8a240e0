package workspace

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// sparse makes the private file rel that long, with data at its begin and at 1 MiB.
func (w *world) sparse(rel string, size int64) {
	w.Helper()
	w.put(rel, "begin", 0o644)
	fd, err := unix.Openat(w.view.TreeDir(), rel, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	w.ok(err)
	defer func() { _ = unix.Close(fd) }()
	_, err = unix.Pwrite(fd, []byte("middle"), 1<<20)
	w.ok(err)
	w.ok(unix.Ftruncate(fd, size))
}

// TestHugeSparse: what is too large is neither hashed nor filled with zeros.
func TestHugeSparse(t *testing.T) {
	const size = 8 << 40
	w := newWorld(t, map[string]string{"both": "host"})
	w.edit("both", "mine")
	w.sparse("both", size)
	w.sparse("new", size)
	w.sparse("same", size)
	// The host has a file of the same size at a place that the sandbox did not see.
	w.write("same", "x")
	w.ok(os.Truncate(filepath.Join(w.Dir, "same"), size))
	w.wantList("modify both", "add new", "add same !")
	var b bytes.Buffer
	w.ok(w.Diff(&b, w.pending(), DiffOptions{}))
	if !strings.Contains(b.String(), "Too large to show") {
		t.Errorf("diff: %s", b.String())
	}
	_, err := w.Discard(t.Context(), "both", "same")
	w.ok(err)
	for _, o := range w.apply() {
		if o.Status != Applied {
			t.Errorf("%s: %s %s", o.Change.Path, o.Status, o.Why)
		}
	}
	f, err := os.Open(filepath.Join(w.Dir, "new"))
	w.ok(err)
	defer func() { _ = f.Close() }()
	i, err := f.Stat()
	w.ok(err)
	if n := i.Sys().(*syscall.Stat_t).Blocks * 512; i.Size() != size || n > 1<<20 {
		t.Errorf("%d bytes, %d allocated", i.Size(), n)
	}
	got := make([]byte, 6)
	if _, err := f.ReadAt(got, 1<<20); err != nil || string(got) != "middle" {
		t.Errorf("%q %v", got, err)
	}
}

// TestForgedHeadDoesNotLand: a HEAD that git would not accept waits for ever.
func TestForgedHeadDoesNotLand(t *testing.T) {
	w := newWorld(t, map[string]string{".git/HEAD": "ref: refs/heads/main\n", ".git/objects/x": "", ".git/refs/x": ""})
	w.edit(".git/HEAD", "garbage\n")
	for _, o := range w.apply() {
		if o.Status != Failed || !strings.Contains(o.Why, "forged") {
			t.Errorf("%s: %s %s", o.Change.Path, o.Status, o.Why)
		}
	}
	w.has(".git/HEAD", "ref: refs/heads/main\n")
	w.edit(".git/HEAD", "ref: refs/heads/other\n")
	w.apply()
	w.has(".git/HEAD", "ref: refs/heads/other\n")
}
