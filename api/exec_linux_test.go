package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// hangs is after how long something hangs, and is not slow: a busy machine may need long.
const hangs = 2 * time.Minute

// Exec runs the command on this host, in place of a sandbox.
func (d *desk) Exec(_ context.Context, r ExecRequest, c *belljar.Command, by string) (belljar.Process, error) {
	defer func() {
		for _, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
			if f != nil {
				_ = f.Close()
			}
		}
	}()
	if r.Argv[0] == "refused" {
		return nil, &belljar.Error{Op: "start command", ID: "refused", Kind: belljar.KindRefused, Err: errors.New("it is refused"), Hint: "do not"}
	}
	x := exec.Command(r.Argv[0], r.Argv[1:]...)
	x.Dir, x.Env = r.Dir, append(r.Env, "BY="+by, "PATH="+os.Getenv("PATH"))
	x.Stdin, x.Stdout = c.Stdin, c.Stdout
	if x.Stderr = c.Stdout; c.Stderr != nil {
		x.Stderr = c.Stderr
	}
	if err := x.Start(); err != nil {
		return nil, &belljar.Error{Op: "start command", Kind: belljar.KindNotFound, Err: err}
	}
	p := &hostProcess{x: x, deaf: slices.Contains(r.Env, "DEAF=1"), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = x.Wait()
	}()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.procs = append(d.procs, p)
	return p, nil
}

type hostProcess struct {
	x     *exec.Cmd
	deaf  bool // no signal reaches it
	done  chan struct{}
	sizes []belljar.WindowSize
}

func (p *hostProcess) Wait(ctx context.Context) (belljar.ExitStatus, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		return belljar.ExitStatus{}, ctx.Err()
	}
	ws := p.x.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return belljar.ExitStatus{Signal: belljar.Signal(ws.Signal())}, nil
	}
	return belljar.ExitStatus{Code: ws.ExitStatus()}, nil
}

func (p *hostProcess) Signal(s belljar.Signal) error {
	if p.deaf {
		return nil
	}
	return p.x.Process.Signal(syscall.Signal(s))
}

func (p *hostProcess) Resize(w belljar.WindowSize) error {
	p.sizes = append(p.sizes, w)
	return nil
}

