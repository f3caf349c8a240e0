package workspace

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func (w *world) undo() []Outcome {
	w.Helper()
	out, err := w.Undo(context.Background())
	w.ok(err)
	return out
}

// What the host changed after an apply is left as it is, named, and may be taken back
// when the user has made room.
func TestUndoLeavesHostEdits(t *testing.T) {
	w := newWorld(t, map[string]string{"a": "1", "b": "1", "gone": "1", "mode": "1"})
	w.edit("a", "2")
	w.edit("b", "2")
	w.edit("mode", "2")
	w.put("dir/new", "2", 0o644)
	w.remove("gone")
	w.apply()
	w.write("b", "host")
	w.write("gone", "host")
	w.write("dir/host", "host")
	w.ok(os.Chmod(filepath.Join(w.Dir, "mode"), 0o600))
	refused := ""
	for _, o := range w.undo() {
		if o.Status != Undone {
			refused += o.Change.Path + ": " + o.Why + "\n"
		}
	}
	for _, want := range []string{"b: the host has changed it since", "gone: the host has changed it since", "mode: "} {
		if !strings.Contains(refused, want) {
			t.Errorf("refused:\n%s\nwant %q", refused, want)
		}
	}
	w.has("a", "1")
	w.has("b", "host")
	w.has("gone", "host")
	w.none("dir/new")
	w.has("dir/host", "host")
	w.wantList("modify a", "add dir/new")
	w.write("b", "2")
	w.ok(os.Remove(filepath.Join(w.Dir, "gone")))
	w.undo()
	w.has("b", "1")
	w.has("gone", "1")
	w.wantList("modify a", "modify b", "add dir/new", "delete gone")
}

func TestUndoTwice(t *testing.T) {
	w := newWorld(t, map[string]string{"a": "1"})
	w.edit("a", "2")
	w.apply()
	w.undo()
	if out := w.undo(); len(out) > 0 {
		t.Errorf("a second undo did %v", out)
	}
	w.has("a", "1")
}

// An apply that did nothing does not make the one before it final.
func TestEmptyApplyKeepsUndo(t *testing.T) {
	w := newWorld(t, map[string]string{"a": "1"})
	w.edit("a", "2")
	w.apply()
	w.apply()
	w.undo()
	w.has("a", "1")
}

// What a later run wrote over what landed goes on waiting, over what came back.
func TestUndoKeepsWhatIsNewer(t *testing.T) {
	w := newWorld(t, map[string]string{"a": "1", "b": "1"})
	w.edit("a", "2")
	w.edit("b", "2")
	w.apply()
	w.edit("a", "3")
	w.remove("b")
	w.undo()
	w.has("a", "1")
	w.has("b", "1")
	w.wantList("modify a", "delete b")
	for _, o := range w.apply() {
		if o.Status != Applied {
			t.Errorf("%s: %s", o.Change.Path, o.Why)
		}
	}
	w.has("a", "3")
	w.none("b")
}

// What the host edited in a folder that a later run removed stays a conflict, although
// another file comes back into it.
func TestUndoBelowRemovedFolder(t *testing.T) {
	w := newWorld(t, map[string]string{"d/a": "1", "d/b": "1", "e/a": "1"})
	w.edit("d/a", "2")
	w.edit("e/a", "2")
	w.apply()
	waitForTick(t, filepath.Join(w.Dir, "tick"))
	w.ok(os.Remove(filepath.Join(w.Dir, "tick")))
	w.remove("d")
	w.remove("e")
	waitForTick(t, filepath.Join(w.Dir, "tick"))
	w.ok(os.Remove(filepath.Join(w.Dir, "tick")))
	w.write("d/b", "host")
	w.undo()
	w.has("d/a", "1")
	w.has("e/a", "1")
	w.wantList("delete d !", "delete e")
	w.apply()
	w.has("d/b", "host")
	w.none("e")
}

