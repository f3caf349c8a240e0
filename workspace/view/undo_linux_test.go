package view

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/fstest"
	"github.com/belljar-dev/belljar/workspace"
	"golang.org/x/sys/unix"
)

// undone takes the last run back, and wants that all of it could be.
func undone(t *testing.T, p workspace.Project, paths ...string) []workspace.Outcome {
	t.Helper()
	out, err := p.Undo(context.Background(), paths...)
	must(t, err)
	for _, o := range out {
		if o.Status != workspace.Undone {
			t.Errorf("undo %s %s: %s %s", o.Change.Op, o.Change.Name(), o.Status, o.Why)
		}
	}
	return out
}

// TestUndoRun does random operations in live mode, and with patterns of what passes;
// undo brings back the tree of before, and what was undone lands again.
func TestUndoRun(t *testing.T) {
	for batch := range many(20, 200) {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			t.Parallel()
			p := passBatch{T: t, batch: uint64(batch), pass: []string{"**/a/**", "b"}, names: sequences(50)}
			mode := belljar.ModeLive
			if batch%4 == 3 {
				mode = belljar.ModeReview
			}
			plain := t.TempDir()
			w := newWorld(t, worldOptions{mode: mode, pass: globs(p.pass...), seed: func(host string) { p.seed(host, plain) }})
			before := look(t, w.host, p.names)
			p.both(w.in, plain)
			w.server.Close()
			after := look(t, w.host, p.names)
			if fstest.Differ(before, after) == "" {
				t.Error("the run changed nothing: the test tests nothing")
			}
			pr := workspace.Project{Dir: w.host, Shadow: w.shadow}
			undone(t, pr)
			wantSame(t, p.batch, "undo", before, look(t, w.host, p.names))
			if batch%2 == 0 { // nothing is lost: what was taken back lands as it was
				out, err := pr.Apply(context.Background())
				must(t, err)
				for _, o := range out {
					if o.Status != workspace.Applied {
						t.Errorf("batch %d: apply %s: %s %s", batch, o.Change.Name(), o.Status, o.Why)
					}
				}
				wantSame(t, p.batch, "apply", look(t, plain, p.names), look(t, w.host, p.names))
			}
		})
	}
}

func sequences(n int) []string { return fstest.NewSequences(0, n).Names() }

// What the user saves comes back where the run changed it again, else it is a conflict:
// it stays.
func TestUndoRunHost(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(host string) {
		for _, n := range []string{"during", "after", "gone", "same", "big"} {
			write(t, host+"/"+n, "old "+n)
		}
		write(t, host+"/big", strings.Repeat("x", 100_000))
	}})
	w.sh(`ls -l >/dev/null; for n in during after same big; do echo new >$n; done; rm gone; mkdir made; echo in >made/in`)
	must(t, os.WriteFile(w.host+"/during", []byte("the user's\n"), 0o644))
	eventually(t, "the edit is seen inside", func() bool { return w.sh("cat during") == "the user's\n" })
	w.sh(`echo more >>during`)
	w.server.Close()
	write(t, w.host+"/after", "the user's")
	write(t, w.host+"/made/own", "the user's")
	p := workspace.Project{Dir: w.host, Shadow: w.shadow}
	out, err := p.Undo(context.Background())
	must(t, err)
	conflicts := map[string]bool{}
	for _, o := range out {
		if o.Status == workspace.Conflicted {
			conflicts[o.Change.Path] = true
		}
	}
	if len(conflicts) != 1 || !conflicts["after"] {
		t.Errorf("conflicts: %v", conflicts)
	}
	for n, want := range map[string]string{
		"during": "the user's\n", "after": "the user's", "gone": "old gone", "same": "old same", "big": strings.Repeat("x", 100_000), "made/own": "the user's",
	} {
		if got := read(t, w.host+"/"+n); got != want {
			t.Errorf("%s is %.40q, want %.40q", n, got, want)
		}
	}
	absent(t, w.host+"/made/in")
}

// A program inside that sets times back, or writes through a descriptor whose name is
// gone, does not get its content into what undo brings back.
func TestUndoRunForged(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(host string) {
		write(t, host+"/f", "good")
		write(t, host+"/g", "good")
		write(t, host+"/h", strings.Repeat("good", 10_000))
	}})
	w.sh(`touch -r f ref; printf evil | dd of=f conv=notrunc 2>/dev/null; touch -r ref f; rm ref
exec 3<>g; rm g; printf evil >&3; exec 3>&-
exec 4<>h; rm h; ln -s /etc/passwd h; printf evil >&4; exec 4>&-`)
	w.server.Close()
	undone(t, workspace.Project{Dir: w.host, Shadow: w.shadow})
	for n, want := range map[string]string{"f": "good", "g": "good", "h": strings.Repeat("good", 10_000)} {
		if got := read(t, w.host+"/"+n); got != want {
			t.Errorf("%s is %.20q", n, got)
		}
	}
}

