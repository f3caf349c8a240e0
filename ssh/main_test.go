package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/creack/pty"
)

// TestMain is also what ssh starts as its ProxyCommand, and what runs "inside": there is
// no sandbox here, commands run on the host.
func TestMain(m *testing.M) {
	switch a := os.Args[1:]; {
	case len(a) == 3 && a[0] == "ssh" && a[1] == "--stdio":
		os.Exit(proxy(a[2]))
	case len(a) == 1 && a[0] == belljar.HelperFiles:
		Reexec([]string{belljar.HelperPath, belljar.HelperFiles})
	case len(a) > 1 && a[0] == belljar.HelperConnect:
		os.Exit(connectForTest(a[1:]))
	}
	os.Exit(m.Run())
}

// proxy serves one connection, with the key of the folder that this program lies in.
func proxy(name string) int {
	self, err := os.Executable()
	if err != nil || name != "box"+Domain {
		fmt.Fprintln(os.Stderr, "no such box", name, err)
		return 1
	}
	key, err := HostKey(filepath.Join(filepath.Dir(self), "key"))
	if err == nil {
		err = Serve(context.Background(), streams{os.Stdin, os.Stdout}, Options{Key: key, Starter: here{self}, Note: func(l string) { fmt.Fprintln(os.Stderr, "note:", l) }})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func connectForTest(addrs []string) int {
	for _, a := range addrs {
		c, err := net.Dial("tcp", a)
		if err != nil {
			continue
		}
		_, _ = os.Stdout.Write([]byte{belljar.HelperConnected})
		go func() {
			_, _ = io.Copy(c, os.Stdin)
			_ = c.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(os.Stdout, c)
		return 0
	}
	_, _ = os.Stdout.Write([]byte{'-'})
	return 1
}

// here starts commands on this host.
type here struct{ self string }

func (h here) Start(_ context.Context, c *Command) (Stream, error) {
	argv := append([]string(nil), c.Argv...)
	for i := range argv {
		if argv[i] == belljar.HelperPath {
			argv[i] = h.self
		}
	}
	if strings.Contains(strings.Join(argv, " "), "no-start") {
		return nil, &belljar.Error{Op: "start", ID: "\x1b[31m", Kind: belljar.KindRefused, Err: errors.New("no"), Hint: "do\nnot"}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	p := &local{cmd: cmd, done: make(chan struct{})}
	var err error
	if c.TTY {
		size := pty.Winsize{Rows: c.Size.Rows, Cols: c.Size.Cols}
		if p.tty, err = pty.StartWithSize(cmd, &size); err != nil {
			return nil, err
		}
		p.in, p.out, p.errs = keep{p.tty}, p.tty, io.NopCloser(strings.NewReader(""))
	} else {
		p.in, _ = cmd.StdinPipe()
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		re, we, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		cmd.Stdout, cmd.Stderr, p.out, p.errs = w, we, r, re
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		err = cmd.Start()
		_, _ = w.Close(), we.Close()
		if err != nil {
			return nil, err
		}
	}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// keep is a terminal, which does not end when nothing more is typed.
type keep struct{ io.Writer }

func (keep) Close() error { return nil }

type local struct {
	cmd  *exec.Cmd
	tty  *os.File
	in   io.WriteCloser
	out  io.ReadCloser
	errs io.ReadCloser
	done chan struct{}
	once sync.Once
}

func (p *local) Stdin() io.WriteCloser { return p.in }
func (p *local) Stdout() io.ReadCloser { return p.out }
func (p *local) Stderr() io.ReadCloser { return p.errs }
func (p *local) Signal(s belljar.Signal) error {
	return syscall.Kill(-p.cmd.Process.Pid, syscall.Signal(s))
}
func (p *local) Resize(w belljar.WindowSize) error {
	if p.tty == nil {
		return nil
	}
	return pty.Setsize(p.tty, &pty.Winsize{Rows: w.Rows, Cols: w.Cols})
}

func (p *local) Wait(ctx context.Context) (belljar.ExitStatus, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		return belljar.ExitStatus{}, ctx.Err()
	}
	ws := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return belljar.ExitStatus{Signal: belljar.Signal(ws.Signal())}, nil
	}
	return belljar.ExitStatus{Code: ws.ExitStatus()}, nil
}

func (p *local) Close() error {
	p.once.Do(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGHUP)
		_ = p.out.Close()
	})
	return nil
}
