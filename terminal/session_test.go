package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/belljar-dev/belljar"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == relayArg {
		os.Exit(relayMain(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

const relayArg = "terminal-test-relay"

// relayMain is a belljar without a sandbox: it relays between its own descriptors
// and a command.
func relayMain(argv []string) int {
	s, err := NewSession(Options{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	var c belljar.Command
	s.Command(&c)
	cmd := exec.Command(argv[0], argv[1:]...)
	ended := make(chan int, 1)
	resize := func(belljar.WindowSize) error { return nil }
	if c.TTY {
		inner, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: c.Size.Rows, Cols: c.Size.Cols})
		if err != nil {
			return 125
		}
		resize = func(w belljar.WindowSize) error {
			return pty.Setsize(inner, &pty.Winsize{Rows: w.Rows, Cols: w.Cols})
		}
		go io.Copy(inner, c.Stdin)
		go func() {
			io.Copy(c.Stdout, inner)
			c.Stdout.Close()
		}()
	} else {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
		if err := cmd.Start(); err != nil {
			return 125
		}
		c.Stdin.Close()
		c.Stdout.Close()
		c.Stderr.Close()
	}
	go func() {
		cmd.Wait()
		ws := cmd.ProcessState.Sys().(interface{ ExitStatus() int })
		ended <- ws.ExitStatus()
	}()
	if err := s.Run(context.Background(), resize); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	status := <-ended
	fmt.Fprintf(os.Stderr, "relay: status %d, dropped %v\n", status, s.Dropped())
	return 0
}

func files(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func session(t *testing.T, o Options) (*Session, *belljar.Command) {
	t.Helper()
	s, err := NewSession(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var c belljar.Command
	s.Command(&c)
	return s, &c
}

// run runs s in the background and returns what Run returns.
func run(t *testing.T, ctx context.Context, s *Session) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, nil) }()
	return done
}

func wait(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Run does not return")
		return nil
	}
}

func TestPipes(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("0123456789\x1b]52;c;x\a\x00\xff"), 500_000)
	if err := os.WriteFile(filepath.Join(dir, "in"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	errR, errW := files(t)
	s, c := session(t, Options{Stdin: in, Stdout: out, Stderr: errW})
	if c.TTY || c.Stderr == nil {
		t.Fatal("three files are taken for a terminal")
	}
	for _, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
		if fl, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK != 0 {
			t.Errorf("the sandbox gets a non-blocking descriptor (%#x, %v)", fl, err)
		}
	}
	done := run(t, t.Context(), s)
	cmd := exec.Command("sh", "-c", "cat; echo oops >&2")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.Stdin.Close()
	c.Stdout.Close()
	c.Stderr.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(out.Name()); !bytes.Equal(got, data) {
		t.Errorf("%d bytes came out, %d went in, or they differ", len(got), len(data))
	}
	errW.Close()
	if got, _ := io.ReadAll(errR); string(got) != "oops\n" {
		t.Errorf("standard error: %q", got)
	}
}

func TestClosedOutputEndsTheCommand(t *testing.T) {
	r, w := files(t)
	s, c := session(t, Options{Stdout: w})
	done := run(t, t.Context(), s)
	r.Close()
	cmd := exec.Command("yes") // for ever, unless the pipe breaks
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.Stdin.Close()
	c.Stdout.Close()
	c.Stderr.Close()
	cmd.Wait()
	if err := wait(t, done); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A standard output that is gone must not kill this process by SIGPIPE.
func TestHead(t *testing.T) {
	cmd := exec.Command("sh", "-c", os.Args[0]+" "+relayArg+" sh -c 'yes; exit 1' | head -n 2")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || string(out) != "y\ny\n" {
		t.Errorf("%q, %v", out, err)
	}
	if !strings.Contains(errs.String(), "relay: status 1") {
		t.Errorf("the relay says %q", errs.String())
	}
}

func TestUnreadInputDoesNotHoldTheEnd(t *testing.T) {
	r, _ := files(t) // nothing ever comes
	s, c := session(t, Options{Stdin: r})
	done := run(t, t.Context(), s)
	c.Stdout.Close()
	c.Stderr.Close()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	c.Stdin.Close()
	// And what comes now is left for others.
}

func TestFullOutputIsToldAsError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this machine lacks /dev/full")
	}
	defer full.Close()
	s, c := session(t, Options{Stdout: full})
	done := run(t, t.Context(), s)
	c.Stdout.WriteString("x")
	c.Stdout.Close()
	c.Stderr.Close()
	if err := wait(t, done); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Run: %v", err)
	}
}

func TestCancelWithBlockedOutput(t *testing.T) {
	_, w := files(t) // never read
	s, c := session(t, Options{Stdout: w})
	ctx, cancel := context.WithCancel(t.Context())
	done := run(t, ctx, s)
	go io.Copy(c.Stdout, zeros{})
	waitFull(t, c.Stdout)
	cancel()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	c.Stderr.Close()
}

