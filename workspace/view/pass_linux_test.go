package view

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/fstest"
	"github.com/belljar-dev/belljar/workspace"
	"github.com/belljar-dev/belljar/workspace/rules"
)

func globs(list ...string) []belljar.Pattern {
	var out []belljar.Pattern
	for _, g := range list {
		out = append(out, belljar.Pattern{Glob: g, Origin: belljar.Origin{Layer: "user"}})
	}
	return out
}

// TestPassing does random operations in a view in review mode in which patterns let
// something pass. The host changes nowhere else; after apply it is what a plain copy
// of the tree is, and a discard leaves what has passed.
func TestPassing(t *testing.T) {
	for batch := range many(20, 200) {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			t.Parallel()
			p := passBatch{T: t, batch: uint64(batch), pass: [][]string{{"*/a/**"}, {"b"}, {"a", "n\nl/*", "**/Makefile"}, {"**"}, {"**/b/**", "c/a"}}[batch%5]}
			p.run()
		})
	}
}

type passBatch struct {
	*testing.T
	batch  uint64
	pass   []string
	names  []string
	rules  *rules.Rules
	passed int // lines of the host that differ
}

func (p *passBatch) run() {
	const each = 50
	plain := p.TempDir()
	p.names = sequences(each)
	w := newWorld(p, worldOptions{mode: belljar.ModeReview, pass: globs(p.pass...), seed: func(host string) { p.seed(host, plain) }})
	before := look(p.T, w.host, p.names)
	var err error
	p.rules, err = rules.New(rules.Options{Mode: belljar.ModeReview, Pass: globs(p.pass...)})
	must(p, err)
	p.both(w.in, plain)
	after := look(p.T, plain, p.names)
	wantSame(p.T, p.batch, "run, inside", after, look(p.T, w.in, p.names))
	w.server.Close()
	run := look(p.T, w.host, p.names)
	p.onlyPassing("run", before, run)
	pr := workspace.Project{Dir: w.host, Shadow: w.shadow}
	if p.batch%2 == 0 {
		_, err = pr.Discard(context.Background())
		must(p, err)
		wantSame(p.T, p.batch, "discard", run, look(p.T, w.host, p.names))
		return
	}
	out, err := pr.Apply(context.Background())
	must(p, err)
	for _, o := range out {
		if o.Status != workspace.Applied {
			p.Errorf("batch %d: apply %s %s: %s %s", p.batch, o.Change.Op, o.Change.Name(), o.Status, o.Why)
		}
	}
	wantSame(p.T, p.batch, "apply", after, look(p.T, w.host, p.names))
	if l := pendingList(p.T, pr); l != "" {
		p.Errorf("batch %d: waits after apply:\n%s", p.batch, l)
	}
}

func (p *passBatch) sequences() fstest.Sequences { return fstest.NewSequences(p.batch, len(p.names)) }

func (p *passBatch) seed(dirs ...string) {
	for _, dir := range dirs {
		must(p, p.sequences().Fill(dir))
	}
}

func (p *passBatch) both(in, plain string) {
	must(p, p.sequences().Follow(plain, p.sequences().Do(in)))
}

// onlyPassing wants that the host changed nowhere but where a pattern lets it.
func (p *passBatch) onlyPassing(what string, before, now []string) {
	for i, side := range [][]string{before, now} {
		other := [][]string{now, before}[i]
		for _, line := range side {
			if slices.Contains(other, line) {
				continue
			}
			quoted, err := strconv.QuotedPrefix(line)
			must(p, err)
			rel, err := strconv.Unquote(quoted)
			must(p, err)
			// A folder that passes is renamed with what is held in it: that is the host's own,
			// and means the same as before.
			held := p.held(rel)
			moved := held != "" && held != rel && slices.ContainsFunc(other, func(l string) bool {
				q, _ := strconv.QuotedPrefix(l)
				o, _ := strconv.Unquote(q)
				return p.held(o) == held && l[len(q):] == line[len(quoted):]
			})
			if v := p.rules.Explain(rel); v.Kind != rules.Pass && !moved {
				p.Errorf("batch %d: after %s the host changed where nothing may pass: %s", p.batch, what, line)
			}
			p.passed++
		}
	}
	if p.passed == 0 {
		p.Errorf("batch %d: nothing passed: the test tests nothing", p.batch)
	}
}

// held is the part of rel from the first name on that does not pass, below one that does;
// rel itself without such a name above.
func (p *passBatch) held(rel string) string {
	parts := strings.Split(rel, "/")
	for i := range parts {
		if p.rules.Explain(strings.Join(parts[:i+1], "/")).Kind == rules.Pass {
			continue
		}
		if i > 0 && p.rules.Explain(strings.Join(parts[:i], "/")).Kind == rules.Pass {
			return strings.Join(parts[i:], "/")
		}
	}
	return rel
}

// The pattern ** lets exactly that through which live does.
func TestPassingAllIsLive(t *testing.T) {
	var lists [2][]string
	for i, mode := range []belljar.Mode{belljar.ModeReview, belljar.ModeLive} {
		p := passBatch{T: t, batch: 77, pass: []string{"**"}, names: sequences(8)}
		plain := t.TempDir()
		w := newWorld(t, worldOptions{mode: mode, pass: globs("**"), seed: func(host string) { p.seed(host, plain) }})
		p.both(w.in, plain)
		w.server.Close()
		lists[i] = look(t, w.host, p.names)
	}
	wantSame(t, 77, "both", lists[1], lists[0])
}

// What a rename carries across the border is judged name by name, links and whiteouts
// included, and nothing that is held lands through a folder that passes.
func TestPassingBorder(t *testing.T) {
	w := newWorld(t, worldOptions{mode: belljar.ModeReview, pass: globs("src/**"), hold: globs("src/held"), seed: func(host string) {
		write(t, host+"/src/a", "a")
		write(t, host+"/src/d/x", "x")
		write(t, host+"/lib/b", "b")
		write(t, host+"/lib/e/y", "y")
		write(t, host+"/lib/one", "one")
		must(t, os.Link(host+"/lib/one", host+"/src/two"))
	}})
	w.sh(`mv lib/e src/e; mv src/d lib/d; mv src/a lib/a; mv lib/b src/b; echo new >src/two
mkdir src/.vscode; echo evil >src/.vscode/tasks.json; echo evil >src/held; mkdir src/n; echo '#!' >src/n/.envrc
mkdir -p src/g; echo 'ref: refs/heads/m' >src/g/HEAD; mkdir src/g/objects src/g/refs; echo '[core]' >src/g/config
ln -s ../lib src/l; echo through >src/l/b2; rm -rf src/d; mkdir src/d; echo again >src/d/x; ! ln lib/one src/three`)
	for name, want := range map[string]string{"src/e/y": "y", "src/b": "b", "src/two": "new\n", "src/d/x": "again\n", "lib/e/y": "y", "lib/b": "b", "lib/one": "one"} {
		if got := read(t, w.host+"/"+name); got != want {
			t.Errorf("%s is %q on the host, want %q", name, got, want)
		}
	}
	for _, name := range []string{"src/.vscode", "src/held", "src/n/.envrc", "src/g/HEAD", "lib/d", "lib/a", "src/a", "lib/b2", "src/three"} {
		absent(t, w.host+"/"+name)
	}
}
