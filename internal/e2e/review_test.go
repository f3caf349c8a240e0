package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// pending is what belljar diff --json lists.
func (w *world) pending() []string {
	w.t.Helper()
	r := w.belljar("diff", "--json")
	var changes []struct{ Path string }
	if err := json.Unmarshal([]byte(r.out), &changes); r.status != 0 || err != nil {
		w.t.Fatalf("diff --json: status %d, %v\n%s%s", r.status, err, r.out, r.errout)
	}
	var out []string
	for _, c := range changes {
		out = append(out, c.Path)
	}
	return out
}

// TestWaitsAsListed: the closing lines count what belljar diff lists, also what came
// and went inside, and what earlier runs left.
func TestWaitsAsListed(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		line string
		want string
		n    int
	}{
		{"mkdir -p .husky/a; echo 1 > .husky/a/b; echo 1 > .envrc; echo 1 > .husky/gone; rm .husky/gone", "; 2 wait: ", 2},
		{"rm .envrc; echo 2 > .vimrc; echo > kept; echo > tmp; rm tmp", "1 file changed: kept; 2 wait, 1 of them from other runs: .vimrc (", 2},
		{"true", "no file changed; 2 wait from other runs;", 2},
		{"rm -r .husky .vimrc", "no file changed, nothing waits", 0},
	} {
		r := w.trySh(c.line)
		mustContain(t, "after "+c.line, r.errout, c.want)
		if p := w.pending(); len(p) != c.n {
			t.Errorf("after %s: %q wait, want %d", c.line, p, c.n)
		}
	}
	for _, cmd := range []string{"apply", "discard"} {
		if r := w.belljar(cmd, "--json"); r.status != 0 || strings.TrimSpace(r.out) != "[]" {
			t.Errorf("%s --json of nothing: status %d %q %s", cmd, r.status, r.out, r.errout)
		}
		if r := w.belljar(cmd, "nosuch"); r.status != 2 || !strings.Contains(r.errout, "no sandbox has that name") {
			t.Errorf("%s nosuch: status %d %s", cmd, r.status, r.errout)
		}
	}
}

// TestTwoRuns: two runs in one project write held files at once while what waits is
// read: nothing is lost and nothing mixed.
func TestTwoRuns(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	const lines = 40
	var runs []*exec.Cmd
	var ends []io.WriteCloser
	for _, who := range []string{"one", "two"} {
		c := w.cmd(ctx, "run", "--", "sh", "-c", fmt.Sprintf(`mkdir -p .husky; echo ready; read go
			for n in $(seq %d); do echo %s $n >> .husky/log-%s; echo %s $n > .husky/tmp-%s; mv .husky/tmp-%s .husky/shared; done; read end`, lines, who, who, who, who, who))
		var errout bytes.Buffer
		c.Stderr = &errout
		in, _ := startReady(t, c)
		defer func() {
			if t.Failed() {
				t.Log(errout.String())
			}
		}()
		if _, err := in.Write([]byte("go\n")); err != nil {
			t.Fatal(err)
		}
		runs, ends = append(runs, c), append(ends, in)
	}
	for range 3 {
		w.pending() // fails when it cannot be read
	}
	// What waits is not taken away under a program that has it open.
	for _, cmd := range []string{"apply", "discard"} {
		if r := w.belljar(cmd); r.status != 125 || !strings.Contains(r.errout, "a sandbox runs in this project") {
			t.Errorf("%s while sandboxes run: status %d\n%s", cmd, r.status, r.errout)
		}
	}
	for i, c := range runs {
		if _, err := ends[i].Write([]byte("end\n")); err != nil {
			t.Error(err)
		}
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.belljar("apply"); r.status != 0 {
		t.Fatalf("apply: status %d\n%s%s", r.status, r.out, r.errout)
	}
	for _, who := range []string{"one", "two"} {
		var want strings.Builder
		for n := range lines {
			fmt.Fprintf(&want, "%s %d\n", who, n+1)
		}
		if got := w.read(".husky/log-" + who); got != want.String() {
			t.Errorf("log of %s:\n%s", who, got)
		}
	}
	if got := w.read(".husky/shared"); got != fmt.Sprintf("one %d\n", lines) && got != fmt.Sprintf("two %d\n", lines) {
		t.Errorf("the file that both replaced: %q", got)
	}
	if p := w.pending(); len(p) > 0 {
		t.Errorf("still waiting: %q", p)
	}
	if r := w.belljar("log", "verify", "--all"); r.status != 0 {
		t.Errorf("log verify --all: %s%s", r.out, r.errout)
	}
}
