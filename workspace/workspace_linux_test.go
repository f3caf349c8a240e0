package workspace

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/workspace/shadow"
)

// world is a project on the host with a shadow that the test fills as a view would.
type world struct {
	*testing.T
	Project
	view *shadow.View
	host int
}

func newWorld(t *testing.T, hostFiles map[string]string) *world {
	t.Helper()
	w := &world{T: t, Project: Project{Dir: t.TempDir(), Shadow: filepath.Join(t.TempDir(), "shadow")}}
	for name, data := range hostFiles {
		w.write(name, data)
	}
	s, err := shadow.Create(w.Shadow)
	w.ok(err)
	w.view, err = s.CreateView(w.Dir)
	w.ok(err)
	t.Cleanup(func() { _ = w.view.Close() })
	w.host, err = unix.Open(w.Dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	w.ok(err)
	t.Cleanup(func() { _ = unix.Close(w.host) })
	return w
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// write changes a file of the host.
func (w *world) write(name, data string) {
	w.Helper()
	p := filepath.Join(w.Dir, name)
	w.ok(os.MkdirAll(filepath.Dir(p), 0o755))
	w.ok(os.WriteFile(p, []byte(data), 0o644))
}

func (w *world) parents(rel string) {
	w.Helper()
	w.ok(w.view.MakeParents(rel, func(string) uint32 { return 0o755 }))
}

// edit puts a private copy with new content into the shadow.
func (w *world) edit(rel, data string) {
	w.Helper()
	w.parents(rel)
	if _, err := os.Lstat(filepath.Join(w.Dir, rel)); err == nil {
		dir, err := unix.Open(filepath.Join(w.Dir, filepath.Dir(rel)), unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		w.ok(err)
		defer func() { _ = unix.Close(dir) }()
		w.ok(w.view.CopyIn(dir, filepath.Base(rel), rel, nil))
	}
	w.put(rel, data, 0o644)
}

// put makes a private file without a base.
func (w *world) put(rel, data string, perm uint32) {
	w.Helper()
	w.parents(rel)
	tmp := w.view.TmpName()
	fd, err := unix.Openat(w.view.TmpDir(), tmp, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	w.ok(err)
	_, err = unix.Write(fd, []byte(data))
	w.ok(err)
	w.ok(unix.Fchmod(fd, perm))
	w.ok(unix.Close(fd))
	w.ok(w.view.Place(tmp, rel, nil))
}

func (w *world) remove(rel string) {
	w.Helper()
	w.parents(rel)
	dir, err := unix.Open(filepath.Join(w.Dir, filepath.Dir(rel)), unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	w.ok(err)
	defer func() { _ = unix.Close(dir) }()
	b, err := shadow.HostBase(dir, filepath.Base(rel))
	w.ok(err)
	w.ok(w.view.SetWhiteout(rel, b))
}

func (w *world) pending() []Change {
	w.Helper()
	cs, err := w.Pending()
	w.ok(err)
	return cs
}

// list is the pending changes as text.
func (w *world) list() string {
	w.Helper()
	var b strings.Builder
	for _, c := range w.pending() {
		b.WriteString(string(c.Op) + " " + c.Name())
		if c.Conflict != "" {
			b.WriteString(" !")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (w *world) wantList(want ...string) {
	w.Helper()
	if d := cmp.Diff(strings.Join(append(want, ""), "\n"), w.list()); d != "" {
		w.Errorf("pending (-want +got):\n%s", d)
	}
}

func (w *world) apply(paths ...string) []Outcome {
	w.Helper()
	out, err := w.Apply(context.Background(), paths...)
	w.ok(err)
	return out
}

func (w *world) has(name, data string) {
	w.Helper()
	b, err := os.ReadFile(filepath.Join(w.Dir, name))
	if err != nil || string(b) != data {
		w.Errorf("%s holds %q (%v), want %q", name, b, err, data)
	}
}

func (w *world) none(name string) {
	w.Helper()
	if _, err := os.Lstat(filepath.Join(w.Dir, name)); err == nil {
		w.Errorf("%s exists", name)
	}
}

// clean wants no litter in the project and nothing waiting.
func (w *world) clean() {
	w.Helper()
	w.wantList()
	_ = filepath.WalkDir(w.Dir, func(p string, _ os.DirEntry, _ error) error {
		if strings.HasPrefix(filepath.Base(p), ".belljar-") {
			w.Errorf("litter: %s", p)
		}
		return nil
	})
}

func TestPendingOrder(t *testing.T) {
	w := newWorld(t, map[string]string{"main.go": "old\n", "gone": "x", ".git/HEAD": "ref", ".git/config": "[core]\n"})
	w.edit("main.go", "new\n")
	w.edit(".git/config", "[core]\nfsmonitor = evil\n")
	w.put("Makefile", "all:\n", 0o644)
	w.put(".git/hooks/pre-commit", "#!/bin/sh\n", 0o755)
	w.put(".env", "K=1", 0o600)
	w.put("a/b/c", "deep", 0o644)
	w.ok(w.view.MakeDir("empty", 0o755, false))
	w.remove("gone")
	w.wantList("modify .git/config", "add .git/hooks/pre-commit", "add Makefile", "add .env", "add a/b/c", "add empty", "delete gone", "modify main.go")
	for _, c := range w.pending()[:2] {
		if !c.Class.Runs() || c.Reason == "" {
			t.Errorf("%s: class %q, reason %q", c.Path, c.Class, c.Reason)
		}
	}
}

func TestPendingClassifiesByContent(t *testing.T) {
	w := newWorld(t, nil)
	w.put("tool", "x", 0o755)
	w.put("text", "x", 0o644)
	for name, target := range map[string]string{"out": "../../etc/x", "in": "text"} {
		tmp := w.view.TmpName()
		w.ok(unix.Symlinkat(target, w.view.TmpDir(), tmp))
		w.ok(w.view.Place(tmp, name, nil))
	}
	w.wantList("add out", "add tool", "add in", "add text")
}

// What is executable now and was not is listed as such, however the sandbox made it: in
// place, or below a folder that it made anew.
func TestMadeExecutable(t *testing.T) {
	w := newWorld(t, map[string]string{"edited": "1", "build/x": "1", "build/dir/f": "1", "was": "1"})
	w.ok(os.Chmod(filepath.Join(w.Dir, "was"), 0o755))
	waitForTick(t, filepath.Join(w.Dir, "tick"))
	w.ok(os.Remove(filepath.Join(w.Dir, "tick")))
	w.edit("edited", "2")
	w.edit("was", "2")
	w.put("edited", "2", 0o755)
	w.put("was", "2", 0o755)
	w.ok(w.view.MakeDir("build", 0o755, true))
	w.put("build/x", "2", 0o755)
	w.put("build/dir", "2", 0o755)
	check := func() {
		t.Helper()
		for _, c := range w.pending() {
			if want := map[bool]string{true: "", false: "user-run"}[c.Path == "was"]; string(c.Class) != want {
				t.Errorf("%s %s: class %q (%s), want %q", c.Op, c.Path, c.Class, c.Reason, want)
			}
		}
	}
	check()
	w.apply()
	_, err := w.Undo(context.Background())
	w.ok(err)
	check()
}

func TestNothing(t *testing.T) {
	cs, err := Pending(filepath.Join(t.TempDir(), "no"), t.TempDir())
	if err != nil || len(cs) != 0 {
		t.Errorf("%v, %v", cs, err)
	}
}

// A folder outside of the project that was closed after a run hides nothing of what
// waits, unless something waits in it.
func TestClosedFolderBeside(t *testing.T) {
	testenv.Need(t, "user")
	w := newWorld(t, map[string]string{"a": "1\n"})
	w.put(".envrc", "x\n", 0o644)
	beside := t.TempDir()
	s, err := shadow.Open(w.Shadow)
	w.ok(err)
	v, err := s.CreateView(beside)
	w.ok(err)
	t.Cleanup(func() { _ = v.Close() })
	w.ok(os.Chmod(beside, 0))
	t.Cleanup(func() { _ = os.Chmod(beside, 0o700) })
	if got := w.pending(); len(got) != 1 {
		t.Errorf("pending: %+v", got)
	}
	w.ok(os.Mkdir(filepath.Join(w.Shadow, "views", shadow.Key(beside), "tree", "sub"), 0o700))
	if _, err := w.Pending(); err == nil {
		t.Error("what waits in a closed folder is passed over in silence")
	}
}

func TestApplyAll(t *testing.T) {
	w := newWorld(t, map[string]string{"main.go": "old\n", "gone": "x", "d/f": "1", "d/e/g": "2", "script": "s", ".git/config": "c"})
	w.edit("main.go", "new\n")
	w.put("n/e/w", "new", 0o600)
	w.put("run.sh", "#!/bin/sh", 0o755)
	w.edit(".git/config", "c2")
	w.remove("gone")
	w.remove("d")
	w.ok(w.view.MakeDir("empty", 0o750, false))
	w.edit("script", "s")
	w.put("script", "s", 0o755)
	w.parents("l")
	tmp := w.view.TmpName()
	w.ok(unix.Symlinkat("main.go", w.view.TmpDir(), tmp))
	w.ok(w.view.Place(tmp, "l", nil))
	for _, o := range w.apply() {
		if o.Status != Applied {
			t.Errorf("%s: %s %s", o.Change.Path, o.Status, o.Why)
		}
	}
	w.has("main.go", "new\n")
	w.has("n/e/w", "new")
	w.has(".git/config", "c2")
	w.has("l", "new\n")
	w.none("gone")
	w.none("d")
	for name, perm := range map[string]os.FileMode{"n/e/w": 0o600, "run.sh": 0o755, "script": 0o755, "main.go": 0o644} {
		st, err := os.Stat(filepath.Join(w.Dir, name))
		w.ok(err)
		if st.Mode().Perm() != perm {
			t.Errorf("%s has mode %o, want %o", name, st.Mode().Perm(), perm)
		}
	}
	if st, err := os.Stat(filepath.Join(w.Dir, "empty")); err != nil || st.Mode().Perm() != 0o750 {
		t.Errorf("empty: %v %v", st, err)
	}
	w.clean()
}

func TestApplySome(t *testing.T) {
	w := newWorld(t, nil)
	w.put("a/x", "1", 0o644)
	w.put("a/y", "2", 0o644)
	w.put("ab", "3", 0o644)
	w.apply("a/x")
	w.wantList("add a/y", "add ab")
	w.apply(filepath.Join(w.Dir, "a") + "/")
	w.wantList("add ab")
	w.none("ab")
	if _, err := w.Apply(context.Background(), "nothing"); belljar.KindOf(err) != belljar.KindUsage {
		t.Errorf("unknown path: %v", err)
	}
}

func TestConflicts(t *testing.T) {
	w := newWorld(t, map[string]string{"edited": "1", "removed": "1", "deleted": "1", "same": "1", "touched": "1", "dir/f": "1"})
	for _, n := range []string{"edited", "removed", "same", "touched"} {
		w.edit(n, "agent")
	}
	w.put("both", "agent", 0o644)
	w.put("twin", "equal", 0o644)
	w.remove("deleted")
	w.remove("dir")
	w.put("through/x", "agent", 0o644)
	// The host goes on working.
	w.write("edited", "host")
	w.ok(os.Remove(filepath.Join(w.Dir, "removed")))
	w.write("deleted", "host")
	w.write("same", "agent")
	w.write("touched", "1")
	w.write("both", "host")
	w.write("twin", "equal")
	waitForTick(t, filepath.Join(w.Dir, "tick"))
	w.write("dir/f", "host")
	w.ok(os.Remove(filepath.Join(w.Dir, "tick")))
	outside := t.TempDir()
	w.ok(os.Symlink(outside, filepath.Join(w.Dir, "through")))

	w.wantList("add both !", "delete deleted !", "delete dir !", "modify edited !", "modify removed !", "add through !", "add through/x !", "modify touched")
	for _, o := range w.apply() {
		want := Conflicted
		if o.Change.Path == "touched" {
			want = Applied
		}
		if o.Status != want {
			t.Errorf("%s: %s (%s)", o.Change.Path, o.Status, o.Why)
		}
	}
	w.has("edited", "host")
	w.has("deleted", "host")
	w.has("both", "host")
	w.has("dir/f", "host")
	w.has("touched", "agent")
	w.none("removed")
	if es, _ := os.ReadDir(outside); len(es) != 0 {
		t.Error("apply wrote through a symbolic link")
	}
	w.wantList("add both !", "delete deleted !", "delete dir !", "modify edited !", "modify removed !", "add through !", "add through/x !")
}

// waitForTick waits until the clock of the file system has moved on.
func waitForTick(t *testing.T, file string) {
	t.Helper()
	first := int64(0)
	for range 1000000 {
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		switch n := st.ModTime().UnixNano(); {
		case first == 0:
			first = n
		case n > first:
			return
		}
	}
	t.Fatal("the clock stands still")
}

// A private copy without a difference does not stay to hide what the host does next.
func TestSettle(t *testing.T) {
	w := newWorld(t, map[string]string{"same": "x", "other": "y", "d/same": "x"})
	w.edit("same", "x")
	w.edit("d/same", "x")
	w.edit("other", "z")
	w.ok(w.view.MakeDir("new", 0o755, true))
	running, err := os.Open(filepath.Join(w.Shadow, "views"))
	w.ok(err)
	w.ok(unix.Flock(int(running.Fd()), unix.LOCK_SH)) // as a sandbox does
	_, err = w.Settle()
	w.ok(err)
	if _, err := w.view.Lookup("same"); err != nil {
		t.Errorf("forgotten while a sandbox may use it: %v", err)
	}
	running.Close()
	cs, err := w.Settle()
	w.ok(err)
	if len(cs) != 2 || cs[0].Path != "new" && cs[1].Path != "new" {
		t.Errorf("waiting: %v", cs)
	}
	for _, name := range []string{"same", "d/same"} {
		if _, err := w.view.Lookup(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still private: %v", name, err)
		}
	}
	w.has("same", "x")
}

// Attributes that users give their files go into the private copy and land with it.
func TestXattrsLand(t *testing.T) {
	testenv.Need(t, "xattr")
	w := newWorld(t, nil)
	get := func(path, name string) string {
		b := make([]byte, 100)
		n, err := unix.Getxattr(path, name, b)
		w.ok(err)
		return string(b[:n])
	}
	w.edit("d/.envrc", "new")
	fd, err := w.view.OpenFile("d/.envrc")
	w.ok(err)
	w.ok(unix.Fsetxattr(int(fd.Fd()), "user.mine", []byte("2"), 0))
	w.ok(fd.Close())
	w.apply()
	if got := get(filepath.Join(w.Dir, "d/.envrc"), "user.mine"); got != "2" {
		t.Errorf("the new file has %q", got)
	}
}

func TestHiddenFilesAreNeverRemoved(t *testing.T) {
	w := newWorld(t, map[string]string{"d/f": "1", "d/.env": "SECRET", "e/.env": "SECRET", "e/g": "1", "e/sub/x.tfstate": "S"})
	w.Hide = []belljar.Pattern{{Glob: "*.tfstate", Origin: belljar.Origin{Layer: "user"}}}
	w.remove("d")
	w.ok(w.view.MakeDir("e", 0o755, true))
	w.put("e/new", "n", 0o644)
	w.apply()
	w.has("d/.env", "SECRET")
	w.has("e/.env", "SECRET")
	w.has("e/sub/x.tfstate", "S")
	w.has("e/new", "n")
	w.none("e/g")
}

func TestFolderMadeAnew(t *testing.T) {
	w := newWorld(t, map[string]string{"build/old": "1", "build/sub/x": "2", "build/kept": "same"})
	waitForTick(t, filepath.Join(w.Dir, "tick"))
	w.ok(os.Remove(filepath.Join(w.Dir, "tick")))
	w.ok(w.view.MakeDir("build", 0o755, true))
	w.put("build/new", "n", 0o644)
	w.put("build/kept", "same", 0o644)
	w.wantList("add build/new", "delete build/old", "delete build/sub")
	w.apply("build/new")
	w.has("build/new", "n")
	w.has("build/old", "1")
	w.wantList("delete build/old", "delete build/sub")
	if _, err := w.view.Lookup("build/new"); err != nil {
		t.Error("what landed below an opaque folder has vanished inside")
	}
	w.apply()
	w.none("build/old")
	w.none("build/sub")
	w.has("build/kept", "same")
	w.clean()
	if _, err := w.view.Lookup("build"); err == nil {
		t.Error("the opaque folder still covers the host's")
	}
}

// A file in the place of a folder of the host is no addition, also where the folder around
// it was made anew: undo lists it as it was listed before.
func TestFileForFolderMadeAnew(t *testing.T) {
	w := newWorld(t, map[string]string{"build/sub/x": "1"})
	waitForTick(t, filepath.Join(w.Dir, "tick"))
	w.ok(os.Remove(filepath.Join(w.Dir, "tick")))
	w.ok(w.view.MakeDir("build", 0o755, true))
	w.put("build/sub", "2", 0o644)
	w.wantList("modify build/sub")
	w.apply()
	w.has("build/sub", "2")
	_, err := w.Undo(context.Background())
	w.ok(err)
	w.has("build/sub/x", "1")
	w.wantList("modify build/sub")
}

func TestHardLinksAreBroken(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(store, []byte("shared"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil)
	w.ok(os.Link(store, filepath.Join(w.Dir, "f")))
	w.edit("f", "agent")
	w.apply()
	w.has("f", "agent")
	if b, _ := os.ReadFile(store); string(b) != "shared" {
		t.Errorf("the other name of the file holds %q", b)
	}
}

func TestForgedIndexDoesNotLand(t *testing.T) {
	w := newWorld(t, map[string]string{".git/HEAD": "ref: refs/heads/main\n", ".git/objects/x": "", ".git/refs/x": ""})
	entry := make([]byte, 62)
	entry[26], entry[27], entry[61] = 0x81, 0xa4, byte(len(".git/hooks/x"))
	index := append([]byte("DIRC\x00\x00\x00\x02\x00\x00\x00\x01"), entry...)
	index = append(append(index, ".git/hooks/x"...), make([]byte, 6+20)...)
	w.put(".git/index", string(index), 0o644)
	w.put(".git/packed-refs", strings.Repeat("a", 40)+" refs/replace/x\n", 0o644)
	for _, o := range w.apply() {
		if o.Status != Failed || !strings.Contains(o.Why, "forged") {
			t.Errorf("%s: %s %s", o.Change.Path, o.Status, o.Why)
		}
	}
	w.none(".git/index")
	w.none(".git/packed-refs")
}

func TestDiscard(t *testing.T) {
	w := newWorld(t, map[string]string{"f": "1", "b/x": "1"})
	w.edit("f", "2")
	w.put("a/x", "1", 0o644)
	w.put("a/y", "1", 0o644)
	w.ok(w.view.MakeDir("b", 0o755, true))
	got, err := w.Discard(context.Background(), "a/x", "b")
	w.ok(err)
	if len(got) != 2 {
		t.Errorf("discarded %v", got)
	}
	w.wantList("add a/y", "modify f")
	_, err = w.Discard(context.Background())
	w.ok(err)
	w.clean()
	w.has("f", "1")
	w.has("b/x", "1")
}
