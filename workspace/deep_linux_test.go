package workspace

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// deepBelow makes folders in each other, deeper than a path may be long, and a file in
// the last one, unless text is empty.
func (w *world) deepBelow(dir int, text string) {
	w.Helper()
	at, err := unix.Openat(dir, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	w.ok(err)
	name := strings.Repeat("d", 200)
	for range 30 {
		w.ok(unix.Mkdirat(at, name, 0o755))
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		w.ok(err)
		_ = unix.Close(at)
		at = next
	}
	defer func() { _ = unix.Close(at) }()
	if text == "" {
		return
	}
	fd, err := unix.Openat(at, "leaf", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	w.ok(err)
	defer func() { _ = unix.Close(fd) }()
	_, err = unix.Write(fd, []byte(text))
	w.ok(err)
}

// TestDeeperThanPaths: folders that no path reaches hide nothing else that waits, and
// what is in them is shown and thrown away as all else.
func TestDeeperThanPaths(t *testing.T) {
	w := newWorld(t, map[string]string{"a": "host"})
	host, err := unix.Open(w.Dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	w.ok(err)
	defer func() { _ = unix.Close(host) }()
	w.deepBelow(host, "")
	w.deepBelow(w.view.TreeDir(), "private")
	w.edit("a", "mine")
	if l := w.pending(); len(l) != 2 {
		t.Fatalf("%d changes wait", len(l))
	}
	gone, err := w.Discard(t.Context())
	w.ok(err)
	if len(gone) != 2 {
		t.Errorf("%d changes were thrown away", len(gone))
	}
}
