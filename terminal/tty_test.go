package terminal

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/belljar-dev/belljar"
)

// A screen is the user's terminal in tests.
type screen struct {
	*os.File          // what the terminal emulator holds
	tty      *os.File // what programs hold
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
		if err := s.SetReadDeadline(time.Now().Add(hangs)); err != nil {
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
	case <-time.After(hangs):
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
