package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReviewAndUndo: what a run in review mode made is read, lands in part, lands, and
// is taken back.
func TestReviewAndUndo(t *testing.T) {
	w := newWorld(t)
	var ten strings.Builder
	for i := range 20 {
		fmt.Fprintf(&ten, "%d\n", i)
	}
	w.write("code.go", ten.String())
	w.write("gone", "1\n")
	w.write("package-lock.json", `{"packages":{"node_modules/a":{"version":"1.0.0","resolved":"https://one.example/a.tgz"}}}`)
	w.sh(`sed -i 's/^3$/three/; s/^16$/sixteen/' code.go; rm gone; echo > new; sed -i s/one.example/two.example/ package-lock.json; mkdir .husky; echo true > .husky/pre-commit`, "--mode", "review")
	r := w.belljar("diff")
	if i, j := strings.Index(r.out, ".husky"), strings.Index(r.out, "# lock-file: a 1.0.0 comes from two.example instead of one.example"); i < 0 || j < i || strings.Index(r.out, "code.go") < j {
		t.Errorf("the dangerous is not first:\n%s", r.out)
	}
	var changes []struct {
		Path  string
		Risks []struct{ Kind string }
	}
	if err := json.Unmarshal([]byte(w.belljar("diff", "--json").out), &changes); err != nil || len(changes) != 5 || len(changes[1].Risks) != 1 {
		t.Errorf("diff --json: %v %+v", err, changes)
	}
	r = w.belljarIn("?\ny\nn\n", "apply", "-p", "code.go")
	mustContain(t, "apply -p", r.out, "(1/2) Apply this hunk [y,n,q,a,d,?]?", "q - quit", "applied code.go")
	if got := w.read("code.go"); !strings.Contains(got, "three\n") || strings.Contains(got, "sixteen") {
		t.Errorf("after one hunk:\n%s", got)
	}
	before := w.host("ls", "-A")
	r = w.belljar("apply")
	if r.status != 0 || w.exists("gone") || !w.exists("new") || !strings.Contains(w.read("code.go"), "sixteen") {
		t.Errorf("apply: status %d\n%s%s", r.status, r.out, r.errout)
	}
	w.write("new", "mine\n")
	r = w.belljar("undo")
	if r.status != 1 || !strings.Contains(r.out, "conflict new: the host has changed it since") || w.read("new") != "mine\n" {
		t.Errorf("undo over an edit: status %d\n%s%s", r.status, r.out, r.errout)
	}
	if err := os.Remove(filepath.Join(w.proj, "new")); err != nil {
		t.Fatal(err)
	}
	if r := w.belljar("undo", "--json"); r.status != 0 {
		t.Errorf("undo again: status %d\n%s%s", r.status, r.out, r.errout)
	}
	if got := w.host("ls", "-A"); got != before || strings.Contains(w.read("code.go"), "sixteen") {
		t.Errorf("after undo:\n%s\nbefore:\n%s", got, before)
	}
	if r := w.belljar("undo"); r.status != 0 || !strings.Contains(r.errout, "nothing to undo") {
		t.Errorf("a third undo: status %d\n%s%s", r.status, r.out, r.errout)
	}
	if r := w.belljar("apply"); r.status != 0 || !strings.Contains(w.read("code.go"), "sixteen") {
		t.Errorf("apply again: status %d\n%s%s", r.status, r.out, r.errout)
	}
	for _, args := range [][]string{{"undo", "nowhere"}, {"apply", "-p", "--json"}} {
		if r := w.belljar(args...); r.status != 2 {
			t.Errorf("%q: status %d\n%s%s", args, r.status, r.out, r.errout)
		}
	}
}

