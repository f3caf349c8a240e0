package workspace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// meanwhile does f again and again in another thread until the returned function is
// called.
func meanwhile(f func(i int)) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		runtime.LockOSThread()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				f(i)
			}
		}
	}()
	return func() { close(done); wg.Wait() }
}

// lateFor says when it is no use to go on with rounds that need luck: on a busy machine what
// is to happen at once may not in many of them.
func lateFor() func() bool {
	end := time.Now().Add(5 * time.Minute)
	return func() bool { return time.Now().After(end) }
}

// Somebody swaps folders of the project for links, and files for links, while apply and
// undo work: nothing outside is ever touched.
func TestSwappedForLinks(t *testing.T) {
	landed := 0
	for round, late := 0, lateFor(); round < many(30, 300) || landed == 0 && !late(); round++ {
		w := newWorld(t, map[string]string{"d/f": "1", "d/e/g": "1", "d/gone": "1"})
		outside := t.TempDir()
		inside := map[string]string{"f": "out", "g": "out", "gone": "out", "e/g": "out"}
		for n, data := range inside {
			w.ok(os.MkdirAll(filepath.Dir(filepath.Join(outside, n)), 0o755))
			w.ok(os.WriteFile(filepath.Join(outside, n), []byte(data), 0o644))
		}
		w.edit("d/f", "2")
		w.edit("d/e/g", "2")
		w.put("d/e/new", "2", 0o644)
		w.put("d/made/new", "2", 0o644)
		w.remove("d/gone")
		link := filepath.Join(t.TempDir(), "link")
		w.ok(os.Symlink(outside, link))
		from := filepath.Join(w.Dir, "d")
		if round%3 == 1 {
			from = filepath.Join(w.Dir, "d/e")
		} else if round%3 == 2 {
			from = filepath.Join(w.Dir, "d/f")
		}
		stop := meanwhile(func(int) {
			_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, from, unix.RENAME_EXCHANGE)
		})
		for range 4 {
			out, err := w.Apply(context.Background())
			if err != nil {
				t.Logf("apply: %v", err)
			}
			for _, o := range out {
				if o.Status == Applied {
					landed++
				}
			}
			if _, err := w.Undo(context.Background()); err != nil {
				t.Logf("undo: %v", err)
			}
		}
		stop()
		for n, data := range inside {
			if b, err := os.ReadFile(filepath.Join(outside, n)); err != nil || string(b) != data {
				t.Fatalf("round %d: %s outside of the project holds %q, %v", round, n, b, err)
			}
		}
		if es, _ := os.ReadDir(outside); len(es) != 4 {
			t.Fatalf("round %d: outside of the project there is %v", round, es)
		}
	}
	if landed == 0 {
		t.Error("nothing ever landed: the test tests nothing")
	}
}

// The user saves a file while it is being applied: what was saved last is there.
func TestUserSavesMeanwhile(t *testing.T) {
	raced := 0
	for round, late := 0, lateFor(); round < many(100, 2000) || raced == 0 && !late(); round++ {
		w := newWorld(t, map[string]string{"f": "base", "gone": "base"})
		w.edit("f", "agent")
		w.remove("gone")
		last := ""
		saved := 0
		stop := meanwhile(func(i int) {
			last = fmt.Sprintf("user %d", i)
			for _, n := range []string{"f", "gone"} {
				tmp := filepath.Join(w.Dir, ".save")
				if os.WriteFile(tmp, []byte(last), 0o644) == nil && os.Rename(tmp, filepath.Join(w.Dir, n)) == nil {
					saved++
				}
			}
		})
		out := w.apply()
		stop()
		for _, o := range out {
			if o.Status != Applied && saved > 0 {
				raced++
			}
		}
		if saved > 0 {
			w.has("f", last)
			w.has("gone", last)
		}
		if t.Failed() {
			t.Fatalf("round %d: %+v", round, out)
		}
	}
	if raced == 0 {
		t.Error("no save ever met an apply: the test tests nothing")
	}
}

// A file system gives the number of a file that a save replaced to the next save: that one is
// not taken for the file that apply put there, of which nothing is needed any more.
func TestSaveWithTheNumberOfOurs(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	put := func(name, data string) uint64 {
		t.Helper()
		if err := os.WriteFile(file(name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(file(name), &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(d)
	put("f", "an edit before the exchange")
	number := put("tmp", "ours")
	mine, release, err := hold(d, "tmp")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if err := unix.Renameat2(d, "tmp", d, "f", unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
	last := ""
	for i := range 100 {
		last = fmt.Sprintf("save %d", i)
		same := put("save", last) == number
		if err := os.Rename(file("save"), file("f")); err != nil {
			t.Fatal(err)
		}
		if same {
			break
		}
	}
	if err := swapBack(d, "tmp", "f", mine); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(file("f")); string(b) != last || err != nil {
		t.Errorf("f holds %q, want %q (%v)", b, last, err)
	}
}

// A file of the sandbox that grows while it is copied lands as it was at some moment,
// and goes on waiting.
func TestGrowsMeanwhile(t *testing.T) {
	w := newWorld(t, nil)
	w.put("log", strings.Repeat("x", 1<<20), 0o644)
	f, err := os.OpenFile(filepath.Join(w.Shadow, "views"), os.O_RDONLY, 0)
	w.ok(err)
	f.Close()
	fd, err := unix.Openat(w.view.TreeDir(), "log", unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
	w.ok(err)
	defer unix.Close(fd)
	stop := meanwhile(func(i int) {
		if i < 20000 {
			_, _ = unix.Write(fd, []byte(strings.Repeat("y", 4096)))
		}
	})
	_, err = w.Apply(context.Background())
	stop()
	w.ok(err)
	b, err := os.ReadFile(filepath.Join(w.Dir, "log"))
	w.ok(err)
	if len(b) < 1<<20 || strings.Trim(string(b), "xy") != "" {
		t.Errorf("%d bytes landed", len(b))
	}
}
