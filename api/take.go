package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
)

// Warm is the state of a sandbox that is there and has no command yet: a [Taker].
const Warm State = "warm"

// A TakeRequest asks for a sandbox that waits, to run its command.
type TakeRequest struct {
	// Key is what the sandbox is known by, Proof what only who has the same secrets can say.
	Key   string `json:"key"`
	Proof string `json:"proof"`
	Path  string `json:"path"` // of the program, absolute, inside
	// The command, resolved: Argv, Dir, TTY and Size as in a run. Env is the whole
	// environment, in which [Placeholder] stands for what is each sandbox's own.
	ExecRequest
}

// MaxOwn bounds the texts that are a sandbox's own.
const MaxOwn = 64

// Placeholder stands for the i-th of the texts that are a sandbox's own. No variable holds
// a zero byte otherwise.
func Placeholder(i int) string { return "\x00" + string(rune('0'+i)) + "\x00" }

// Check says why r cannot be carried out. What is in place of the placeholders is the
// sandbox's to check.
func (r *TakeRequest) Check() error {
	q := r.ExecRequest
	q.Env = make([]string, len(r.Env))
	for i, e := range r.Env {
		q.Env[i] = strings.ReplaceAll(e, "\x00", "")
	}
	if err := q.Check(); err != nil {
		return err
	}
	if !strings.HasPrefix(r.Path, "/") || strings.ContainsRune(r.Path, 0) || r.Dir == "" {
		return &belljar.Error{Op: "take", Kind: belljar.KindUsage, Err: errors.New("the command is not resolved")}
	}
	return nil
}

// A Taker is a [Control] whose sandbox waits for its command.
type Taker interface {
	// Take starts the sandbox's command, once. It takes ownership of the files of c, also on
	// error. [belljar.KindConflict]: the sandbox is not for r, or no more; nothing was started.
	Take(ctx context.Context, r TakeRequest, c *belljar.Command, by string) (Taken, error)
}

// Taken is a sandbox that was taken: its command.
type Taken interface {
	belljar.Process
	// Caller hands over the connection, which is then the sandbox's to end; nil: there is
	// none any more. It is called once.
	Caller(c *Caller)
}

// Take is [Taker] Take. note is told what the supervisor says, in order and from one
// goroutine; late are words that come behind all that the command printed. Wait returns
// what the run exits with.
func (c *Client) Take(ctx context.Context, r TakeRequest, note func(words string, late bool)) (*Stream, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	with := *c
	with.note = note
	return with.stream(ctx, "/v1/take", r)
}

// maxDropped bounds what a caller tells of their terminal.
const maxDropped = 64

// Printed tells the sandbox that was taken that all is printed, and what was kept from the
// terminal. Other streams are told nothing.
func (s *Stream) Printed(dropped map[string]int) error {
	if s.note == nil {
		return nil
	}
	b, err := json.Marshal(dropped)
	if err != nil || len(b) > maxFrame {
		return err
	}
	return s.m.send(appendFrame(nil, frameNote, b))
}

func (h *handler) take(w http.ResponseWriter, r *http.Request) {
	var q TakeRequest
	err := readAtMost(r, maxExecBody, &q)
	if err == nil {
		err = q.Check()
	}
	t, ok := h.c.(Taker)
	if err == nil && !ok {
		err = &belljar.Error{Op: "take", Kind: belljar.KindConflict, Err: errors.New("it waits for nobody")}
	}
	leave, ok := h.stream(w, r, "take", err)
	if !ok {
		return
	}
	defer leave()
	x, err := newExecution(q.ExecRequest)
	if err != nil {
		send(w, nil, err)
		return
	}
	taken, err := t.Take(r.Context(), q, &x.cmd, who(r))
	if err != nil {
		x.close()
		send(w, nil, err)
		return
	}
	x.proc = taken
	c := &Caller{x: x, signals: make(chan belljar.Signal, 8), printed: make(chan map[string]int, 1)}
	if c.m, err = takeOver(w, r, c.order); err != nil {
		x.close()
		taken.Caller(nil)
		return
	}
	taken.Caller(c)
}

// A Caller is who took a sandbox. Its methods are safe for concurrent use; Run is called
// once, and End last.
type Caller struct {
	x       *execution
	m       *mux
	signals chan belljar.Signal
	printed chan map[string]int // has room for one
}

// Signals are those that the caller passes on.
func (c *Caller) Signals() <-chan belljar.Signal { return c.signals }

// Gone is closed when the connection has ended.
func (c *Caller) Gone() <-chan struct{} { return c.m.done }

func (c *Caller) order(f frame) error {
	switch f.kind {
	case frameNote:
		var dropped map[string]int
		if json.Unmarshal(f.data, &dropped) != nil || len(dropped) > maxDropped {
			return errFrame
		}
		select {
		case c.printed <- dropped:
			return nil
		default:
			return errFrame
		}
	case frameSignal:
	default:
		return c.x.order(f)
	}
	select {
	case c.signals <- belljar.Signal(f.signal):
	default: // so many wait already
	}
	return nil
}

// Run relays until everything that prints has closed its outputs, or ctx is done: then
// a caller who does not read is given up.
func (c *Caller) Run(ctx context.Context) error {
	x, m := c.x, c.m
	go m.run()
	go x.copyIn(m)
	for i, f := range x.outs {
		x.outputs.Go(func() { x.copyOut(m, byte(chanOut+i), f) })
	}
	if x.cmd.TTY {
		_ = m.finish(chanErr)
	}
	stop := context.AfterFunc(ctx, func() {
		for _, f := range x.outs {
			_ = f.SetReadDeadline(time.Now())
		}
		m.hurry(endWait)
		time.AfterFunc(endWait, m.close)
	})
	defer stop()
	x.outputs.Wait()
	_ = x.in.Close()
	return nil
}

// Dropped is what was kept from the caller's terminal, once all is printed there. Who does
// not say so soon has gone, or reads no more.
func (c *Caller) Dropped() map[string]int {
	wait := time.NewTimer(endWait)
	defer wait.Stop()
	select {
	case d := <-c.printed:
		return d
	case <-c.m.done:
	case <-wait.C:
	}
	return nil
}

// Say tells the caller words of the supervisor.
func (c *Caller) Say(words []byte) error {
	for len(words) > 0 {
		n := min(len(words), maxFrame)
		if err := c.m.send(appendFrame(nil, frameNote, words[:n])); err != nil {
			return err
		}
		words = words[n:]
	}
	return nil
}

// End tells what the run exits with, and ends the connection.
func (c *Caller) End(status int) {
	if c.m.send(exitFrame(status, 0)) == nil {
		bye(c.m)
	}
	c.m.close()
	c.x.close()
}

// copyIn feeds the command.
func (x *execution) copyIn(m *mux) {
	if _, err := io.Copy(x.in, channel{m, chanIn}); errors.Is(err, syscall.EPIPE) {
		_ = m.finish(chanIn) // nobody reads it
	}
	_ = x.in.Close()
}
