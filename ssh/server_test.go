package ssh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar"
	"golang.org/x/crypto/ssh"
)

// hangs is after how long something hangs, and is not slow: a busy machine may need long.
const hangs = 2 * time.Minute

// pipes are the two ends of a connection.
func pipes(t testing.TB) (a, b net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	return ends[0], ends[1]
}

// TestSilent: who says nothing is not waited for.
func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		began := time.Now()
		if err := Serve(t.Context(), theirs, Options{Key: testKey(t), Starter: scripted(nil)}); err == nil {
			t.Error("it was served")
		}
		if d := time.Since(began); d != greeting {
			t.Errorf("it took %v", d)
		}
	})
}

func testKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scripted starts commands that do what a function does.
type scripted func(c *Command, in io.Reader, out, errs io.WriteCloser) belljar.ExitStatus

type script struct {
	in    *io.PipeWriter
	out   *io.PipeReader
	errs  *io.PipeReader
	ended chan struct{}
	st    belljar.ExitStatus
	sigs  chan belljar.Signal
	sizes chan belljar.WindowSize
}

func (f scripted) Start(_ context.Context, c *Command) (Stream, error) {
	ir, iw := io.Pipe()
	or, ow := io.Pipe()
	er, ew := io.Pipe()
	s := &script{in: iw, out: or, errs: er, ended: make(chan struct{}), sigs: make(chan belljar.Signal, 64), sizes: make(chan belljar.WindowSize, 64)}
	go func() {
		s.st = f(c, ir, ow, ew)
		_, _, _ = ir.Close(), ow.Close(), ew.Close()
		close(s.ended)
	}()
	return s, nil
}

func (s *script) Stdin() io.WriteCloser             { return s.in }
func (s *script) Stdout() io.ReadCloser             { return s.out }
func (s *script) Stderr() io.ReadCloser             { return s.errs }
func (s *script) Signal(n belljar.Signal) error     { s.sigs <- n; return nil }
func (s *script) Resize(w belljar.WindowSize) error { s.sizes <- w; return nil }
func (s *script) Close() error {
	_ = s.in.CloseWithError(errClosed)
	_ = s.out.CloseWithError(errClosed)
	_ = s.errs.CloseWithError(errClosed)
	return nil
}

func (s *script) Wait(ctx context.Context) (belljar.ExitStatus, error) {
	select {
	case <-s.ended:
		return s.st, nil
	case <-ctx.Done():
		return belljar.ExitStatus{}, ctx.Err()
	}
}

// dial serves s and is its client.
func dial(t testing.TB, s Starter) *ssh.Client {
	t.Helper()
	ours, theirs := pipes(t)
	served := make(chan error, 1)
	key := testKey(t)
	go func() { served <- Serve(context.Background(), theirs, Options{Key: key, Starter: s}) }()
	c, chans, reqs, err := ssh.NewClientConn(ours, "", &ssh.ClientConfig{User: "any", HostKeyCallback: ssh.FixedHostKey(key.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	client := ssh.NewClient(c, chans, reqs)
	t.Cleanup(func() {
		_ = client.Close()
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(hangs):
			buf := make([]byte, 1<<20)
			t.Fatalf("the server did not end\n%s", buf[:runtime.Stack(buf, true)])
		}
	})
	return client
}

// TestSignals: signals reach the command, also before it runs; how it ended comes back.
func TestSignals(t *testing.T) {
	for sig, want := range map[ssh.Signal]string{ssh.SIGTERM: "TERM", ssh.SIGKILL: "KILL", ssh.SIGUSR1: "USR1"} {
		got := make(chan *script, 1)
		c := dial(t, starter(func(ctx context.Context, c *Command) (Stream, error) {
			st, err := scripted(func(_ *Command, in io.Reader, _, _ io.WriteCloser) belljar.ExitStatus {
				s := <-got
				return belljar.ExitStatus{Signal: <-s.sigs}
			}).Start(ctx, c)
			got <- st.(*script)
			return st, err
		}))
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("x"); err != nil {
			t.Fatal(err)
		}
		if err := s.Signal(sig); err != nil {
			t.Fatal(err)
		}
		var ee *ssh.ExitError
		if err := s.Wait(); !errors.As(err, &ee) || ee.Signal() != want {
			t.Errorf("%s: %v", sig, err)
		}
	}
}

// starter is a function as a [Starter].
type starter func(context.Context, *Command) (Stream, error)

func (f starter) Start(ctx context.Context, c *Command) (Stream, error) { return f(ctx, c) }

// TestTerminalFiltered: in a session with a terminal what reaches beyond the screen does
// not pass, and what was changed is undone; without one every byte passes.
func TestTerminalFiltered(t *testing.T) {
	const evil = "a\x1b]52;c;ZXZpbA==\x07b\x1b[21tc\x1b[?1049hd"
	c := dial(t, scripted(func(_ *Command, _ io.Reader, out, _ io.WriteCloser) belljar.ExitStatus {
		_, _ = io.WriteString(out, evil)
		return belljar.ExitStatus{}
	}))
	for _, tty := range []bool{true, false} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if tty {
			if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
				t.Fatal(err)
			}
		}
		out, err := s.Output("x")
		if err != nil {
			t.Fatal(err)
		}
		if clean := !strings.Contains(string(out), "]52") && !strings.Contains(string(out), "[21t"); clean != tty {
			t.Errorf("terminal %v: %q", tty, out)
		}
		if tty && (!strings.Contains(string(out), "\x1b[?1049h") || !strings.Contains(string(out), "\x1b[?1049l")) {
			t.Errorf("%q", out)
		}
		if !tty && string(out) != evil {
			t.Errorf("%q", out)
		}
	}
}

