package cli

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// maxMany bounds the sandboxes of one command line, maxLine a line that is printed.
const (
	maxMany = 64
	maxLine = 64 << 10
)

// runMany runs n sandboxes of one command, each a program of its own with a name and
// worktree of its own. What they print comes line by line, behind their names; the exit
// status is the largest of theirs.
func (a *App) runMany(c *cobra.Command, f *planFlags, n int, args []string) error {
	if n < 1 || n > maxMany {
		return usage(fmt.Errorf("-n %d: there may be 1 to %d sandboxes", n, maxMany), usageLine(c))
	}
	if f.Mode != "" && f.Mode != string(belljar.ModeWorktree) {
		return usage(fmt.Errorf("-n with --mode %s: they would collide", f.Mode), "leave --mode out: each gets a worktree of its own")
	}
	base, flag := f.name, "--name="
	if base == "" && f.keep {
		base = unusedName(args[0])
	} else if base == "" {
		base, flag = unusedName(args[0]), "--called="
	}
	if last := fmt.Sprintf("%s-%d", base, n); !validName(last) {
		return usage(fmt.Errorf("%s is no name for a sandbox", last), "choose a shorter --name")
	}
	self, err := os.Executable()
	if err != nil {
		return &belljar.Error{Op: "find belljar itself", Err: err}
	}
	common := givenFlags(c, "name", "number", "mode")
	m := &many{app: a, signals: make(chan os.Signal, 8)}
	signal.Notify(m.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(m.signals)
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("%s-%d", base, i)
		line := append([]string{"run", "--mode=worktree", flag + name}, common...)
		line = append(append(line, "--"), args...)
		if err := m.start(self, name, line); err != nil {
			m.kill(syscall.SIGTERM)
			m.wait()
			return &belljar.Error{Op: "start sandbox", ID: name, Err: err}
		}
	}
	m.wait()
	m.table()
	return nil
}

// unusedName is a name after a command's, which no other run has.
func unusedName(command string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(filepath.Base(command)))
	name = strings.TrimLeft(name, "0123456789")
	return name[:min(len(name), 12)] + "r" + strings.ToLower(rand.Text()[:5])
}

// givenFlags are the flags of the command line again, but for some.
func givenFlags(c *cobra.Command, but ...string) []string {
	var out []string
	c.Flags().Visit(func(f *pflag.Flag) {
		for _, b := range but {
			if f.Name == b {
				return
			}
		}
		if l, ok := f.Value.(pflag.SliceValue); ok {
			for _, v := range l.GetSlice() {
				out = append(out, "--"+f.Name+"="+v)
			}
			return
		}
		out = append(out, "--"+f.Name+"="+f.Value.String())
	})
	return out
}

// many are the sandboxes of one command line.
type many struct {
	app     *App
	signals chan os.Signal
	all     []*one
	relays  sync.WaitGroup
	mu      sync.Mutex // one line at a time
}

type one struct {
	name string
	cmd  *exec.Cmd
}

func (m *many) start(self, name string, line []string) error {
	o := &one{name: name, cmd: exec.Command(self, line...)}
	tie(o.cmd)
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	errs, err := o.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := o.cmd.Start(); err != nil {
		return err
	}
	m.all = append(m.all, o)
	for r, w := range map[io.Reader]io.Writer{out: m.app.Out, errs: m.app.Err} {
		m.relays.Go(func() { m.relay(w, name, r) })
	}
	return nil
}

// relay prints lines behind a name, and goes on reading when nobody takes them.
func (m *many) relay(w io.Writer, name string, r io.Reader) {
	b := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := b.ReadSlice('\n')
		if len(line) > 0 {
			text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
			m.mu.Lock()
			fmt.Fprintf(w, "%s | %s\n", name, strings.TrimSuffix(terminal.EscapeText(text), "\n"))
			m.mu.Unlock()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (m *many) kill(s os.Signal) {
	for _, o := range m.all {
		_ = o.cmd.Process.Signal(s)
	}
}

// wait waits for all, and passes signals on.
func (m *many) wait() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.relays.Wait()
		for _, o := range m.all {
			_ = o.cmd.Wait() // how it ended is in its state
		}
	}()
	for {
		select {
		case s := <-m.signals:
			m.kill(s)
		case <-ended:
			return
		}
	}
}

// table says how each ended.
func (m *many) table() {
	for _, o := range m.all {
		status := o.cmd.ProcessState.ExitCode()
		if ws, ok := o.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			status = 128 + int(ws.Signal())
		}
		m.app.status = max(m.app.status, status)
		m.app.note("%-*s  exit %d; belljar diff %s, belljar merge %s", len(m.all[len(m.all)-1].name), o.name, status, o.name, o.name)
	}
}