// TestApplyAndCommit: what lands is one commit of the user's, with the agent as
// co-author, and no hook of the repository has run.
func TestApplyAndCommit(t *testing.T) {
	w := newWorld(t)
	w.write(filepath.Join(w.home, ".gitconfig"), "[user]\n\tname = Ada\n\temail = ada@example.com\n")
	w.write(".gitignore", ".env\n*.log\n")
	w.host("sh", "-ec", `git init -q -b main .; git add README .gitignore; git commit -qm first
		printf '#!/bin/sh\ntouch ran\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; echo mine >> .gitignore`)
	w.sh(`echo new > src.go; echo more >> README; echo x > x.log; mkdir .husky; echo y > .husky/h`, "--mode", "review", "--name", "worker")
	r := w.belljar("apply", "--commit", "-m", "add src", "src.go", "README", "x.log")
	if r.status != 0 || !strings.Contains(r.out, "committed ") || !strings.Contains(r.out, "not committed x.log: git ignores it") {
		t.Fatalf("status %d\n%s%s", r.status, r.out, r.errout)
	}
	if got := w.host("git", "log", "-1", "--format=%an %ae%n%B"); !strings.Contains(got, "Ada ada@example.com\nadd src\n\nCo-authored-by: sh <sh@worker.belljar>\n") {
		t.Errorf("log:\n%s", got)
	}
	if got := w.host("git", "show", "--name-only", "--format="); got != "README\nsrc.go\n" {
		t.Errorf("committed:\n%s", got)
	}
	if got := w.host("git", "status", "--porcelain"); got != " M .gitignore\n" || w.exists("ran") {
		t.Errorf("status after the commit:\n%s (a hook ran: %v)", got, w.exists("ran"))
	}
	w.host("git", "fsck", "--strict")
}

// TestRandomScript does what a random script does in a sandbox in review mode and in a
// copy: after apply the project is the copy, after undo and discard what it was.
func TestRandomScript(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(7, rand.Uint64()))
	names := []string{"a", "b", "c", "d e", "Makefile", ".vscode", `$'n\nl'`}
	path := func() string {
		var p []string
		for range 1 + r.IntN(3) {
			n := names[r.IntN(len(names))]
			if !strings.HasPrefix(n, "$") {
				n = "'" + n + "'"
			}
			p = append(p, n)
		}
		return strings.Join(p, "/")
	}
	var script strings.Builder
	script.WriteString("umask 022\nexec 2>/dev/null\n")
	for i := range 400 {
		p, q := path(), path()
		lines := []string{
			"echo I > P", "echo I >> P", "mkdir -p P", "mkdir -p P/Q", "mv -T P Q", "mv P Q", "rm -rf P", "rmdir P",
			"rm -rf P; mkdir P; echo I > P/a", "rm -rf P; echo I > P", "ln -s a P", "chmod 7MM P", "truncate -s 70000 P",
		}
		script.WriteString(strings.NewReplacer("P", p, "Q", q, "I", fmt.Sprint(i), "MM", fmt.Sprintf("%d%d", r.IntN(8), r.IntN(8))).Replace(lines[r.IntN(len(lines))]) + "\n")
	}
	script.WriteString("true\n")
	copyOf := filepath.Join(w.home, "copy")
	prepare := "mkdir -p s; cd s; mkdir -p a/b c; echo 1 > a/f; echo 2 > a/b/f; echo 3 > c/a; echo 4 > b; ln -s c 'd e'"
	w.host("bash", "-ec", prepare)
	w.host("cp", "-a", "s", copyOf)
	list := func(dir string) string {
		c := exec.Command("bash", "-ec", `find . -printf '%P %y %m %l\n' | LC_ALL=C sort; find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum`)
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	proj := filepath.Join(w.proj, "s")
	before := list(proj)
	if res := w.belljar("run", "--mode", "review", "--", "bash", "-c", "cd s; "+script.String()); res.status != 0 {
		t.Fatalf("run: status %d\n%s", res.status, res.errout)
	}
	c := exec.Command("bash", "-c", script.String())
	c.Dir = copyOf
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	want := list(copyOf)
	same := func(what, want string) {
		t.Helper()
		if got := list(proj); got != want {
			t.Errorf("after %s:\n%s\nwant:\n%s\nscript:\n%s", what, got, want, script.String())
		}
	}
	same("the run", before)
	if r := w.belljar("apply"); r.status != 0 {
		t.Fatalf("apply: %d\n%s%s", r.status, r.out, r.errout)
	}
	same("apply", want)
	if r := w.belljar("undo"); r.status != 0 {
		t.Fatalf("undo: %d\n%s%s", r.status, r.out, r.errout)
	}
	same("undo", before)
	if r := w.belljar("discard"); r.status != 0 {
		t.Fatalf("discard: %d\n%s%s", r.status, r.out, r.errout)
	}
	same("discard", before)
	if p := w.pending(); len(p) != 0 {
		t.Errorf("still waiting: %q", p)
	}
}