// A rename over a file that is refused does not let what the run writes to it then pass
// by what undo keeps, nor by its rules.
func TestUndoRunRefusedRename(t *testing.T) {
	w := newWorld(t, worldOptions{seed: func(host string) {
		write(t, host+"/f", "good")
		must(t, os.Symlink("f", host+"/.vscode"))
	}})
	if err := os.Rename(w.in+"/.vscode", w.in+"/f"); !errors.Is(err, unix.EXDEV) {
		t.Fatalf("rename: %v, want it to be refused", err)
	}
	write(t, w.in+"/f", "the run's")
	w.server.Close()
	undone(t, workspace.Project{Dir: w.host, Shadow: w.shadow})
	if got := read(t, w.host+"/f"); got != "good" {
		t.Errorf("after undo f is %q", got)
	}
}

// Runs are taken back one after the other, in parts as well.
func TestUndoRuns(t *testing.T) {
	seed := func(host string) { write(t, host+"/f", "0"); write(t, host+"/d/x", "0"); write(t, host+"/g", "0") }
	w := newWorld(t, worldOptions{seed: seed})
	w.sh(`echo 1 >f; rm -r d; echo 1 >g`)
	w.server.Close()
	v := newWorld(t, worldOptions{host: w.host, shadow: w.shadow})
	v.sh(`echo 2 >>f; mv g h`)
	v.server.Close()
	p := workspace.Project{Dir: w.host, Shadow: w.shadow}
	r, err := p.LastRun()
	must(t, err)
	if len(r.Changes) != 3 || !r.Live {
		t.Errorf("the last run: %+v", r)
	}
	undone(t, p)
	if got := read(t, w.host+"/f"); got != "1\n" {
		t.Errorf("after one undo f is %q", got)
	}
	undone(t, p, "d/x")
	if got := read(t, w.host+"/d/x"); got != "0" {
		t.Errorf("d/x is %q", got)
	}
	if got := read(t, w.host+"/f"); got != "1\n" {
		t.Errorf("f is %q although only d/x was to be taken back", got)
	}
	if _, err := p.Undo(context.Background(), "nowhere"); belljar.KindOf(err) != belljar.KindUsage {
		t.Errorf("undo nowhere: %v", err)
	}
	undone(t, p)
	for n, want := range map[string]string{"f": "0", "g": "0", "d/x": "0"} {
		if got := read(t, filepath.Join(w.host, n)); got != want {
			t.Errorf("%s is %q, want %q", n, got, want)
		}
	}
	if out := undone(t, p); len(out) > 0 {
		t.Errorf("one undo more: %v", out)
	}
}

// A server that is killed anywhere leaves what undo needs: each file comes back.
func TestUndoRunKilled(t *testing.T) {
	for round := range many(20, 200) {
		w := newWorld(t, worldOptions{seed: func(host string) {
			for i := range 40 {
				write(t, fmt.Sprintf("%s/d%d/f%d", host, i%4, i), strings.Repeat(fmt.Sprint(i), 20_000))
			}
		}})
		before := look(t, w.host, []string{"d0", "d1", "d2", "d3"})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = w.run("sh", "-c", `for i in 0 1 2 3 4 5 6 7 8 9; do for f in d*/*$i; do echo new >$f; mv $f $f.x; echo made >$f; rm $f.x; done; mv d$((i%4)) e; mv e d$((i%4)); done`)
		}()
		for n := 0; n < round*3; n++ { // some writes later
			eventually(t, "the run goes on", func() bool {
				select {
				case <-done:
					return true
				default:
				}
				w.sink.mu.Lock()
				defer w.sink.mu.Unlock()
				return len(w.sink.events) > n
			})
		}
		w.server.kill()
		<-w.server.Done()
		<-done
		undone(t, workspace.Project{Dir: w.host, Shadow: w.shadow})
		wantSame(t, uint64(round), "undo after a kill", before, look(t, w.host, []string{"d0", "d1", "d2", "d3"}))
	}
}
