package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

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
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		c := w.cmd(ctx, "apply")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		state := filepath.Join(w.home, ".local/state/belljar")
		if os.Getuid() == 0 {
			state = "/var/lib/belljar"
		}
		journal := filepath.Join(plan.ProjectDir(state, w.proj), "undo/next/log")
		begun := func() bool {
			st, err := os.Stat(journal)
			return err == nil && st.Size() > 3000
		}
		for ctx.Err() == nil && !begun() {
			runtime.Gosched()
		}
		_ = c.Process.Kill()
		_ = c.Wait()
		cancel()
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