// TestApplyKnowsWhatIsFound: what a run hides and holds because something of the host
// leads to it, apply and diff know too.
func TestApplyKnowsWhatIsFound(t *testing.T) {
	w := newWorld(t)
	w.write("config/dev", "secret\n")
	w.write("githooks/readme", "1\n")
	w.host("sh", "-ec", `ln -sf config/dev .env; git init -q -b main .; git config core.hooksPath githooks; touch config/seen`)
	w.sh(`rm -rf config; mkdir -p config; echo 1 > config/new; echo true > githooks/pre-commit; chmod +x githooks/pre-commit; true`, "--mode", "review")
	var changes []struct{ Path, Class string }
	r := w.belljar("diff", "--json")
	if err := json.Unmarshal([]byte(r.out), &changes); err != nil {
		t.Fatalf("diff --json: %v\n%s", err, r.out)
	}
	classes := map[string]string{}
	for _, c := range changes {
		classes[c.Path] = c.Class
	}
	if got := classes["githooks/pre-commit"]; got != "self-running" {
		t.Errorf("a hook in core.hooksPath has class %q:\n%s", got, r.out)
	}
	r = w.belljar("apply")
	if w.read("config/dev") != "secret\n" {
		t.Errorf("apply removed what the sandbox could not see:\n%s%s", r.out, r.errout)
	}
}

// TestUndoRun: what a run in live mode wrote, removed and renamed is taken back, what the
// user saved is not, and what was taken back waits.
func TestUndoRun(t *testing.T) {
	w := newWorld(t)
	w.write("edited", "old\n")
	w.write("gone/f", "old\n")
	w.write("moved/f", "old\n")
	w.write("mine", "old\n")
	before := w.host("find", ".", "-not", "-name", ".", "-printf", "%p %m %s\n")
	w.sh(`echo new > edited; rm -r gone; mv moved elsewhere; echo more >> elsewhere/f; mkdir -p made/x; echo y > made/x/y; chmod 700 README; ln -s edited link; echo new > mine`)
	if w.read("edited") != "new\n" || w.exists("gone") || !w.exists("made/x/y") {
		t.Fatal("the run did not change the project")
	}
	w.write("mine", "the user's\n")
	r := w.belljar("undo")
	if r.status != 1 || !strings.Contains(r.out, "conflict mine: the host has changed it since") {
		t.Errorf("undo: status %d\n%s%s", r.status, r.out, r.errout)
	}
	if got := w.read("mine"); got != "the user's\n" {
		t.Errorf("mine is %q", got)
	}
	w.write("mine", "old\n")
	if got := w.host("find", ".", "-not", "-name", ".", "-printf", "%p %m %s\n"); sortLines(got) != sortLines(before) {
		t.Errorf("after undo:\n%s\nbefore:\n%s", got, before)
	}
	if r := w.belljar("diff", "--name-only"); !strings.Contains(r.out, "made/x/y") {
		t.Errorf("what was taken back does not wait:\n%s%s", r.out, r.errout)
	}
	if r := w.belljar("apply", "edited"); r.status != 0 || w.read("edited") != "new\n" {
		t.Errorf("apply: status %d\n%s%s", r.status, r.out, r.errout)
	}
}

