package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// TestStart: a kept sandbox is started again from anywhere with its HOME, flags and command,
// by the policies as they are then.
func TestStart(t *testing.T) {
	w := newWorld(t)
	w.write("sub/x", "")
	r := w.belljar("run", "--keep", "--name", "box", "--env", "MARK=one", "--", "sh", "-c", `echo "$MARK" >> ~/mark; cat ~/mark; echo held > .envrc; pwd; exit 3`)
	if r.status != 3 || !strings.HasPrefix(r.out, "one\n"+w.proj) || !strings.Contains(r.errout, "it is kept: belljar start box") {
		t.Fatalf("%+v", r)
	}
	if l := w.ps()["box"]; l.State != "kept" || l.Status == nil || *l.Status != 3 || l.Held != 1 || !l.Kept {
		t.Errorf("%+v", l)
	}
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"), "version: 1\nnetwork: {allow: [docs.example.com]}\n")
	elsewhere := w.cmd(context.Background(), "start", "box")
	elsewhere.Dir = w.home
	out, err := elsewhere.CombinedOutput()
	if err == nil || elsewhere.ProcessState.ExitCode() != 3 {
		t.Errorf("%v: %s", err, out)
	}
	mustContain(t, "start", string(out), "one\none\n"+w.proj, "wider than at the last start: network.allow: docs.example.com")
	r = w.belljar("start", "box", "--", "sh", "-c", "cat .envrc; echo $MARK")
	if r.status != 0 || r.out != "held\none\n" || strings.Contains(r.errout, "wider") {
		t.Errorf("%+v", r)
	}
	if r = w.belljar("start", "box"); r.status != 3 {
		t.Errorf("the command of one start is that of the next: %+v", r)
	}
	// The project's file may not widen without trust, however long the sandbox was kept.
	w.write("belljar.yaml", "version: 1\nnetwork: {allow: [evil.example.com]}\n")
	if r = w.belljar("start", "box"); r.status != 126 || !strings.Contains(r.errout, "trust") {
		t.Errorf("%+v", r)
	}
	_ = os.Remove(filepath.Join(w.proj, "belljar.yaml"))
	if r = w.belljar("prune"); !strings.Contains(r.out, "sandboxes  box") {
		t.Errorf("%+v", r)
	}
	if r = w.belljar("rm", "box"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if r = w.belljar("start", "box"); r.status != 2 || !strings.Contains(r.errout, "no sandbox of that name is kept") {
		t.Errorf("%+v", r)
	}
	if left, _ := filepath.Glob(filepath.Join(w.state(), "homes/*/box")); len(left) > 0 && os.Geteuid() != 0 { // root's are those of all tests
		t.Error(left)
	}
	mustContain(t, "what waits", w.belljar("diff", "--name-only").out, ".envrc")
}

// TestStartAfterReboot: everything of ours is killed and the runtime folder is gone; the
// sandbox starts again, and what waited waits.
func TestStartAfterReboot(t *testing.T) {
	testenv.Need(t, "user") // root has one state for all tests
	w := newWorld(t)
	w.detach("box", "--keep", "--", "sh", "-c", "echo mine >> ~/mark; echo held > .envrc; echo new > made; echo ready; exec sleep 1000")
	eventually(t, "ready", func() bool { return strings.Contains(w.belljar("logs", "box").out, "ready\n") })
	if l := w.ps()["box"]; l.State != "running" || !l.Kept {
		t.Errorf("%+v", l)
	}
	if r := w.belljar("start", "box"); r.status != 125 || !strings.Contains(r.errout, "belljar attach box") {
		t.Errorf("%+v", r)
	}
	pid := w.supervisor("box")
	all := append([]int{pid}, testenv.Descendants(pid)...)
	for _, p := range all {
		_ = syscall.Kill(p, syscall.SIGKILL)
	}
	waitGone(t, all, "all")
	run := filepath.Join(filepath.Dir(w.home), "run/belljar")
	if err := os.RemoveAll(run); err != nil {
		t.Fatal(err)
	}
	r := w.belljar("start", "--detach", "box")
	if r.status != 0 || r.out != "box\n" || !strings.Contains(r.errout, "was killed before it could end") || !strings.Contains(r.errout, "belljar start box starts it again") {
		t.Fatalf("%+v", r)
	}
	eventually(t, "ready", func() bool { return strings.Contains(w.belljar("logs", "box").out, "ready\n") })
	if r = w.belljar("exec", "box", "cat", w.home+"/mark", ".envrc", "made"); r.out != "mine\nmine\nheld\nnew\n" {
		t.Errorf("%+v", r)
	}
	if w.exists("made") {
		t.Error("what nobody watched was written through")
	}
	if r = w.belljar("stop", "box"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	// Somebody watches now: what waited for that stays so.
	if r = w.belljar("start", "box", "--", "sh", "-c", "echo more > made2"); r.status != 0 || w.exists("made2") {
		t.Errorf("%+v", r)
	}
}

// TestKeepRefused: nothing that the sandbox may write decides how it is started.
func TestKeepRefused(t *testing.T) {
	w := newWorld(t)
	w.write("p.yaml", "version: 1\n")
	mine := filepath.Join(w.home, "mine.yaml")
	w.write(mine, "version: 1\n")
	link := filepath.Join(w.home, "link.yaml")
	if err := os.Symlink(mine, link); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"p.yaml": "may write it", link: "a link leads to it"} {
		r := w.belljar("run", "--keep", "--name", "box", "--policy", file, "--", "true")
		if r.status != 126 || !strings.Contains(r.errout, want) {
			t.Errorf("%s: %+v", file, r)
		}
	}
	if r := w.belljar("run", "--keep", "--name", "box", "--policy", mine, "--", "true"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	w.write(mine, "version: 1\nnetwork: {allow: [docs.example.com]}\n")
	r := w.belljar("start", "box")
	mustContain(t, "start", r.errout, "mine.yaml is not what it was at the last start", "wider than at the last start: network.allow: docs.example.com")
	// The file is one that a sandbox may have written meanwhile.
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(w.proj, "p.yaml"), mine); err != nil {
		t.Fatal(err)
	}
	if r = w.belljar("start", "box"); r.status != 126 {
		t.Errorf("%+v", r)
	}
	w.belljar("rm", "box")
}

// TestRemoveKeptLinks: what an agent left in its HOME is counted and removed without leaving
// it, and a removal that was killed is finished by the next command.
func TestRemoveKeptLinks(t *testing.T) {
	testenv.Need(t, "user") // root has one state for all, of which nothing else may be removed
	w := newWorld(t)
	victim := filepath.Join(w.home, "victim")
	w.write(filepath.Join(victim, "big"), strings.Repeat("x", 4<<20))
	r := w.belljar("run", "--keep", "--name", "box", "--", "sh", "-c", `ln -s `+victim+` ~/link; mkdir -p ~/a/b; ln -s / ~/a/b/root; echo x > ~/a/b/f; chmod 0 ~/a/b/f ~/a/b ~/a; chmod 0 ~`)
	if r.status != 0 {
		t.Fatalf("%+v", r)
	}
	var list []struct {
		Kind, Name string
		Bytes      int64
	}
	if err := json.Unmarshal([]byte(w.belljar("prune", "--json").out), &list); err != nil {
		t.Fatal(err)
	}
	for _, k := range list {
		if k.Name == "box" && (k.Kind != "sandboxes" || k.Bytes > 1<<20) {
			t.Errorf("%+v", k)
		}
	}
	trash := filepath.Join(w.state(), "trash/left")
	w.write(filepath.Join(trash, "x"), "")
	if err := os.Symlink(victim, filepath.Join(trash, "link")); err != nil {
		t.Fatal(err)
	}
	w.belljar("ps")
	if _, err := os.Lstat(trash); err == nil {
		t.Error("what was being removed is still there")
	}
	if r = w.belljar("prune", "sandboxes"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if left, _ := filepath.Glob(filepath.Join(w.state(), "homes/*/box")); len(left) > 0 {
		t.Error(left)
	}
	if _, err := os.Stat(filepath.Join(victim, "big")); err != nil {
		t.Error(err)
	}
}

// TestShell: a shell in a running sandbox, and in a new one.
func TestShell(t *testing.T) {
	w := newWorld(t)
	w.env = append(w.env, "SHELL=/bin/sh")
	if r := w.belljarIn("echo $HOME; pwd; exit 4\n", "shell"); r.status != 4 || r.out != w.home+"\n"+w.proj+"\n" {
		t.Errorf("%+v", r)
	}
	w.detach("box", "--", "sleep", "1000")
	if r := w.belljarIn("echo $0; cat /proc/1/comm >/dev/null; exit 5\n", "shell", "box"); r.status != 5 || !strings.Contains(r.out, "sh") {
		t.Errorf("%+v", r)
	}
	s := newScreen(t, w)
	s.keys(binary+" shell box", "Enter")
	s.keys("tty; echo in-$((1+1))", "Enter")
	s.want("/dev/pts/")
	s.want("in-2")
	s.keys("exit", "Enter")
	s.want("HOST>")
}

// TestRemoveKeptOfOthers: a name that several projects have is removed in the project that is
// stood in only.
func TestRemoveKeptOfOthers(t *testing.T) {
	testenv.Need(t, "user") // root has one state for all, and these names are of no one project
	w := newWorld(t)
	other := filepath.Join(w.home, "other")
	w.write(filepath.Join(other, "f"), "x")
	w.sh("true", "--keep", "--name", "same")
	w.sh("true", "--keep", "--name", "same", "--workspace", other)
	c := w.cmd(t.Context(), "rm", "same")
	c.Dir = w.home
	out, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), "several projects") {
		t.Errorf("%s %s", c.ProcessState, out)
	}
	if r := w.belljar("rm", "same"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("start", "same"); r.status != 0 { // the one that is left
		t.Errorf("%+v", r)
	}
}
