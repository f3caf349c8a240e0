package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// litter are the unfinished files in the project.
func (w *world) litter() (out []string) {
	_ = filepath.WalkDir(w.Dir, func(p string, _ os.DirEntry, _ error) error {
		if strings.HasPrefix(filepath.Base(p), ".belljar-") {
			out = append(out, p)
		}
		return nil
	})
	return out
}

// inodes are those of the regular files in the project, with their names.
func (w *world) inodes() map[uint64]string {
	w.Helper()
	out := map[uint64]string{}
	w.ok(filepath.WalkDir(w.Dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		var st unix.Stat_t
		w.ok(unix.Lstat(p, &st))
		out[st.Ino], _ = filepath.Rel(w.Dir, p)
		return nil
	}))
	return out
}

// A disk notes which files were waited for. Before that none may have its name.
type disk struct {
	w     *world
	calls int
	has   map[uint64]bool
	wrong []string
}

func (d *disk) sync(files []*os.File) []error {
	d.calls++
	names := d.w.inodes()
	for _, f := range files {
		var st unix.Stat_t
		d.w.ok(unix.Fstat(int(f.Fd()), &st))
		d.has[st.Ino] = true
		if n := names[st.Ino]; !strings.HasPrefix(filepath.Base(n), ".belljar-") {
			d.wrong = append(d.wrong, n)
		}
	}
	return make([]error, len(files))
}

// TestOnDiskBeforeItLands: what apply and undo put in the place of a file was on disk
// before, and many files are waited for together.
func TestOnDiskBeforeItLands(t *testing.T) {
	const n = aheadFiles + 20
	w := newWorld(t, nil)
	for i := range n {
		name := fmt.Sprintf("d%d/f%d", i%7, i)
		if i%2 == 0 {
			w.write(name, "old")
			w.edit(name, "new content")
		} else {
			w.put(name, "new content", 0o644)
		}
	}
	for _, step := range []string{"apply", "undo"} {
		d := &disk{w: w, has: map[uint64]bool{}}
		w.Project.sync = d.sync
		before := w.inodes()
		out, err := w.Apply, error(nil)
		if step == "undo" {
			out = w.Undo
		}
		done, err := out(context.Background())
		w.ok(err)
		for _, o := range done {
			if o.Status != Applied && o.Status != Undone {
				t.Errorf("%s %s: %s %s", step, o.Change.Path, o.Status, o.Why)
			}
		}
		landed := 0
		for ino, name := range w.inodes() {
			if _, was := before[ino]; was {
				continue
			}
			if landed++; !d.has[ino] {
				t.Errorf("%s: %s landed before it was on disk", step, name)
			}
		}
		if len(d.wrong) > 0 {
			t.Errorf("%s: waited for after they had landed: %q", step, d.wrong)
		}
		if most := n/aheadFiles + 2; landed < n/3 || d.calls > most {
			t.Errorf("%s: %d files landed, the disk was waited for %d times, want at most %d", step, landed, d.calls, most)
		}
		if l := w.litter(); len(l) > 0 {
			t.Errorf("%s: litter: %q", step, l)
		}
	}
}

// TestDiskFails: what cannot be brought to disk does not land, and waits.
func TestDiskFails(t *testing.T) {
	w := newWorld(t, map[string]string{"a": "old", "b": "old"})
	w.edit("a", "new")
	w.edit("b", "new")
	w.put("c", "new", 0o644)
	w.Project.sync = func(files []*os.File) []error {
		errs := make([]error, len(files))
		for i := range files {
			errs[i] = unix.EIO
		}
		return errs
	}
	for _, o := range w.apply() {
		if o.Status != Failed {
			t.Errorf("%s: %s %s", o.Change.Path, o.Status, o.Why)
		}
	}
	w.has("a", "old")
	w.none("c")
	if l := w.litter(); len(l) > 0 {
		t.Errorf("litter: %q", l)
	}
	if _, err := os.Stat(w.journalDir("last")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an apply that did nothing is what undo takes back: %v", err)
	}
	w.Project.sync = nil
	w.apply()
	w.has("a", "new")
	w.clean()
}

// TestPreparedAnew: what the host changes between the preparation and the exchange is
// seen, and nothing that was prepared stays.
func TestPreparedAnew(t *testing.T) {
	w := newWorld(t, map[string]string{"d/a": "old", "d/b": "old", "e/c": "old", "gone": "old"})
	for _, n := range []string{"d/a", "d/b", "e/c", "gone"} {
		w.edit(n, "new")
	}
	w.put("d/fresh", "new", 0o644)
	w.Project.sync = func(files []*os.File) []error {
		if len(files) > 1 {
			w.write("d/b", "the user's")
			w.write("d/fresh", "the user's")
			w.ok(os.Rename(filepath.Join(w.Dir, "e"), filepath.Join(w.Dir, "moved")))
			w.ok(os.Remove(filepath.Join(w.Dir, "gone")))
		}
		return make([]error, len(files))
	}
	for _, o := range w.apply() {
		if want := o.Change.Path == "d/a"; want != (o.Status == Applied) {
			t.Errorf("%s: %s %s", o.Change.Path, o.Status, o.Why)
		}
	}
	w.has("d/a", "new")
	w.has("d/b", "the user's")
	w.has("d/fresh", "the user's")
	w.has("moved/c", "old")
	w.none("gone")
	if l := w.litter(); len(l) > 0 {
		t.Errorf("litter: %q", l)
	}
}

// An apply or undo that is killed while it prepares, or has prepared and not landed, leaves
// nothing of that once the next command has run.
func TestKilledInBatch(t *testing.T) {
	killed := 0
	for round, late := 0, lateFor(); round < many(12, 100) || killed < 3 && !late(); round++ {
		k := newKilling(t)
		_ = k.view.Close()
		what := "apply"
		if round%2 == 1 {
			what = "undo"
			k.apply()
		}
		c, most := k.start(what), 1+round%12
		if killWhen(c, func() bool { return len(k.litter()) >= most }) != nil && len(k.litter()) > 0 {
			killed++
		}
		k.whole(round)
		if _, err := k.Recover(context.Background()); err != nil {
			t.Fatalf("round %d: recover: %v", round, err)
		}
		if l := k.litter(); len(l) > 0 {
			t.Errorf("round %d, %s: litter: %q", round, what, l)
		}
		if k.unfinished() {
			t.Errorf("round %d: a journal is left", round)
		}
		k.lands(round)
	}
	if killed < 3 {
		t.Errorf("%d were killed inside of a batch: the test tests nothing", killed)
	}
}