// TestHostileInside: what a process inside says of a forwarded connection is believed in
// one byte at most, and a flood of it holds nobody up.
func TestHostileInside(t *testing.T) {
	for answer, want := range map[string]string{
		"":                            "nothing inside",
		"-":                           "nothing inside",
		"\x1b]0;evil\x07":             "nothing inside",
		strings.Repeat("x", 1<<20):    "nothing inside",
		"+" + "exactly these\x00\xff": "",
	} {
		c := dial(t, scripted(func(_ *Command, _ io.Reader, out, errs io.WriteCloser) belljar.ExitStatus {
			go func() { _, _ = errs.Write(bytes.Repeat([]byte("noise"), 1<<20)) }()
			_, _ = io.WriteString(out, answer)
			return belljar.ExitStatus{Code: 1}
		}))
		conn, err := c.Dial("tcp", "localhost:80")
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%.20q: %v", answer, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(conn); err != nil || "+"+string(b) != answer {
			t.Errorf("%q %v", b, err)
		}
	}
}

// TestSlowReader: a session that nobody reads does not hold up another one.
func TestSlowReader(t *testing.T) {
	c := dial(t, scripted(func(c *Command, _ io.Reader, out, _ io.WriteCloser) belljar.ExitStatus {
		if c.Argv[len(c.Argv)-1] == "flood" {
			for {
				if _, err := out.Write(make([]byte, 64<<10)); err != nil {
					return belljar.ExitStatus{Code: 1}
				}
			}
		}
		_, _ = io.WriteString(out, "here")
		return belljar.ExitStatus{}
	}))
	slow, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := slow.Start("flood"); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if out, err := s.Output("x"); err != nil || string(out) != "here" {
			t.Fatalf("%q %v", out, err)
		}
	}
}

// TestUnknown: what is no session of ours is refused, and a session runs one command.
func TestUnknown(t *testing.T) {
	c := dial(t, scripted(func(_ *Command, in io.Reader, _, _ io.WriteCloser) belljar.ExitStatus {
		_, _ = io.Copy(io.Discard, in)
		return belljar.ExitStatus{}
	}))
	for _, kind := range []string{"x11", "forwarded-tcpip", "auth-agent@openssh.com", "tun@openssh.com", "direct-streamlocal@openssh.com", ""} {
		if _, _, err := c.OpenChannel(kind, nil); err == nil {
			t.Errorf("%q was opened", kind)
		}
	}
	for _, kind := range []string{"tcpip-forward", "streamlocal-forward@openssh.com", "hostkeys-prove-00@openssh.com", "x"} {
		if ok, _, err := c.SendRequest(kind, true, []byte("garbage")); ok || err != nil {
			t.Errorf("%q: %v %v", kind, ok, err)
		}
	}
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	text := func(s string) []byte { return ssh.Marshal(struct{ S string }{s}) }
	for _, q := range []struct {
		kind    string
		payload []byte
		ok      bool
	}{
		{"exec", []byte("garbage"), false}, {"exec", text("a\x00b"), false}, {"exec", text(strings.Repeat("x", maxLine+1)), false},
		{"subsystem", text("netconf"), false}, {"env", []byte{1}, false}, {"pty-req", nil, false},
		{"env", ssh.Marshal(struct{ N, V string }{"LD_PRELOAD", "x"}), false}, {"env", ssh.Marshal(struct{ N, V string }{"LC_A=B", "x"}), false},
		{"env", ssh.Marshal(struct{ N, V string }{"LANG", strings.Repeat("x", maxVariable)}), false},
		{"env", ssh.Marshal(struct{ N, V string }{"LC_ALL", "C"}), true},
		{"window-change", []byte("xx"), false}, {"signal", text("RTMIN"), false}, {"auth-agent-req@openssh.com", nil, false}, {"x11-req", nil, false},
		{"exec", text("one"), true}, {"exec", text("two"), false}, {"shell", nil, false}, {"subsystem", text("sftp"), false}, {"pty-req", nil, false},
	} {
		if ok, err := ch.SendRequest(q.kind, true, q.payload); err != nil || ok != q.ok {
			t.Errorf("%s %.20q: %v %v", q.kind, q.payload, ok, err)
		}
	}
	_ = ch.Close()
}

