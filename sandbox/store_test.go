package sandbox

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"golang.org/x/sys/unix"
)

func testDirs(t *testing.T) Dirs {
	t.Helper()
	top := t.TempDir()
	d := Dirs{State: filepath.Join(top, "state"), Runtime: filepath.Join(top, "run")}
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	return d
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func gone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%.200s is still there: %v", path, err)
	}
}

func entry(d Dirs, id string) Entry {
	return Entry{ID: id, Name: "n-" + id, Workspace: "/w", Started: time.Unix(1, 0), Scratch: filepath.Join(d.Runtime, id), Home: filepath.Join(d.sandbox(id), "home")}
}

// claimed claims id and makes its scratch and its HOME.
func claimed(t *testing.T, d Dirs, id string) *claim {
	t.Helper()
	c, err := d.claimRun(entry(d, id))
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(c.entry.Scratch, "a"), 0o700), os.MkdirAll(filepath.Join(c.entry.Home, "b"), 0o700))
	return c
}

func TestMakeRefuses(t *testing.T) {
	for name, spoil := range map[string]func(string) error{
		"open":   func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o750)) },
		"file":   func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"link":   func(p string) error { return os.Symlink(t.TempDir(), p) },
		"others": func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chown(p, 12345, 12345)) },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "others" && os.Geteuid() != 0 {
				t.Skip("only root can make a folder of somebody else")
			}
			top := t.TempDir()
			must(t, os.Chmod(top, 0o700))
			state := filepath.Join(top, "belljar")
			must(t, spoil(state))
			env := func(n string) string {
				return map[string]string{"XDG_STATE_HOME": top, "XDG_RUNTIME_DIR": t.TempDir()}[n]
			}
			if _, err := FindDirs(env, top); err == nil {
				t.Fatal("accepted")
			}
		})
	}
}

func TestClaimAndRelease(t *testing.T) {
	d := testDirs(t)
	c := claimed(t, d, "one")
	if r, ok, err := d.NameInUse("/w", "n-one"); !ok || err != nil || r.ID != "one" {
		t.Fatal(r, ok, err)
	}
	if _, ok, err := d.NameInUse("/other", "n-one"); ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := d.claimRun(entry(d, "one")); err == nil {
		t.Fatal("claimed twice")
	}
	if dead, err := d.Sweep(); len(dead) > 0 || err != nil {
		t.Fatal(dead, err)
	}
	must(t, c.release())
	gone(t, c.dir)
	gone(t, c.entry.Scratch)
	if runs, err := d.Runs(); len(runs) > 0 || err != nil {
		t.Fatal(runs, err)
	}
}

// TestClaimKept: a HOME that is kept is claimed by one run at a time, whoever asked
// first whether it is free.
func TestClaimKept(t *testing.T) {
	d := testDirs(t)
	kept := func(id, workspace string) Entry {
		e := entry(d, id)
		e.Name, e.Workspace, e.Home = "kept", workspace, ""
		return e
	}
	c, err := d.claimRun(kept("one", "/w"))
	must(t, err)
	var be *belljar.Error
	if _, err := d.claimRun(kept("two", "/w")); !errors.As(err, &be) || be.Kind != belljar.KindConflict {
		t.Fatalf("claimed a HOME that is used: %v", err)
	}
	other, err := d.claimRun(kept("three", "/other"))
	must(t, err, c.release())
	again, err := d.claimRun(kept("four", "/w"))
	must(t, err, again.release(), other.release())
}

func TestClaimUndone(t *testing.T) {
	d := testDirs(t)
	e := entry(d, "x")
	e.Started = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC) // JSON has no such year
	if _, err := d.claimRun(e); err == nil {
		t.Fatal("claimed")
	}
	gone(t, d.sandbox("x"))
}

func TestSweep(t *testing.T) {
	d := testDirs(t)
	dead := claimed(t, d, "dead")
	must(t, dead.lock.Close()) // what the kernel does for a killed supervisor
	must(t, os.Mkdir(d.sandbox("unwritten"), 0o700))
	must(t, os.WriteFile(filepath.Join(d.State, "sandboxes", "stray"), nil, 0o600))
	live := claimed(t, d, "live")
	got, err := d.Sweep()
	if err != nil || len(got) != 1 || got[0].ID != "dead" {
		t.Fatal(got, err)
	}
	gone(t, dead.dir)
	gone(t, dead.entry.Scratch)
	gone(t, d.sandbox("unwritten"))
	must(t, live.release())
}

