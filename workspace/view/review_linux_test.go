package view

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/fstest"
	"github.com/belljar-dev/belljar/workspace"
)

// TestReview does random operations in a view in review mode and in a plain copy of
// the same tree. After apply the project is what the copy is, after undo and after
// discard what it was; each sequence has a folder of its own. The same through whole
// sandboxes is in internal/e2e.
func TestReview(t *testing.T) {
	for batch := range many(20, 200) {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			t.Parallel()
			reviewBatch(t, uint64(batch), fstest.NewSequences(uint64(batch), 50))
		})
	}
}

func reviewBatch(t *testing.T, batch uint64, s fstest.Sequences) {
	plain, names := t.TempDir(), s.Names()
	w := newWorld(t, worldOptions{mode: belljar.ModeReview, seed: func(host string) {
		must(t, s.Fill(host))
		must(t, s.Fill(plain))
	}})
	before := look(t, w.host, names)
	if d := fstest.Differ(before, look(t, plain, names)); d != "" {
		t.Fatal("the copies differ at the start: " + d)
	}
	must(t, s.Follow(plain, s.Do(w.in)))
	after := look(t, plain, names)
	if d := fstest.Differ(after, look(t, w.in, names)); d != "" {
		t.Fatalf("batch %d: the view differs: %s", batch, d)
	}
	w.server.Close()
	p := workspace.Project{Dir: w.host, Shadow: w.shadow}
	waits := pendingList(t, p)
	apply := func() {
		t.Helper()
		out, err := p.Apply(context.Background())
		must(t, err)
		for _, o := range out {
			if o.Status != workspace.Applied {
				t.Errorf("batch %d: apply %s %s: %s %s", batch, o.Change.Op, o.Change.Name(), o.Status, o.Why)
			}
		}
		wantSame(t, batch, "apply", after, look(t, w.host, names))
		if w := pendingList(t, p); w != "" {
			t.Errorf("batch %d: waits after apply:\n%s", batch, w)
		}
	}
	apply()
	out, err := p.Undo(context.Background())
	must(t, err)
	for _, o := range out {
		if o.Status != workspace.Undone {
			t.Errorf("batch %d: undo %s: %s %s", batch, o.Change.Name(), o.Status, o.Why)
		}
	}
	wantSame(t, batch, "undo", before, look(t, w.host, names))
	if got := pendingList(t, p); got != waits && !t.Failed() {
		t.Errorf("batch %d: waits after undo, and before: %s", batch, fstest.Differ(strings.Split(waits, "\n"), strings.Split(got, "\n")))
	}
	if batch%4 == 0 { // what waits again lands as it did
		apply()
		_, err = p.Undo(context.Background())
		must(t, err)
	}
	_, err = p.Discard(context.Background())
	must(t, err)
	wantSame(t, batch, "discard", before, look(t, w.host, names))
	if got := pendingList(t, p); got != "" {
		t.Errorf("batch %d: waits after discard:\n%s", batch, got)
	}
}

func pendingList(t *testing.T, p workspace.Project) string {
	t.Helper()
	cs, err := p.Pending()
	must(t, err)
	var b strings.Builder
	for _, c := range cs {
		fmt.Fprintf(&b, "%s %s %s %s\n", c.Op, c.Kind, c.Name(), c.Conflict)
	}
	return b.String()
}

func wantSame(t *testing.T, batch uint64, what string, want, got []string) {
	t.Helper()
	if d := fstest.Differ(want, got); d != "" {
		t.Errorf("batch %d, after %s: %s", batch, what, d)
	}
}

// look describes what is below the named folders of dir, one line each.
func look(t *testing.T, dir string, names []string) []string {
	t.Helper()
	out, err := fstest.Look(dir, names...)
	must(t, err)
	return out
}