// No link that the host, or an agent in live mode, puts into the way is followed.
func TestUndoFollowsNoLink(t *testing.T) {
	w := newWorld(t, map[string]string{"d/a": "1", "e/b": "1"})
	w.edit("d/a", "2")
	w.edit("e/b", "2")
	w.apply()
	outside := t.TempDir()
	w.ok(os.WriteFile(filepath.Join(outside, "a"), []byte("2"), 0o644))
	w.ok(os.Rename(filepath.Join(w.Dir, "d"), filepath.Join(w.Dir, "was")))
	w.ok(os.Symlink(outside, filepath.Join(w.Dir, "d")))
	w.ok(os.Remove(filepath.Join(w.Dir, "e/b")))
	w.ok(os.Symlink(filepath.Join(outside, "a"), filepath.Join(w.Dir, "e/b")))
	for _, o := range w.undo() {
		if o.Status == Undone {
			t.Errorf("%s was taken back through a link", o.Change.Path)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(outside, "a")); string(b) != "2" {
		t.Errorf("undo wrote outside of the project: %q", b)
	}
	if es, _ := os.ReadDir(outside); len(es) != 1 {
		t.Errorf("undo left something outside of the project: %v", es)
	}
}

func TestKindsChange(t *testing.T) {
	w := newWorld(t, map[string]string{"file": "1", "dir/sub/x": "1", "edited/x": "1"})
	waitForTick(t, filepath.Join(w.Dir, "tick"))
	w.ok(os.Remove(filepath.Join(w.Dir, "tick")))
	w.remove("file")
	w.ok(w.view.MakeDir("file", 0o750, true))
	w.put("file/in", "2", 0o644)
	for _, n := range []string{"dir", "edited"} {
		w.remove(n)
		w.put(n, "2", 0o644)
	}
	waitForTick(t, filepath.Join(w.Dir, "tick"))
	w.ok(os.Remove(filepath.Join(w.Dir, "tick")))
	w.write("edited/x", "host")
	for _, o := range w.apply() {
		if want := map[bool]Status{true: Conflicted, false: Applied}[o.Change.Path == "edited"]; o.Status != want {
			t.Errorf("%s: %s %s", o.Change.Path, o.Status, o.Why)
		}
	}
	w.has("file/in", "2")
	w.has("dir", "2")
	w.has("edited/x", "host")
	w.undo()
	w.has("file", "1")
	w.has("dir/sub/x", "1")
}

func TestSpecialFilesAreNotLost(t *testing.T) {
	w := newWorld(t, map[string]string{"d/x": "1"})
	w.ok(unix.Mkfifo(filepath.Join(w.Dir, "d/fifo"), 0o640))
	waitForTick(t, filepath.Join(w.Dir, "tick"))
	w.ok(os.Remove(filepath.Join(w.Dir, "tick")))
	w.remove("d")
	w.apply()
	w.none("d")
	w.undo()
	w.has("d/x", "1")
	if st, err := os.Lstat(filepath.Join(w.Dir, "d/fifo")); err != nil || st.Mode() != os.ModeNamedPipe|0o640 {
		t.Errorf("the pipe: %v %v", st, err)
	}
}

func FuzzParseLog(f *testing.F) {
	line := step{Source: []byte("/p"), Path: []byte("a/b"), After: &state{Blob: "1"}}.encode()
	f.Add([]byte(journalHead + string(line)))
	f.Add([]byte(journalHead + string(line) + string(step{Void: true}.encode())))
	f.Add([]byte(journalHead + `{"path":"Li4=","source":"Lw==","after":{}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		steps, err := parseLog(data)
		if err != nil {
			return
		}
		for _, s := range steps {
			if rel := string(s.Path); !filepath.IsLocal(rel) || filepath.Clean(rel) != rel {
				t.Errorf("a path that leads out: %q", rel)
			}
			for _, st := range []*state{s.Before, s.After} {
				if st != nil && st.Blob != filepath.Base("x" + st.Blob)[1:] {
					t.Errorf("a blob that leads out: %q", st.Blob)
				}
			}
		}
		again := []byte(journalHead)
		for _, s := range steps {
			again = append(again, s.encode()...)
		}
		if more, err := parseLog(again); err != nil || len(more) != len(steps) {
			t.Errorf("what was parsed is not parsed again: %v", err)
		}
	})
}

// Objects that landed stay: a commit that the user has made since may need them.
func TestUndoKeepsObjects(t *testing.T) {
	w := newWorld(t, map[string]string{".git/HEAD": "ref: refs/heads/main\n", ".git/config": "", ".git/refs/heads/main": "1\n", ".git/objects/info/x": ""})
	var loose bytes.Buffer
	z := zlib.NewWriter(&loose)
	_, err := z.Write([]byte("blob 1\x001"))
	w.ok(errors.Join(err, z.Close()))
	id := fmt.Sprintf("%x", sha1.Sum([]byte("blob 1\x001")))
	large := fmt.Sprintf("%x", sha256.Sum256([]byte("large")))
	objects := map[string]string{
		".git/objects/" + id[:2] + "/" + id[2:]:                          loose.String(),
		".git/objects/pack/pack-" + id + ".keep":                         "",
		".git/lfs/objects/" + large[:2] + "/" + large[2:4] + "/" + large: "large",
	}
	for n, data := range objects {
		w.put(n, data, 0o444)
	}
	w.edit(".git/refs/heads/main", "2\n")
	w.put("new", "2", 0o644)
	for _, o := range w.apply() {
		if o.Status != Applied {
			t.Errorf("%s %s: %s", o.Status, o.Change.Path, o.Why)
		}
	}
	for _, o := range w.undo() {
		if o.Status != Undone || strings.Contains(o.Change.Path, "objects") {
			t.Errorf("%s %s: %s", o.Status, o.Change.Path, o.Why)
		}
	}
	for n, data := range objects {
		w.has(n, data)
	}
	w.has(".git/refs/heads/main", "1\n")
	w.none("new")
	w.wantList("add new", "modify .git/refs/heads/main")
	if out := w.undo(); len(out) > 0 {
		t.Errorf("a second undo did %v", out)
	}
}
