package workspace

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/workspace/shadow"
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

// cost is the least processor time that f took.
func cost(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	spent := func() time.Duration {
		var r unix.Rusage
		_ = unix.Getrusage(unix.RUSAGE_THREAD, &r)
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	best := time.Hour
	for range 3 {
		start := spent()
		f()
		best = min(best, spent()-start)
	}
	return best
}

// TestListingDoesNotClimb: what decides on a folder from above is found once, not by a
// climb of as many look-ups for each file in it.
func TestListingDoesNotClimb(t *testing.T) {
	deep := strings.Repeat("/a", 250)
	for name, seed := range map[string]func(w *world){
		"made anew":      func(w *world) { w.ok(os.MkdirAll(filepath.Join(w.Dir, "top"+deep), 0o755)) },
		"over a file":    func(w *world) { w.write("top"+deep[:2*240], "file") },
		"over a removal": func(w *world) { w.write("top/a", "file") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			seed(w)
			w.ok(w.view.MakeDir("top", 0o755, true))
			for i := range 400 {
				w.put(fmt.Sprintf("top%s/f%d", deep, i), "text", 0o644)
			}
			n := 0
			walk := cost(func() { w.ok(w.view.Walk(func(shadow.Entry) error { n++; return nil })) })
			list := cost(func() { w.pending() })
			if n < 3*400 {
				t.Fatalf("%d entries", n)
			}
			if list > 20*walk {
				t.Errorf("the list took %v, a walk %v", list, walk)
			}
			t.Logf("the list took %v, a walk %v", list, walk)
		})
	}
}

// TestAbove: the walk down says what looking up each folder above says.
func TestAbove(t *testing.T) {
	w := newWorld(t, map[string]string{"gone/x/y": "1"})
	w.ok(w.view.MakeDir("o", 0o755, true))
	w.put("o/p/q/f", "1", 0o644)
	w.ok(w.view.MakeDir("o/p/r", 0o755, true))
	w.remove("gone/x")
	for rel, want := range map[string][2]string{
		"": {}, "o": {}, "o/p": {"o", ""}, "o/p/q/f": {"o", ""}, "o/p/r": {"o", ""}, "o/p/r/s/t": {"o/p/r", ""},
		"o/p/q/f/below/it": {"o", "o/p/q/f"}, "gone/x": {}, "gone/x/y": {"", "gone/x"}, "gone/x/y/z": {"", "gone/x"}, "none/a/b": {},
	} {
		opaque, instead := w.view.Above(rel)
		if got := [2]string{opaque, instead}; got != want {
			t.Errorf("%q: %q, want %q", rel, got, want)
		}
	}
}