func TestSweepStuck(t *testing.T) {
	d := testDirs(t)
	stuck, other := claimed(t, d, "a-stuck"), claimed(t, d, "b-other")
	must(t, stuck.lock.Close(), other.lock.Close())
	// A link on the way to the scratch is not followed: nothing can be removed there.
	must(t, os.Symlink(t.TempDir(), filepath.Join(d.Runtime, "link")))
	e := stuck.entry
	e.Scratch = filepath.Join(d.Runtime, "link", strings.Repeat("x", 250))
	must(t, writeRun(stuck.dir, written{Entry: e}))
	got, err := d.Sweep()
	if len(got) != 2 || err == nil || len(err.Error()) > 300 {
		t.Fatal(got, err)
	}
	gone(t, other.dir)
	if got, err := d.Sweep(); len(got) != 0 || err == nil {
		t.Fatal("told again", got, err)
	}
	must(t, os.Remove(filepath.Join(d.Runtime, "link")))
	if got, err := d.Sweep(); len(got) != 0 || err != nil {
		t.Fatal(got, err)
	}
	gone(t, stuck.dir)
}

func TestSweepAndClaimTogether(t *testing.T) {
	d := testDirs(t)
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for range 20 {
				c, err := d.claimRun(entry(d, id))
				if err != nil {
					t.Error(err)
					return
				}
				if err := c.release(); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				if dead, err := d.Sweep(); len(dead) > 0 || err != nil {
					t.Error(dead, err)
				}
			}
		})
	}
	wg.Wait()
}

// deep nests n folders of that name in dir and gives the deepest mode 0.
func deep(t *testing.T, dir, name string, n int) {
	t.Helper()
	fd, err := unix.Open(dir, dirFlags, 0)
	must(t, err)
	for i := range n {
		must(t, unix.Mkdirat(fd, name, 0o700))
		next, err := unix.Openat(fd, name, dirFlags, 0)
		must(t, err)
		if i%50 == 49 {
			must(t, unix.Fchmod(fd, 0))
		}
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
}

func TestRemoveDeep(t *testing.T) {
	for name, n := range map[string]int{strings.Repeat("d", 20): 300, "d": 10_000, strings.Repeat("n", 255): 400} {
		top := filepath.Join(t.TempDir(), "top")
		must(t, os.Mkdir(top, 0o700))
		deep(t, top, name, n)
		must(t, removeTree(top))
		gone(t, top)
	}
}

// TestRemoveWide: more folders than are moved up at a time, and one with more names
// than are read at a time.
func TestRemoveWide(t *testing.T) {
	const folders = maxLift + 6
	top := filepath.Join(t.TempDir(), "top")
	for i := range folders {
		p := filepath.Join(top, strings.Repeat("w", i+1))
		must(t, os.MkdirAll(p, 0o700))
		fd, err := unix.Open(p, dirFlags, 0)
		must(t, err)
		files := 10
		if i == 3 {
			files = 1500
		}
		for j := range files {
			f, err := unix.Openat(fd, "f"+time.Duration(j).String(), unix.O_CREAT|unix.O_WRONLY, 0)
			must(t, err, unix.Close(f))
		}
		unix.Close(fd)
		must(t, os.Chmod(p, 0))
	}
	must(t, removeTree(top))
	gone(t, top)
}

func TestRemoveFollowsNoLink(t *testing.T) {
	out := t.TempDir()
	kept := filepath.Join(out, "kept")
	must(t, os.WriteFile(kept, nil, 0o600))
	top := filepath.Join(t.TempDir(), "top")
	must(t, os.MkdirAll(filepath.Join(top, "a", "b"), 0o700))
	must(t, os.Symlink(out, filepath.Join(top, "l")), os.Symlink(out, filepath.Join(top, "a", "b", "l")))
	must(t, os.Chmod(filepath.Join(top, "a"), 0), removeTree(top))
	gone(t, top)
	must(t, os.Symlink(out, top), removeTree(top))
	gone(t, top)
	_, err := os.Stat(kept)
	must(t, err)
}

// Mode bits stop nobody who is root: what root runs is run again as somebody else.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this is an ordinary user already")
	}
	dir, err := os.MkdirTemp("", "belljar-test")
	must(t, err)
	defer os.RemoveAll(dir)
	const uid = 65534
	must(t, os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "tmp"), 0o700), os.Chown(filepath.Join(dir, "tmp"), uid, uid))
	self, err := os.Open("/proc/self/exe")
	must(t, err)
	defer self.Close()
	w, err := os.OpenFile(filepath.Join(dir, "test"), os.O_WRONLY|os.O_CREATE, 0o755)
	must(t, err)
	_, err = io.Copy(w, self)
	must(t, err, w.Close())
	cmd := exec.Command(w.Name(), "-test.run=^Test(Make|Claim|Sweep|Remove)", "-test.short")
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + filepath.Join(dir, "tmp")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
}
