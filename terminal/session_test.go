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
	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == relayArg {
		os.Exit(relayMain(os.Args[2:]))
	}
	os.Exit(testenv.RunWithoutLeaks(m))
}

// hangs is after how long something hangs, and is not slow: a busy machine may need long.
const hangs = 2 * time.Minute

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
	case <-time.After(hangs):
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

func TestCloseWithoutRun(t *testing.T) {
	s, err := NewSession(Options{Stdin: os.Stdin})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}
