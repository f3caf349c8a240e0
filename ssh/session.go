package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
	"golang.org/x/crypto/ssh"
)

// What runs in a session is a line for the sandbox's /bin/sh. Commands start in HOME,
// as files do, because clients cut "~/" off what they send; a person at a terminal stands
// in the project.
const (
	lineAtTerminal = `exec "${SHELL:-/bin/sh}" -l`
	lineShell      = `cd; exec "${SHELL:-/bin/sh}" -l`
	lineCommand    = `cd; exec "${SHELL:-/bin/sh}" -c "$1"`
	lineBytes      = `cd; exec "${SHELL:-/bin/sh}" -c "$(printf "$1")"`
)

// sigKill is how a command ended whose end nobody has seen.
const sigKill belljar.Signal = 9

// answers is how long a terminal may take to answer what it was asked.
const answers = 150 * time.Millisecond

// maxEarly bounds the signals that wait for their command.
const maxEarly = 8

var errClosed = errors.New("the connection is closed")

// A session is one channel on which one command runs.
type session struct {
	s   *server
	ch  ssh.Channel
	ctx context.Context // ends the command

	env     []string
	term    string // "": no terminal
	size    belljar.WindowSize
	started bool
	done    chan struct{} // closed when a command that was started is gone

	mu    sync.Mutex
	proc  Stream           // nil until the command runs
	early []belljar.Signal // came before that
	deaf  chan struct{}    // closed when the client reads no more of what the command prints
}

// session serves a channel of type session until it is closed and its command is gone.
func (s *server) session(ctx context.Context, c ssh.NewChannel) {
	ch, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	x := &session{s: s, ch: ch, ctx: ctx, done: make(chan struct{}), deaf: make(chan struct{})}
	for r := range requests {
		ok, c := x.request(r)
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
		if c != nil { // not before the client knows
			x.started = true
			go x.run(c)
		}
	}
	cancel()
	if x.started {
		<-x.done
	}
}

// request takes in what a client says of its session: whether that is accepted, and the
// command that it starts, if any.
func (x *session) request(r *ssh.Request) (ok bool, start *Command) {
	switch r.Type {
	case "pty-req", "env":
		return !x.started && x.prepare(r), nil
	case "shell", "exec", "subsystem":
		if x.started {
			return false, nil
		}
		c := x.command(r)
		return c != nil, c
	case "window-change":
		size, err := parseSize(r.Payload)
		if err == nil {
			x.resize(size)
		}
		return err == nil, nil
	case "signal":
		name, err := parseText(r.Payload)
		sig := signals()[name]
		if err == nil && sig != 0 {
			x.signal(sig)
		}
		return err == nil && sig != 0, nil
	case "eow@openssh.com":
		x.deafen()
		return true, nil
	case "auth-agent-req@openssh.com":
		x.s.note("the agent is not forwarded: no key of yours is inside")
	case "x11-req":
		x.s.note("X11 is not forwarded: nothing inside reaches your display")
	}
	return false, nil
}

// prepare takes in what a command is to have.
func (x *session) prepare(r *ssh.Request) bool {
	if r.Type == "env" {
		v, err := parseVariable(r.Payload)
		if err != nil || len(x.env) >= maxVariables {
			return false
		}
		x.env = append(x.env, v)
		return true
	}
	term, size, err := parsePTY(r.Payload)
	if err != nil {
		return false
	}
	if term == "" {
		term = "dumb"
	}
	x.term, x.size = term, size
	return true
}

// command is what a request asks for; nil: nothing that there is.
func (x *session) command(r *ssh.Request) *Command {
	c := &Command{Env: x.env, TTY: x.term != "", Size: x.size}
	if c.TTY {
		c.Env = append(c.Env[:len(c.Env):len(c.Env)], "TERM="+x.term)
	}
	line := func(words ...string) *Command {
		c.Argv = append([]string{"/bin/sh", "-c"}, words...)
		return c
	}
	text, err := parseText(r.Payload)
	switch {
	case r.Type == "shell" && c.TTY:
		return line(lineAtTerminal)
	case r.Type == "shell":
		return line(lineShell)
	case err != nil:
		return nil
	case r.Type == "exec" && !utf8.ValidString(text):
		return line(lineBytes, "sh", printable(text)) // what starts commands takes text only
	case r.Type == "exec":
		return line(lineCommand, "sh", text)
	case text == "sftp":
		return &Command{Argv: []string{belljar.HelperPath, belljar.HelperFiles}, Env: x.env}
	}
	return nil
}