// start starts a shell line in a sandbox of the test.
func start(t *testing.T, dir, line string) *Stream {
	t.Helper()
	s, err := Dial("box", dir).Exec(t.Context(), ExecRequest{Argv: []string{"sh", "-c", line}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// finish reads everything and returns how it ended.
func finish(t *testing.T, s *Stream) (out, errs string, st belljar.ExitStatus) {
	t.Helper()
	rest := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(s.Stderr())
		rest <- string(b)
	}()
	b, err := io.ReadAll(s.Stdout())
	if err != nil {
		t.Errorf("output: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	if st, err = s.Wait(ctx); err != nil {
		t.Errorf("wait: %v", err)
	}
	return string(b), <-rest, st
}

func TestExec(t *testing.T) {
	dir := serve(t, &desk{})
	s := start(t, dir, `cat; echo to-err >&2; echo "$BY"; exit 7`)
	go func() {
		_, _ = io.WriteString(s.Stdin(), "given\n")
		_ = s.Stdin().Close()
	}()
	out, errs, st := finish(t, s)
	if !strings.HasPrefix(out, "given\nuid ") || errs != "to-err\n" || st.Status() != 7 {
		t.Errorf("%q %q %+v", out, errs, st)
	}
	s = start(t, dir, "kill -TERM $$")
	if _, _, st := finish(t, s); st.Signal != 15 {
		t.Errorf("%+v", st)
	}
	c := Dial("box", dir)
	if _, err := c.Exec(t.Context(), ExecRequest{Argv: []string{"refused"}}); belljar.KindOf(err) != belljar.KindRefused || belljar.HintOf(err) != "do not" {
		t.Errorf("%v", err)
	}
	if _, err := c.Exec(t.Context(), ExecRequest{Argv: []string{"/no/such/file"}}); belljar.KindOf(err) != belljar.KindNotFound {
		t.Errorf("%v", err)
	}
	for _, bad := range []ExecRequest{{}, {Argv: []string{""}}, {Argv: []string{"a\x00"}}, {Argv: []string{"a"}, Dir: "rel"}, {Argv: []string{"a"}, Env: []string{"x"}}} {
		if _, err := c.Exec(t.Context(), bad); belljar.KindOf(err) != belljar.KindUsage {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestExecLarge: more than any buffer passes whole, both ways, at once.
func TestExecLarge(t *testing.T) {
	s := start(t, serve(t, &desk{}), "cat")
	in := bytes.Repeat([]byte("0123456789abcdef"), 1<<19)
	go func() {
		_, _ = s.Stdin().Write(in)
		_ = s.Stdin().Close()
	}()
	if out, _, st := finish(t, s); out != string(in) || st.Status() != 0 {
		t.Errorf("%d of %d bytes, %+v", len(out), len(in), st)
	}
}

// TestExecHeldUp: neither input that is not read, nor output that nobody reads, keeps
// signals or the other channels.
func TestExecHeldUp(t *testing.T) {
	s := start(t, serve(t, &desk{}), `trap 'echo heard >&2; exit 4' TERM; echo ready >&2; (trap "" TERM; exec yes) & p=$!; trap 'echo heard >&2; kill -9 $p; exit 4' TERM; wait`)
	wrote := make(chan error, 1)
	go func() {
		_, err := s.Stdin().Write(make([]byte, 4<<20)) // nobody reads it
		wrote <- err
	}()
	buf := make([]byte, 6)
	if _, err := io.ReadFull(s.Stderr(), buf); err != nil || string(buf) != "ready\n" {
		t.Fatalf("%q %v", buf, err)
	}
	// All of the window of standard output is full by the time that it has grown no more.
	for full := false; !full; {
		s.m.mu.Lock()
		full = len(s.m.in[chanOut].buf) == window
		s.m.mu.Unlock()
	}
	if err := s.Signal(15); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s.Stderr(), buf); err != nil || string(buf) != "heard\n" {
		t.Fatalf("%q %v", buf, err)
	}
	if _, _, st := finish(t, s); st.Status() != 4 {
		t.Errorf("%+v", st)
	}
	_ = s.Close()
	if err := <-wrote; err == nil {
		t.Error("what nobody read was written")
	}
}

// TestExecCloseOutput: who reads no more is told by SIGPIPE.
func TestExecCloseOutput(t *testing.T) {
	s := start(t, serve(t, &desk{}), "exec yes")
	if _, err := s.Stdout().Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := s.Stdout().Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	if st, err := s.Wait(ctx); err != nil || st.Signal != belljar.Signal(syscall.SIGPIPE) {
		t.Errorf("%+v %v", st, err)
	}
}

// TestExecGone: a command whose caller has gone gets SIGHUP, and SIGKILL when it stays.
func TestExecGone(t *testing.T) {
	for line, want := range map[string]syscall.Signal{
		"echo ready; exec sleep 1000":                        syscall.SIGHUP,
		"trap '' HUP; echo ready; while :; do sleep 1; done": syscall.SIGKILL,
	} {
		d := &desk{}
		s := start(t, serve(t, d), line)
		if _, err := io.ReadFull(s.Stdout(), make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		d.mu.Lock()
		p := d.procs[0]
		d.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), hangs)
		if st, err := p.Wait(ctx); err != nil || st.Signal != belljar.Signal(want) {
			t.Errorf("%s: %+v %v", line, st, err)
		}
		cancel()
	}
}

// TestExecGoneStays: commands that nothing ends do not keep the places of callers who have gone.
func TestExecGoneStays(t *testing.T) {
	d := &desk{}
	c := Dial("box", serve(t, d))
	t.Cleanup(func() {
		for _, p := range d.procs {
			_ = p.x.Process.Kill()
		}
	})
	deaf := ExecRequest{Argv: []string{"sleep", "1000"}, Env: []string{"DEAF=1"}}
	var all []*Stream
	for range maxStreams {
		s, err := c.Exec(t.Context(), deaf)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if _, err := c.Exec(t.Context(), deaf); belljar.KindOf(err) != belljar.KindConflict {
		t.Fatalf("one too many: %v", err)
	}
	for _, s := range all {
		_ = s.Close()
	}
	for deadline := time.Now().Add(hangs); ; time.Sleep(hangupEvery) {
		s, err := c.Exec(t.Context(), ExecRequest{Argv: []string{"true"}})
		if err == nil {
			_ = s.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no place is free: %v", err)
		}
	}
}

// TestExecLeftBehind: what a command leaves behind does not hold up its end.
func TestExecLeftBehind(t *testing.T) {
	s := start(t, serve(t, &desk{}), "sleep 1000 & echo $!; exit 3")
	out, _, st := finish(t, s)
	if st.Status() != 3 {
		t.Errorf("%q %+v", out, st)
	}
	_ = exec.Command("kill", "-9", strings.TrimSpace(out)).Run()
}

// TestExecLeftPrinting: nor does it where it goes on printing.
func TestExecLeftPrinting(t *testing.T) {
	s := start(t, serve(t, &desk{}), "(while echo x; do sleep 0.05; done) & exit 3")
	began := time.Now()
	out, _, st := finish(t, s)
	if st.Status() != 3 || time.Since(began) > 10*lingerAll+hangs/4 {
		t.Errorf("%v, %d bytes, %+v", time.Since(began), len(out), st)
	}
}

// TestExecLateReader: what is in the pipe when the time for it is over was printed before that,
// and reaches the caller: who reads may have waited for a processor.
func TestExecLateReader(t *testing.T) {
	for _, over := range []bool{true, false} { // false: the sandbox's end is what ends the time
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close() // something that was left behind has it
		large := bytes.Repeat([]byte("x"), 50_000)
		if _, err := w.Write(append(large, "late"...)); err != nil {
			t.Fatal(err)
		}
		a, z := net.Pipe()
		x := &execution{over: make(chan struct{})}
		if over {
			x.ended = time.Now()
			close(x.over)
		}
		if err := r.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		go func() { x.copyOut(newMux(a, a, x.order), chanOut, r); _ = a.Close() }()
		got, err := io.ReadAll(z)
		if n := bytes.Count(got, []byte("x")); err != nil || n != len(large) || !bytes.Contains(got, []byte("late")) {
			t.Errorf("over %v: %d bytes arrived, %v", over, n, err)
		}
	}
}

// TestExecServerEnds: with the server, a stream ends, and what it runs is waited for.
func TestExecServerEnds(t *testing.T) {
	d := &desk{}
	dir := t.TempDir()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, d) }()
	s, err := Dial("box", dir).Exec(t.Context(), ExecRequest{Argv: []string{"sh", "-c", "echo ready; exec sleep 1000"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := io.ReadFull(s.Stdout(), make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = d.procs[0].Signal(9) // as the sandbox's end does
	if _, _, st := finish(t, s); st.Signal != 9 {
		t.Errorf("%+v", st)
	}
	_ = s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Status says what the test's sandbox does.
func (d *desk) Status(context.Context) (Status, error) {
	return Status{ID: "id", Name: "box", State: Running, Doing: "\x1b]0;x\a"}, nil
}

// Stop notes the grace.
func (d *desk) Stop(_ context.Context, grace time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.graces = append(d.graces, grace)
	return nil
}

// Attach attaches to a script.
func (d *desk) Attach(_ context.Context, q AttachRequest) (Viewer, error) {
	if d.script == nil {
		return nil, &belljar.Error{Op: "attach", Kind: belljar.KindConflict, Err: errors.New("it is not detached")}
	}
	d.script.size <- q.Size
	return d.script, nil
}

// A script shows what it is sent.
type script struct {
	show  chan []byte
	typed chan string
	size  chan belljar.WindowSize
	gone  chan struct{}
	once  sync.Once
}

func newScript() *script {
	return &script{show: make(chan []byte, 8), typed: make(chan string, 8), size: make(chan belljar.WindowSize, 8), gone: make(chan struct{})}
}

func (s *script) Next() ([]byte, error) {
	select {
	case b, ok := <-s.show:
		if ok {
			return b, nil
		}
	case <-s.gone:
	}
	return nil, io.EOF
}

func (s *script) Write(p []byte) (int, error) {
	s.typed <- string(p)
	return len(p), nil
}

func (s *script) Resize(w belljar.WindowSize) { s.size <- w }

func (s *script) Status(context.Context) (belljar.ExitStatus, error) {
	return belljar.ExitStatus{Code: 6}, nil
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.gone) })
	return nil
}

func TestAttach(t *testing.T) {
	d := &desk{}
	c := Dial("box", serve(t, d))
	if _, err := c.Attach(t.Context(), AttachRequest{}); belljar.KindOf(err) != belljar.KindConflict {
		t.Errorf("%v", err)
	}
	d.script = newScript()
	s, err := c.Attach(t.Context(), AttachRequest{Size: belljar.WindowSize{Rows: 1, Cols: 2}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Resize(belljar.WindowSize{Rows: 3, Cols: 4}); err != nil {
		t.Fatal(err)
	}
	if a, b := <-d.script.size, <-d.script.size; a.Rows != 1 || b.Cols != 4 {
		t.Errorf("%v %v", a, b)
	}
	_, _ = io.WriteString(s.Stdin(), "keys")
	if got := <-d.script.typed; got != "keys" {
		t.Errorf("%q", got)
	}
	d.script.show <- []byte("shown")
	close(d.script.show)
	if out, errs, st := finish(t, s); out != "shown" || errs != "" || st.Status() != 6 {
		t.Errorf("%q %q %+v", out, errs, st)
	}
	d.script = newScript()
	if s, err = c.Attach(t.Context(), AttachRequest{}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	<-d.script.gone // detached
}

func TestStatusAndStop(t *testing.T) {
	d := &desk{}
	c := Dial("box", serve(t, d))
	if s, err := c.Status(t.Context()); err != nil || s.State != Running || s.Doing != "\x1b]0;x\a" {
		t.Errorf("%+v %v", s, err)
	}
	if err := c.Stop(t.Context(), 3*time.Second); err != nil || len(d.graces) != 1 || d.graces[0] != 3*time.Second {
		t.Errorf("%v %v", err, d.graces)
	}
	for _, bad := range []time.Duration{-time.Second, 2 * maxGrace} {
		if err := c.Stop(t.Context(), bad); belljar.KindOf(err) != belljar.KindUsage {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
