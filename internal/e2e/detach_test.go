package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// detach starts a detached sandbox called name and stops it at the end of the test.
func (w *world) detach(name string, args ...string) {
	w.t.Helper()
	r := w.belljar(append([]string{"run", "--detach", "--name", name}, args...)...)
	if r.status != 0 || r.out != name+"\n" {
		w.t.Fatalf("detach: %+v", r)
	}
	w.t.Cleanup(func() {
		if r := w.belljar("stop", "--grace", "0s", name); r.status != 0 && !strings.Contains(r.errout, "no sandbox of that name runs") {
			w.t.Errorf("stop: %+v", r)
		}
	})
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(hangs)
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

// A psLine is what ps --json tells of one sandbox.
type psLine struct {
	ID, Name, State, Doing, Workspace string
	Memory                            int64
	Waiting, Refused, Viewers, Held   int
	Status                            *int
	Kept                              bool
}

func (w *world) ps(args ...string) map[string]psLine {
	w.t.Helper()
	r := w.belljar(append([]string{"ps", "--json"}, args...)...)
	var list []psLine
	if err := json.Unmarshal([]byte(r.out), &list); err != nil {
		w.t.Fatalf("%v: %+v", err, r)
	}
	out := map[string]psLine{}
	for _, l := range list {
		if l.Workspace == w.proj { // root has one state for all
			out[l.Name] = l
		}
	}
	return out
}

// state is the folder of belljar's state.
func (w *world) state() string {
	if os.Geteuid() == 0 {
		return "/var/lib/belljar"
	}
	return filepath.Join(w.home, ".local/state/belljar")
}

// TestDetach: a detached run goes on without its caller, in review, is listed, its output
// is kept, it is stopped and waited for.
func TestDetach(t *testing.T) {
	w := newWorld(t)
	w.detach("box", "--", "sh", "-c", `trap 'echo stopped; exit 5' TERM; echo "ready \033]52;c;aGk=\007"; echo new > made; touch /tmp/made; while :; do sleep 0.1; done`)
	eventually(t, "ready", func() bool { return strings.HasPrefix(w.belljar("logs", "box").out, "ready ") })
	eventually(t, "made", func() bool { return w.belljar("exec", "box", "test", "-e", "/tmp/made").status == 0 })
	l := w.ps()["box"]
	if l.State != "running" || l.Memory <= 0 || l.Doing == "" {
		t.Errorf("%+v", l)
	}
	if w.exists("made") {
		t.Error("a run that nobody watches wrote through")
	}
	if r := w.belljar("exec", l.ID[:len(l.ID)-2], "echo", "by id"); r.out != "by id\n" {
		t.Errorf("%+v", r)
	}
	var all sync.WaitGroup
	for _, c := range []struct {
		args []string
		want func(result) bool
	}{
		{[]string{"wait", "box"}, func(r result) bool { return r.status == 5 }},
		{[]string{"logs", "-f", "box"}, func(r result) bool {
			return r.status == 0 && strings.Contains(r.out, "\nstopped\n") && strings.Contains(r.out, "1 waits: made")
		}},
	} {
		all.Go(func() {
			if r := w.belljar(c.args...); !c.want(r) {
				t.Errorf("%q: %+v", c.args, r)
			}
		})
	}
	if r := w.belljar("rm", "box"); r.status != 125 || !strings.Contains(r.errout, "it runs") {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("stop", "box"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	all.Wait()
	if r := w.belljar("wait", "box"); r.status != 5 {
		t.Errorf("%+v", r)
	}
	if l := w.ps()["box"]; l.State != "ended" || l.Status == nil || *l.Status != 5 || l.Held != 1 {
		t.Errorf("%+v", l)
	}
	if r := w.belljar("discard"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if l, found := w.ps()["box"]; found {
		t.Errorf("%+v", l)
	}
	if _, found := w.ps("--all")["box"]; !found {
		t.Error("its output is kept, and ps --all does not tell")
	}
	if r := w.belljar("prune"); !strings.Contains(r.out, "output") || !strings.Contains(r.out, "homes") {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("rm", "box"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("logs", "box"); r.status != 2 {
		t.Errorf("%+v", r)
	}
	if os.Geteuid() == 0 {
		return // root has one state for all tests that run now
	}
	if r := w.belljar("prune", "caches"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	var left []struct{ Kind string }
	r := w.belljar("prune", "--json")
	if err := json.Unmarshal([]byte(r.out), &left); err != nil || len(left) != 1 || left[0].Kind != "records" {
		t.Errorf("%v %+v", err, r)
	}
}

// TestDetachRefused: what keeps a run from starting is told by the caller.
func TestDetachRefused(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--", "no-such-program"}, 127, "not found on PATH"},
		{[]string{"--memory", "none", "--", "true"}, 2, "--memory"},
		{[]string{"--", "./README"}, 126, "not executable"},
	} {
		if r := w.belljar(append([]string{"run", "--detach"}, c.args...)...); r.status != c.status || !strings.Contains(r.errout, c.says) || r.out != "" {
			t.Errorf("%q: %+v", c.args, r)
		}
	}
	if r := w.belljarIn("input", "run", "--detach", "cat"); r.status != 2 || !strings.Contains(r.errout, "reads no standard input") {
		t.Errorf("%+v", r)
	}
	w.detach("box", "--no-tty", "--", "sh", "-c", "test ! -t 1 && cat && exit 3")
	if r := w.belljar("wait", "box"); r.status != 3 {
		t.Errorf("%+v", r)
	}
	w.detach("live", "--mode", "live", "--", "sh", "-c", "echo x > through")
	if r := w.belljar("wait", "live"); r.status != 0 || !w.exists("through") {
		t.Errorf("%+v", r)
	}
}

// TestDetachSetup: what steps of setup print is told by the caller and kept, and bounded.
func TestDetachSetup(t *testing.T) {
	w := newWorld(t)
	w.write("setup.yaml", "version: 1\nsetup: {run: ['echo set up; head -c 20000000 /dev/zero | tr \"\\0\" x']}\n")
	r := w.belljar("run", "--detach", "--name", "box", "--policy", "setup.yaml", "--", "true")
	if r.status != 0 || !strings.Contains(r.errout, "set up") || len(r.errout) > 3<<20 {
		t.Errorf("%d %q %.300s (%d bytes)", r.status, r.out, r.errout, len(r.errout))
	}
	if r := w.belljar("wait", "box"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("logs", "box"); !strings.Contains(r.out, "belljar: reached nothing") || len(r.out) < 8<<20 || len(r.out) > 17<<20 {
		t.Errorf("%d bytes, %s", len(r.out), r.errout)
	}
	w.write("fails.yaml", "version: 1\nsetup: {run: ['echo no luck; exit 4']}\n")
	if r := w.belljar("run", "--detach", "--policy", "fails.yaml", "--", "true"); r.status == 0 || !strings.Contains(r.errout, "no luck") || r.out != "" {
		t.Errorf("%+v", r)
	}
}

// TestDetachLogsInterrupted: ctrl-c ends logs, and the terminal is as it was.
func TestDetachLogsInterrupted(t *testing.T) {
	w := newWorld(t)
	w.detach("box", "--", "sh", "-c", `printf '\033[?1049hready'; exec sleep 1000`)
	s := newScreen(t, w)
	alternate := func() string {
		out, err := exec.Command("tmux", "-S", s.sock, "display-message", "-p", "#{alternate_on}").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	s.keys(fmt.Sprintf("%s logs -f box; echo over-$?-$((1+1))", binary), "Enter")
	eventually(t, "a whole screen", func() bool { return alternate() == "1" })
	s.keys("C-c")
	s.want("over-130-2")
	if alternate() != "0" {
		t.Error("the terminal is left as the command had it")
	}
}

// TestDetachLetsGo: a detached run keeps nothing open that its caller had.
func TestDetachLetsGo(t *testing.T) {
	w := newWorld(t)
	r, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	c := w.cmd(ctx, "run", "--detach", "--name", "box", "--", "sleep", "1000")
	c.ExtraFiles = []*os.File{theirs, theirs}
	out, err := c.CombinedOutput()
	_ = theirs.Close()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	t.Cleanup(func() { w.belljar("stop", "--grace", "0s", "box") })
	_ = r.SetReadDeadline(time.Now().Add(hangs))
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a pipe of the caller's is held: %v", err)
	}
}

// TestDetachStopSetup: a detached run is stopped while its setup runs.
func TestDetachStopSetup(t *testing.T) {
	w := newWorld(t)
	w.write("setup.yaml", "version: 1\nsetup: {run: ['sleep 1000']}\n")
	over := make(chan result, 1)
	go func() {
		defer close(over)
		over <- w.belljar("run", "--detach", "--name", "stuck", "--policy", "setup.yaml", "--", "true")
	}()
	eventually(t, "setup", func() bool { return strings.Contains(w.belljar("log", "stuck", "--kind", "exec").out, "sleep") })
	if r := w.belljar("stop", "stuck"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if r := <-over; r.status == 0 || r.out != "" || !strings.Contains(r.errout, "it was stopped") {
		t.Errorf("%+v", r)
	}
}

// TestDetachStopEarly: a sandbox is stopped whatever it has come to in its start.
func TestDetachStopEarly(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		name := fmt.Sprintf("early-%d", i)
		over := make(chan result, 1)
		go func() {
			defer close(over)
			over <- w.belljar("run", "--detach", "--name", name, "--", "sleep", "1000")
		}()
		eventually(t, "an entry", func() bool {
			time.Sleep(time.Duration(i*4) * time.Millisecond)
			return strings.Contains(w.belljar("ps").out, name)
		})
		if r := w.belljar("stop", "--grace", "0s", name); r.status != 0 {
			t.Fatalf("%+v", r)
		}
		if r := <-over; r.status != 0 && !strings.Contains(r.errout, "it was stopped") {
			t.Errorf("%+v", r)
		}
	}
}

// supervisor is the process of the sandbox called name.
func (w *world) supervisor(name string) int {
	w.t.Helper()
	found, _ := filepath.Glob(filepath.Join(w.state(), "sandboxes", "*", "run.json"))
	for _, f := range found {
		var e struct {
			Name string
			PID  int
		}
		if b, err := os.ReadFile(f); err == nil && json.Unmarshal(b, &e) == nil && e.Name == name {
			return e.PID
		}
	}
	w.t.Fatalf("%s is not written down", name)
	return 0
}

// TestDetachKilled: kill -9 of a detached supervisor leaves nothing, and the next command says so.
func TestDetachKilled(t *testing.T) {
	w := newWorld(t)
	w.detach("box", "--", "sh", "-c", "echo ready; exec sleep 1000")
	eventually(t, "ready", func() bool { return w.belljar("logs", "box").out == "ready\n" })
	pid := w.supervisor("box")
	all := append([]int{pid}, testenv.Descendants(pid)...)
	if len(all) < 3 {
		t.Fatalf("only %v run", all)
	}
	c := w.cmd(context.Background(), "attach", "box")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, out, "ready")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != 125 {
		t.Errorf("who was attached ends with %v", err)
	}
	waitGone(t, all, "belljar-supervisor")
	if r := w.belljar("ps"); !strings.Contains(r.errout, "box") || !strings.Contains(r.errout, "was killed") {
		t.Errorf("%+v", r)
	}
	if l, found := w.ps()["box"]; found {
		t.Errorf("%+v", l)
	}
	if r := w.belljar("wait", "box"); r.status != 125 {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("logs", "box"); r.out != "ready\n" {
		t.Errorf("%+v", r)
	}
}

// TestDetachAsks: a question of a detached run waits, is listed, and its answer holds.
func TestDetachAsks(t *testing.T) {
	w, _ := deskWorld(t)
	w.detach("box", "--policy", "desk.yaml", "--upstream-by-name", "--", "sh", "-c",
		"echo ready; until curl -sf -X POST -d x https://api.example.com/asked/a; do sleep 0.2; done; echo through; exec sleep 1000")
	eventually(t, "a question", func() bool { return w.ps()["box"].Waiting == 1 })
	if r := w.belljar("logs", "box"); !strings.Contains(r.out, "waits for you") {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("approve", "box", "1", "--sandbox"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	eventually(t, "through", func() bool { return strings.Contains(w.belljar("logs", "box").out, "through") })
	if l := w.ps()["box"]; l.Waiting != 0 {
		t.Errorf("%+v", l)
	}
}

// TestAttach: two terminals on one editor; the first is killed, the second goes on, one comes back.
func TestAttach(t *testing.T) {
	testenv.Need(t, "vi")
	w := newWorld(t)
	w.detach("box", "--mode", "live", "--", "sh", "-c", "echo scrolled-$((1+1)); vi typed.txt; echo left-$((2+2)); PS1='IN''> ' exec sh -i")
	a, b := newScreen(t, w), newScreen(t, w)
	a.keys(fmt.Sprintf("%s attach box; echo first-$?", binary), "Enter")
	a.want("\n~")
	b.keys(fmt.Sprintf("%s attach box; echo second-$?", binary), "Enter")
	b.want("\n~")
	a.keys("i", "typed by one")
	a.want("typed by one")
	b.want("typed by one")
	b.keys("not by the other")
	a.keys(" and by one", "Escape")
	b.want("typed by one and by one")
	if n := w.ps()["box"].Viewers; n != 2 {
		t.Errorf("%d are attached", n)
	}
	// The first is killed: the second writes from now on.
	a.kill()
	eventually(t, "one is attached", func() bool { return w.ps()["box"].Viewers == 1 })
	b.keys(":wq", "Enter")
	b.want("left-4")
	if got := w.read("typed.txt"); got != "typed by one and by one\n" {
		t.Errorf("%q\n%s", got, b.text())
	}
	b.want("IN>")
	b.keys("C-p", "C-q")
	b.want("second-0")
	b.keys("clear; stty -a | grep -q ' echo ' && echo back-$((70+2))", "Enter")
	b.want("back-72")
	b.keys(fmt.Sprintf("clear; %s attach box; echo third-$?", binary), "Enter")
	b.want("left-4") // what was printed before
	b.keys("stty size; exit 9", "Enter")
	b.want("30 100")
	b.want("third-9")
	if r := w.belljar("wait", "box"); r.status != 9 {
		t.Errorf("%+v", r)
	}
}

// TestAttachFast: ten megabytes a second arrive whole at a viewer who reads, while another
// one has been halted, and the command is as fast as without.
func TestAttachFast(t *testing.T) {
	w := newWorld(t)
	w.detach("box", "--", "sh", "-c", "echo ready; while ! test -e /tmp/go; do sleep 0.02; done; stty -opost; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do head -c 1000000 /dev/zero | tr '\\0' x; sleep 0.1; done; echo end; exec sleep 1000")
	watch := func(text string) (*exec.Cmd, io.Reader) {
		ctx, cancel := context.WithTimeout(context.Background(), hangs)
		t.Cleanup(cancel)
		c := w.cmd(ctx, "attach", "box")
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		readUntil(t, out, text)
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		return c, out
	}
	halted, _ := watch("ready")
	_ = halted.Process.Signal(syscall.SIGSTOP)
	_, out := watch("ready")
	began := time.Now()
	if r := w.belljar("exec", "box", "touch", "/tmp/go"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	n, rest, buf := 0, "", make([]byte, 64<<10)
	for !strings.Contains(rest, "end") {
		k, err := out.Read(buf)
		if err != nil {
			t.Fatalf("%v after %d bytes, %q", err, n, rest)
		}
		n += bytes.Count(buf[:k], []byte("x"))
		rest += string(bytes.ReplaceAll(buf[:k], []byte("x"), nil))
	}
	if n != 20_000_000 || strings.Contains(rest, "left out") {
		t.Errorf("%d of 20000000 bytes, %q", n, rest)
	}
	t.Logf("20 MB in %v", time.Since(began).Round(time.Millisecond))
}

// kill ends the terminal with all that is in it.
func (s *screen) kill() {
	s.t.Helper()
	_ = exec.Command("tmux", "-S", s.sock, "kill-server").Run()
}

// TestManyDetached: many sandboxes at once, started one after another, all of which answer, and
// stopped at once.
func TestManyDetached(t *testing.T) {
	w := newWorld(t)
	n := rounds(10, 100)
	if !ownKernel() {
		n = rounds(10, 300)
	}
	var names []string
	for i := range n {
		name := "box" + strconv.Itoa(i)
		began := time.Now()
		r := w.belljar("run", "--detach", "--name", name, "--", "sh", "-c", "echo ready; exec sleep 1000")
		if r.status != 0 {
			t.Fatalf("%+v", r)
		}
		names = append(names, name)
		t.Logf("%s started in %v", name, time.Since(began).Round(time.Millisecond))
	}
	list := w.ps()
	for _, name := range names {
		if l := list[name]; l.State != "running" {
			t.Errorf("%s: %+v", name, l)
		}
		if r := w.belljar("exec", name, "--", "echo", "here"); r.status != 0 || r.out != "here\n" {
			t.Errorf("%s does not answer: %+v", name, r)
		}
	}
	if r := w.belljar(append([]string{"stop", "--grace", "1s"}, names...)...); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if l := w.ps(); len(l) != 0 {
		t.Errorf("left: %+v", l)
	}
}