// printable is s as a format of printf(1).
func printable(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > '~' || c < ' ' || c == '%' || c == '\\' {
			fmt.Fprintf(&b, "\\%03o", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// run runs the command and says how it ended.
func (x *session) run(c *Command) {
	defer close(x.done)
	defer x.ch.Close()
	p, err := x.s.o.Starter.Start(x.ctx, c)
	if err != nil {
		x.failed(err, c.TTY)
		return
	}
	defer p.Close()
	stop := context.AfterFunc(x.ctx, func() { _ = p.Close() })
	defer stop()
	x.runs(p, c.Size)
	go feed(p.Stdin(), x.ch)
	out := io.Writer(x.ch)
	var filter *terminal.Filter
	if c.TTY {
		filter = terminal.NewFilter(x.ch, terminal.FilterOptions{})
		out = filter
	}
	var outputs sync.WaitGroup
	outputs.Go(func() { carry(out, p.Stdout()) })
	outputs.Go(func() { carry(x.ch.Stderr(), p.Stderr()) })
	st, err := p.Wait(x.ctx)
	if err != nil && x.ctx.Err() == nil {
		x.restore(filter) // the sandbox is gone, the client's terminal is not
		x.failed(err, c.TTY)
		return
	}
	if err != nil {
		st = belljar.ExitStatus{Signal: sigKill}
	}
	all := make(chan struct{})
	go func() {
		outputs.Wait()
		close(all)
	}()
	select {
	case <-all:
		x.restore(filter)
	case <-x.deaf: // who does not read is not waited for
	case <-x.ctx.Done():
	}
	// Before the end of what is printed, on which a client closes the channel.
	x.tell(st)
}

// restore leaves the client's terminal as it was; answers to what a program asked it
// reach us, and not the shell that comes next.
func (x *session) restore(f *terminal.Filter) {
	if f == nil {
		return
	}
	_ = f.Close()
	_, _ = x.ch.Write(f.Reset())
	if f.Queries() == 0 {
		return
	}
	t := time.NewTimer(answers)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.ctx.Done():
	}
}

// feed copies to a command what the client sends, until one of them has enough.
func feed(w io.WriteCloser, r io.Reader) {
	_, _ = io.Copy(w, r)
	_ = w.Close()
}

// carry copies what a command prints. Where nobody takes it, the command is told.
func carry(w io.Writer, r io.ReadCloser) {
	_, _ = io.Copy(w, r)
	_ = r.Close()
}

// runs notes that the command runs, and hands it what came before.
func (x *session) runs(p Stream, size belljar.WindowSize) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.proc = p
	for _, sig := range x.early {
		_ = p.Signal(sig)
	}
	if x.size != size {
		_ = p.Resize(x.size)
	}
	if x.isDeaf() {
		_ = p.Stdout().Close()
	}
}

// failed says why there is no command.
func (x *session) failed(err error, tty bool) {
	w, eol := io.Writer(x.ch.Stderr()), "\n"
	if tty {
		w, eol = x.ch, "\r\n"
	}
	text := "belljar: error: " + terminal.Escape(err.Error()) + eol
	if h := belljar.HintOf(err); h != "" {
		text += "belljar: hint: " + terminal.Escape(h) + eol
	}
	_, _ = io.WriteString(w, text)
	x.tell(belljar.ExitStatus{Code: belljar.KindOf(err).ExitStatus()})
}

// tell tells the client how the command ended.
func (x *session) tell(st belljar.ExitStatus) {
	if name := signalName(st.Signal); name != "" {
		_, _ = x.ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Name     string
			Dumped   bool
			Text     string
			Language string
		}{Name: name}))
		return
	}
	_, _ = x.ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(st.Status()) & 0xff}))
}

func (x *session) signal(sig belljar.Signal) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.proc != nil {
		_ = x.proc.Signal(sig) // it may have ended
	} else if len(x.early) < maxEarly {
		x.early = append(x.early, sig)
	}
}

func (x *session) resize(size belljar.WindowSize) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.size = size
	if x.proc != nil {
		_ = x.proc.Resize(size)
	}
}

// deafen tells the command that nobody reads any more what it prints.
func (x *session) deafen() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.isDeaf() {
		return
	}
	close(x.deaf)
	if x.proc != nil {
		_ = x.proc.Stdout().Close()
	}
}

func (x *session) isDeaf() bool {
	select {
	case <-x.deaf:
		return true
	default:
		return false
	}
}
