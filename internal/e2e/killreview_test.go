package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/plan"
)

// TestKilledApplyIsTakenBack: the next command, whatever it is, takes an apply back
// that was killed in the middle, and says so.
func TestKilledApplyIsTakenBack(t *testing.T) {
	for _, next := range [][]string{{"diff", "--name-only"}, {"run", "--mode", "review", "--", "true"}} {
		w := newWorld(t)
		old := strings.Repeat("old ", 2000)
		for i := range 150 {
			w.write(fmt.Sprintf("f%d", i), old)
		}
		w.sh(`for f in f*; do echo new > $f; done`, "--mode", "review")
		// One that is done before it is killed is taken back, and begun again.
		for tries := 0; !w.killApply(); tries++ {
			if r := w.belljar("undo"); r.status != 0 || tries == 20 {
				t.Fatalf("after %d times apply could not be killed in the middle: %+v", tries, r)
			}
		}
		r := w.belljar(next...)
		if r.status != 0 || !strings.Contains(r.errout, "an apply or undo was interrupted") {
			t.Errorf("%q: status %d\n%s%s", next, r.status, r.out, r.errout)
		}
		for i := range 150 {
			if got := w.read(fmt.Sprintf("f%d", i)); got != old {
				t.Fatalf("%q: f%d has %d bytes", next, i, len(got))
			}
		}
		if n := len(w.pending()); n != 150 {
			t.Errorf("%q: %d wait, want 150", next, n)
		}
	}
}

// killApply kills an apply when its journal has grown, and says whether it came to that.
func (w *world) killApply() bool {
	w.t.Helper()
	c := w.cmd(context.Background(), "apply")
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	journal := filepath.Join(plan.ProjectDir(w.state(), w.proj), "undo/next/log")
	for begun := false; !begun; runtime.Gosched() {
		select {
		case <-ended:
			return false
		default:
		}
		st, err := os.Stat(journal)
		begun = err == nil && st.Size() > 3000
	}
	_ = c.Process.Kill()
	<-ended
	_, err := os.Stat(journal) // an apply that is done has none
	return err == nil
}