// TestGarbage: a client that speaks anything else than SSH, or packets beyond all
// measure, costs little and ends with an error.
func TestGarbage(t *testing.T) {
	key := testKey(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, hello := range []string{
		"", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("x", 1<<20), "SSH-2.0-x\r\n\xff\xff\xff\xff" + strings.Repeat("\xff", 1<<20),
		"SSH-2.0-x\r\n\x00\x03\xff\xfc\x00" + strings.Repeat("\x00", 1<<20), "SSH-2.0-" + strings.Repeat("y", 1<<20) + "\r\n", "SSH-1.0-x\r\n",
		strings.Repeat("line\r\n", 1<<16),
	} {
		ours, theirs := pipes(t)
		go func() { _, _ = io.Copy(io.Discard, ours) }()
		go func() {
			_, _ = io.WriteString(ours, hello)
			_ = ours.Close()
		}()
		if err := Serve(t.Context(), theirs, Options{Key: key, Starter: scripted(nil)}); err == nil {
			t.Errorf("%.20q was served", hello)
		}
		_ = ours.Close()
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("it took %d bytes", n)
	}
}

// TestEndOfContext: the end of the context ends everything.
func TestEndOfContext(t *testing.T) {
	ours, theirs := pipes(t)
	key := testKey(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	running := make(chan struct{})
	go func() {
		served <- Serve(ctx, theirs, Options{Key: key, Starter: scripted(func(_ *Command, in io.Reader, _, _ io.WriteCloser) belljar.ExitStatus {
			close(running)
			_, _ = io.Copy(io.Discard, in)
			return belljar.ExitStatus{}
		})})
	}()
	c, chans, reqs, err := ssh.NewClientConn(ours, "", &ssh.ClientConfig{HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewClient(c, chans, reqs).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start("x"); err != nil {
		t.Fatal(err)
	}
	<-running
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	_ = c.Close()
}

// FuzzMessages: whatever a client says, what is read of it is within bounds, and a line
// for printf(1) is plain.
func FuzzMessages(f *testing.F) {
	f.Add(ssh.Marshal(struct{ N, V string }{"LC_ALL", "C"}))
	f.Add(ssh.Marshal(ptyRequest{Term: "xterm", Cols: 80, Rows: 24}))
	f.Add(ssh.Marshal(struct {
		H string
		P uint32
		O string
		F uint32
	}{"localhost", 80, "", 0}))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := parseVariable(b); err == nil && (len(v) > maxVariable+1 || strings.ContainsRune(v, 0) || strings.HasPrefix(v, "LD_") || strings.HasPrefix(v, "=")) {
			t.Errorf("variable %q", v)
		}
		if term, _, err := parsePTY(b); err == nil && (len(term) > maxTerm || strings.ContainsAny(term, "\x00\n\x1b =")) && !strings.Contains(term, "=") {
			t.Errorf("terminal %q", term)
		}
		if s, err := parseText(b); err == nil && (len(s) > maxLine || strings.ContainsRune(s, 0)) {
			t.Errorf("text %q", s)
		}
		to, why := parseTarget(b)
		if (len(to) == 0) == (why == "") {
			t.Errorf("%v %q", to, why)
		}
		for _, a := range to {
			if !a.Addr().IsLoopback() || a.Port() == 0 {
				t.Errorf("forwards to %v", a)
			}
		}
		_, _ = parseSize(b)
		if s := printable(string(b)); strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '%' }) {
			t.Errorf("%q", s)
		}
	})
}

// FuzzServe: a client that is let in and then says anything does not bring the server down.
func FuzzServe(f *testing.F) {
	f.Add("exec", []byte("\x00\x00\x00\x01x"), "direct-tcpip", uint64(1))
	f.Fuzz(func(t *testing.T, request string, payload []byte, kind string, seed uint64) {
		if len(request)+len(payload)+len(kind) > 16<<10 {
			return
		}
		c := dial(t, scripted(func(_ *Command, _ io.Reader, out, _ io.WriteCloser) belljar.ExitStatus {
			_, _ = out.Write(payload)
			return belljar.ExitStatus{Code: int(seed), Signal: belljar.Signal(seed % 70)}
		}))
		r := rand.New(rand.NewPCG(seed, 0))
		for range 4 {
			if ch, reqs, err := c.OpenChannel([]string{"session", kind}[r.IntN(2)], payload); err == nil {
				go ssh.DiscardRequests(reqs)
				for range r.IntN(4) {
					_, _ = ch.SendRequest([]string{request, "exec", "pty-req", "shell", "signal", "eow@openssh.com"}[r.IntN(6)], r.IntN(2) == 0, payload)
				}
				_, _ = ch.Write(payload)
				if r.IntN(2) == 0 {
					_ = ch.Close()
				}
			}
			_, _, _ = c.SendRequest(request, r.IntN(2) == 0, payload)
		}
	})
}
