package workspace

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/workspace/shadow"
)

// A run that was killed before it changed anything does not hide the one before.
func TestRunOfNothing(t *testing.T) {
	w := newWorld(t, nil)
	parent := filepath.Join(w.Shadow, "views", shadow.Key(w.Dir), "before")
	w.ok(os.MkdirAll(filepath.Join(parent, "2"), 0o700))
	w.ok(os.MkdirAll(filepath.Join(parent, "1"), 0o700))
	w.ok(os.WriteFile(filepath.Join(parent, "1", "log"), []byte("belljar-before 1\n{\"path\":\"bmV3\"}\n"), 0o600))
	w.ok(os.MkdirAll(w.journalDir("last"), 0o700))
	w.ok(os.WriteFile(filepath.Join(w.journalDir("last"), "log"), []byte(journalHead), 0o600))
	old := int64(1_000_000_000)
	w.ok(os.Chtimes(filepath.Join(w.journalDir("last"), "log"), time.Unix(old, 0), time.Unix(old, 0)))
	r, err := w.newest()
	w.ok(err)
	if r == nil || r.name != "1" {
		t.Errorf("the newest run is %+v", r)
	}
}

// An undo of a run that is killed before the run is forgotten takes it back once.
func TestRunTakenOnce(t *testing.T) {
	w := newWorld(t, nil)
	dir := filepath.Join(w.Shadow, "views", shadow.Key(w.Dir), "before", "1")
	_, err := shadow.Create(w.Shadow)
	w.ok(err)
	w.ok(os.MkdirAll(dir, 0o700))
	w.ok(os.WriteFile(filepath.Join(w.Dir, "new"), []byte("the run's"), 0o600))
	w.ok(os.WriteFile(filepath.Join(dir, "log"), []byte("belljar-before 1\n{\"path\":\"bmV3\"}\n"), 0o600))
	all, err := w.runs()
	w.ok(err)
	if len(all) != 1 {
		t.Fatalf("runs: %+v", all)
	}
	places, err := w.places(all[0])
	w.ok(err)
	w.ok(w.adopt("1", places, nil)) // and killed
	out, err := w.Undo(t.Context())
	w.ok(err)
	if len(out) != 1 || out[0].Status != Undone {
		t.Errorf("after the kill: %v", out)
	}
	w.ok(os.WriteFile(filepath.Join(w.Dir, "new"), []byte("the user's"), 0o600))
	if out, err := w.Undo(t.Context()); err != nil || len(out) > 0 {
		t.Errorf("undo again: %v %v", out, err)
	}
}