// waitFull returns when nobody has read from a pipe for a while that is full.
func waitFull(t *testing.T, w *os.File) {
	t.Helper()
	still := 0
	for range 10_000 {
		p := []unix.PollFd{{Fd: int32(w.Fd()), Events: unix.POLLOUT}}
		if n, err := unix.Poll(p, 2); err == nil && n == 0 {
			if still++; still == 100 {
				return
			}
			continue
		}
		still = 0
		unix.Poll(nil, 1)
	}
	t.Fatal("the pipe does not fill")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// A screen is the user's terminal in tests.
type screen struct {
	*os.File          // what the terminal emulator holds
	tty      *os.File // what programs hold
	shown    chan []byte
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close(); master.Close() })
	pty.Setsize(slave, &pty.Winsize{Rows: 30, Cols: 100})
	return &screen{File: master, tty: slave}
}

// await reads until text was shown, and returns everything up to there.
func (s *screen) await(t *testing.T, text string) string {
	t.Helper()
	var got []byte
	buf := make([]byte, 1)
	for !bytes.HasSuffix(got, []byte(text)) {
		if err := s.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(buf); err != nil {
			t.Fatalf("waiting for %q: %v; shown: %q", text, err, got)
		}
		got = append(got, buf[0])
	}
	return string(got)
}