func sortLines(s string) string {
	l := strings.Split(s, "\n")
	slices.Sort(l)
	return strings.Join(l, "\n")
}

// TestPass: in review mode what workspace.pass names lands by itself, is listed, and is
// taken back; all else waits, and nothing that runs by itself lands.
func TestPass(t *testing.T) {
	w := newWorld(t)
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"), "version: 1\nworkspace: {mode: review, pass: [\"src/**\"]}\n")
	w.write("src/a", "old\n")
	w.write("lib/b", "old\n")
	r := w.belljar("policy", "explain", "path", "src/a")
	mustContain(t, "explain", r.out, "workspace.pass lets it land by itself", "policy.yaml:2")
	w.sh(`echo new > src/a; echo new > lib/b; mkdir -p src/.vscode; echo evil > src/.vscode/tasks.json; mv lib/b src/b`)
	if w.read("src/a") != "new\n" || w.read("src/b") != "new\n" || w.read("lib/b") != "old\n" || w.exists("src/.vscode") {
		t.Errorf("src/a %q, lib/b %q", w.read("src/a"), w.read("lib/b"))
	}
	r = w.belljar("diff")
	mustContain(t, "diff", r.out, "src/.vscode/tasks.json", "landed by itself in the last run", "  modify src/a", "  add src/b")
	if r := w.belljar("diff", "--landed", "--name-only", "src"); r.status != 0 || sortLines(r.out) != sortLines("src/a\nsrc/b\n") {
		t.Errorf("diff --landed --name-only: status %d\n%s%s", r.status, r.out, r.errout)
	}
	var landed []struct{ Path, Op string }
	if err := json.Unmarshal([]byte(w.belljar("diff", "--landed", "--json").out), &landed); err != nil || len(landed) != 2 {
		t.Errorf("diff --landed --json: %v %+v", err, landed)
	}
	if r := w.belljar("undo", "src/a"); r.status != 0 || w.read("src/a") != "old\n" || !w.exists("src/b") {
		t.Errorf("undo src/a: status %d\n%s%s", r.status, r.out, r.errout)
	}
	if r := w.belljar("undo"); r.status != 0 || w.exists("src/b") {
		t.Errorf("undo: status %d\n%s%s", r.status, r.out, r.errout)
	}
	if r := w.belljar("apply"); r.status != 0 || w.read("src/a") != "new\n" || w.exists("lib/b") || !w.exists("src/.vscode/tasks.json") {
		t.Errorf("apply: status %d\n%s%s", r.status, r.out, r.errout)
	}
}

// TestPassDiscarded: what left a folder that passes is gone from it, and waits where it
// went; who throws that away is told how it comes back.
func TestPassDiscarded(t *testing.T) {
	w := newWorld(t)
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"), "version: 1\nworkspace: {mode: review, pass: [\"src/**\"]}\n")
	w.write("src/a", "the only one\n")
	w.sh(`mv src/a a`)
	if w.exists("src/a") || w.exists("a") {
		t.Fatal("it has not moved out of what passes, or it has landed")
	}
	r := w.belljar("discard")
	if r.status != 0 || !strings.Contains(r.errout, "(1): belljar undo brings them back") {
		t.Errorf("discard: status %d\n%s%s", r.status, r.out, r.errout)
	}
	if r := w.belljar("undo"); r.status != 0 || w.read("src/a") != "the only one\n" {
		t.Errorf("undo: status %d\n%s%s", r.status, r.out, r.errout)
	}
	if r := w.belljar("diff", "--landed"); r.status != 0 || !strings.Contains(r.errout, "nothing landed by itself") {
		t.Errorf("diff --landed: status %d\n%s%s", r.status, r.out, r.errout)
	}
}
