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
