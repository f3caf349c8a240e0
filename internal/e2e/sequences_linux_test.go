package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/belljar-dev/belljar/internal/fstest"
	"golang.org/x/sys/unix"
)

func init() { fstest.Child() } // inside a sandbox

// TestSequences does random sequences of file operations in whole sandboxes, many of
// them in one run, and in a plain copy: after apply the project is the copy, after undo
// and discard what it was. Every fourth run is live, where undo takes the run itself back.
func TestSequences(t *testing.T) {
	each, runs := 50, 4
	if n := rounds(0, 1); n > 0 {
		each, runs = 250, 54 // 41 in review, 13 live
	}
	var mu sync.Mutex
	done := map[string]int{}
	t.Run("runs", func(t *testing.T) {
		for i := range runs {
			mode := "review"
			if i%4 == 3 {
				mode = "live"
			}
			t.Run(fmt.Sprintf("%s-%d", mode, i), func(t *testing.T) {
				if os.Geteuid() != 0 {
					t.Parallel()
				}
				b := newBatch(t, uint64(i), each)
				b.run(mode)
				if mode == "review" {
					b.review()
				} else {
					b.live()
				}
				mu.Lock()
				defer mu.Unlock()
				done[mode] += each
			})
		}
	})
	t.Logf("sequences done: %v", done)
}

// A batch is the sequences of one run.
type batch struct {
	*world
	s             fstest.Sequences
	plain         string
	before, after []string
}

func newBatch(t *testing.T, seed uint64, n int) *batch {
	b := &batch{world: newWorld(t), s: fstest.NewSequences(seed, n)}
	b.plain = filepath.Join(b.home, "plain")
	for _, dir := range []string{b.plain, b.proj} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := b.s.Fill(dir); err != nil {
			t.Fatal(err)
		}
	}
	b.before = b.look(b.proj)
	return b
}

func (b *batch) look(dir string) []string {
	b.t.Helper()
	l, err := fstest.Look(dir, b.s.Names()...)
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// run does the sequences inside, and in the plain copy what was done.
func (b *batch) run(mode string) {
	b.t.Helper()
	driver := filepath.Join(b.proj, "driver")
	copySelf(b.t, driver)
	r := b.belljar("run", "--mode", mode, "--", "env", b.s.Part(), "./driver")
	var rep fstest.Report
	if err := json.Unmarshal([]byte(r.out), &rep); r.status != 0 || err != nil {
		b.t.Fatalf("status %d, %v\n%.2000s\n%s", r.status, err, r.out, r.errout)
	}
	var also []fstest.Refusals
	if ownKernel() { // of a link, and of a rename to a folder above
		also = append(also, fstest.Refusals{Did: unix.EPERM.Error(), Follows: unix.EEXIST.Error()},
			fstest.Refusals{Did: unix.EISDIR.Error(), Follows: unix.ENOTEMPTY.Error()})
	}
	if err := b.s.Follow(b.plain, rep.Ended, also...); err != nil {
		b.t.Fatal(err)
	}
	b.after = b.look(b.plain)
	inside := b.after
	if ownKernel() { // whose stat tells of the blocks that a file of that size has without holes
		inside = nil
		for _, l := range b.after {
			inside = append(inside, strings.Replace(l, " sparse", "", 1))
		}
	}
	b.same("the run, inside", inside, rep.Tree)
	if fstest.Differ(b.before, b.after) == "" {
		b.t.Fatal("the run changed nothing: the test tests nothing")
	}
}

// copySelf puts this test program where a sandbox finds it.
func copySelf(t *testing.T, to string) {
	t.Helper()
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if e := out.Close(); err != nil || e != nil {
		t.Fatal(err, e)
	}
}

func (b *batch) same(what string, want, got []string) {
	b.t.Helper()
	if d := fstest.Differ(want, got); d != "" {
		b.t.Errorf("after %s: %.5000s", what, d)
	}
}

// does runs a command that must succeed, and wants the project to be as given.
func (b *batch) does(cmd string, want []string) {
	b.t.Helper()
	if r := b.belljar(cmd, "--json"); r.status != 0 {
		b.t.Errorf("%s: status %d\n%.5000s\n%s", cmd, r.status, r.out, r.errout)
	}
	b.same(cmd, want, b.look(b.proj))
}

func (b *batch) waits(what string, want []string) {
	b.t.Helper()
	if d := fstest.Differ(want, b.pending()); d != "" {
		b.t.Errorf("%s waits otherwise: %.5000s", what, d)
	}
}

func (b *batch) review() {
	b.same("the run", b.before, b.look(b.proj))
	waits := b.pending()
	b.does("apply", b.after)
	b.waits("after apply", nil)
	b.does("undo", b.before)
	b.waits("after undo", waits)
	b.does("discard", b.before)
	b.waits("after discard", nil)
}

func (b *batch) live() {
	b.does("undo", b.before)
	b.does("apply", b.after)
	b.waits("after apply", nil)
}