func TestTTY(t *testing.T) {
	scr := newScreen(t)
	before, err := term.GetState(int(scr.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	s, c := session(t, Options{Stdin: scr.tty, Stdout: scr.tty, Stderr: scr.tty})
	if !c.TTY || c.Stderr != nil || c.Size != (belljar.WindowSize{Rows: 30, Cols: 100}) {
		t.Fatalf("command: %+v", c)
	}
	sizes := make(chan belljar.WindowSize, 10)
	done := make(chan error, 1)
	go func() {
		done <- s.Run(t.Context(), func(w belljar.WindowSize) error { sizes <- w; return nil })
	}()
	c.Stdout.WriteString("\x1b[?1049h\x1b[?1000hready\r\n")
	scr.await(t, "ready\r\n")
	if now, _ := term.GetState(int(scr.tty.Fd())); *now == *before {
		t.Error("the terminal is not in raw mode")
	}

	// Keys go inside as they are: ^C is a byte.
	scr.WriteString("a\x03\r")
	in := make([]byte, 3)
	if _, err := io.ReadFull(c.Stdin, in); err != nil || string(in) != "a\x03\r" {
		t.Errorf("inside came %q, %v", in, err)
	}

	pty.Setsize(scr.tty, &pty.Winsize{Rows: 40, Cols: 120})
	unix.Kill(os.Getpid(), unix.SIGWINCH)
	select {
	case w := <-sizes:
		if w != (belljar.WindowSize{Rows: 40, Cols: 120}) {
			t.Errorf("resized to %+v", w)
		}
	case <-time.After(20 * time.Second):
		t.Error("a new size was not passed on")
	}

	c.Stdout.WriteString("\x1b]52;c;ZXZpbA==\a\x1b[21tend")
	if got := scr.await(t, "end"); got != "end" {
		t.Errorf("shown: %q", got)
	}
	c.Stdout.Close()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	c.Stdin.Close()
	scr.await(t, "\x1b[?1000l\x1b[?1049l")
	if now, _ := term.GetState(int(scr.tty.Fd())); *now != *before {
		t.Error("the terminal's mode was not restored")
	}
	if d := s.Dropped(); d["clipboard (OSC 52)"] != 1 || d["window operation"] != 1 {
		t.Errorf("dropped %v", d)
	}
}

// What the terminal answers after the end must not reach the user's shell.
func TestLateAnswersAreThrownAway(t *testing.T) {
	scr := newScreen(t)
	s, c := session(t, Options{Stdin: scr.tty, Stdout: scr.tty, Stderr: scr.tty})
	done := run(t, t.Context(), s)
	c.Stdout.WriteString("\x1b[6n\x1b]11;?\a")
	c.Stdout.Close()
	scr.await(t, "\x1b[c") // the question that marks the end
	scr.WriteString("\x1b[12;1R\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[?62;22c")
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	c.Stdin.Close()
	p := []unix.PollFd{{Fd: int32(scr.tty.Fd()), Events: unix.POLLIN}}
	term.MakeRaw(int(scr.tty.Fd()))
	if n, _ := unix.Poll(p, 0); n != 0 {
		buf := make([]byte, 100)
		k, _ := unix.Read(int(scr.tty.Fd()), buf)
		t.Errorf("the shell would read %q", buf[:k])
	}
}

func TestSilentTerminalDoesNotHoldTheEnd(t *testing.T) {
	scr := newScreen(t)
	s, c := session(t, Options{Stdin: scr.tty, Stdout: scr.tty, Stderr: scr.tty})
	done := run(t, t.Context(), s)
	c.Stdout.WriteString("\x1b[6n")
	c.Stdout.Close()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	c.Stdin.Close()
}

// ^S, or an emulator that hangs, must not hold a run that is to end.
func TestHaltedTerminal(t *testing.T) {
	scr := newScreen(t)
	before, _ := term.GetState(int(scr.tty.Fd()))
	s, c := session(t, Options{Stdin: scr.tty, Stdout: scr.tty, Stderr: scr.tty})
	ctx, cancel := context.WithCancel(t.Context())
	done := run(t, ctx, s)
	go io.Copy(c.Stdout, zeros{})
	waitFull(t, c.Stdout)
	cancel()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	c.Stdin.Close()
	if now, _ := term.GetState(int(scr.tty.Fd())); *now != *before {
		t.Error("the terminal's mode was not restored")
	}
}

// The same where the terminal cannot be opened once more, as for a process whose
// user does not own it.
func TestHaltedTerminalOfAnotherUser(t *testing.T) {
	scr := newScreen(t)
	before, _ := term.GetState(int(scr.tty.Fd()))
	s, c := session(t, Options{Stdin: scr.tty, Stdout: scr.tty, Stderr: scr.tty})
	s.outs[0].to.close()
	s.outs[0].to.fd, s.outs[0].to.own, s.outs[0].to.chunk = int(scr.tty.Fd()), false, 4096
	ctx, cancel := context.WithCancel(t.Context())
	done := run(t, ctx, s)
	go io.Copy(c.Stdout, zeros{})
	waitFull(t, c.Stdout)
	cancel()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	c.Stdin.Close()
	c.Stdout.Close()
	if now, _ := term.GetState(int(scr.tty.Fd())); *now != *before {
		t.Error("the terminal's mode was not restored")
	}
}

// Two streams that are cut and mixed on one terminal must not make up a sequence.
func TestStreamsDoNotMix(t *testing.T) {
	scr := newScreen(t)
	s, c := session(t, Options{Stdout: scr.tty, Stderr: scr.tty})
	done := run(t, t.Context(), s)
	const n = 20_000
	go func() {
		io.WriteString(c.Stdout, strings.Repeat("\x1b]0;A\a", n))
		c.Stdout.Close()
	}()
	go func() {
		io.WriteString(c.Stderr, strings.Repeat("B\a", n))
		c.Stderr.Close()
		c.Stdin.Close()
	}()
	shown := make(chan string)
	go func() {
		var all bytes.Buffer
		buf := make([]byte, 64<<10)
		for !strings.HasSuffix(all.String(), "the end") {
			k, err := scr.Read(buf)
			if err != nil {
				break
			}
			all.Write(buf[:k])
		}
		shown <- all.String()
	}()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	scr.tty.WriteString("the end")
	all := strings.TrimSuffix(<-shown, "\x1b[23;0tthe end")
	if rest := strings.ReplaceAll(strings.ReplaceAll(all, "\x1b]0;A\a", ""), "B\a", ""); rest != "\x1b[22;0t" {
		t.Errorf("mixed: %.100q", rest)
	}
}

func TestPanicRestoresTheTerminal(t *testing.T) {
	scr := newScreen(t)
	before, _ := term.GetState(int(scr.tty.Fd()))
	s, c := session(t, Options{Stdin: scr.tty, Stdout: scr.tty, Stderr: scr.tty})
	func() {
		defer func() { recover() }()
		defer s.finish()
		if err := s.enterRaw(); err != nil {
			t.Fatal(err)
		}
		panic("as if")
	}()
	if now, _ := term.GetState(int(scr.tty.Fd())); *now != *before {
		t.Error("the terminal's mode was not restored")
	}
	c.Stdin.Close()
	c.Stdout.Close()
}

// Output to a terminal is filtered also when the input is none; then nobody
// reads answers, so questions are dropped too.
func TestOutputToTerminalOnly(t *testing.T) {
	scr := newScreen(t)
	s, c := session(t, Options{Stdout: scr.tty, Stderr: scr.tty})
	if c.TTY {
		t.Fatal("a terminal inside without one for its input")
	}
	done := run(t, t.Context(), s)
	c.Stdout.WriteString("\x1b[31ma\x1b[6n\x1b]52;c;x\a")
	c.Stderr.WriteString("\x1b]0;t\a")
	c.Stdout.Close()
	c.Stderr.Close()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	c.Stdin.Close()
	scr.tty.WriteString("|")
	got := scr.await(t, "|")
	for _, want := range []string{"\x1b[31ma", "\x1b[0m", "\x1b[22;0t\x1b]0;t\a", "\x1b[23;0t"} {
		if !strings.Contains(got, want) {
			t.Errorf("shown %q, want %q in it", got, want)
		}
	}
	if strings.Contains(got, "6n") || strings.Contains(got, "52") {
		t.Errorf("shown %q", got)
	}
}

func TestCloseWithoutRun(t *testing.T) {
	s, err := NewSession(Options{Stdin: os.Stdin})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}
