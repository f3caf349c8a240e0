package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/peer"
)

// protocol is what a connection is upgraded to.
const protocol = "belljar-stream/1"

// Bounds of an [ExecRequest].
const (
	maxExecBody  = 2 << 20
	maxExecWords = 64 << 10
)

// connectWait bounds what the other side takes to answer the request for a stream.
const connectWait = 30 * time.Second

// An ExecRequest says what to start in a running sandbox.
type ExecRequest struct {
	// Argv is the command: a path, absolute or from Dir, or a name that is found inside,
	// along the sandbox's PATH.
	Argv []string `json:"argv"`
	Dir  string   `json:"dir,omitempty"` // inside; empty: where the sandbox's command started
	Env  []string `json:"env,omitempty"` // NAME=value, in addition to the sandbox's
	// TTY asks for a terminal of Size. All output is then on Stdout.
	TTY  bool               `json:"tty,omitempty"`
	Size belljar.WindowSize `json:"size,omitzero"`
}

// Check says why r cannot be carried out.
func (r *ExecRequest) Check() error {
	fail := func(why string) error {
		return &belljar.Error{Op: "exec", Kind: belljar.KindUsage, Err: errors.New(why)}
	}
	if len(r.Argv) == 0 || r.Argv[0] == "" {
		return fail("no command")
	}
	if len(r.Argv)+len(r.Env) > maxExecWords {
		return fail("too many words")
	}
	for _, s := range append(append([]string{r.Dir}, r.Argv...), r.Env...) {
		if strings.ContainsRune(s, 0) {
			return fail("a word holds a zero byte")
		}
	}
	if r.Dir != "" && !strings.HasPrefix(r.Dir, "/") {
		return fail("the folder is not absolute")
	}
	for _, e := range r.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return fail("a variable without name or value")
		}
	}
	return nil
}

// A Stream is a connection to a command inside, the caller's end. Its methods are safe for
// concurrent use, but each of the three channels is for one goroutine. Whoever has one
// closes it; where the command still runs then, it gets SIGHUP, and SIGKILL when it stays.
type Stream struct {
	m      *mux
	name   string
	exited chan struct{}
	status belljar.ExitStatus // once exited is closed
	fault  error              // set before the mux ends
	note   func(words string, late bool)
}

// Stdin is the command's standard input; closing it ends that.
func (s *Stream) Stdin() io.WriteCloser { return channel{s.m, chanIn} }

// Stdout is what the command prints; with a terminal, everything that it prints. Whoever
// closes it reads no more: the command is told by SIGPIPE.
func (s *Stream) Stdout() io.ReadCloser { return channel{s.m, chanOut} }

// Stderr is what the command prints on its standard error. It ends at once with a terminal.
// What is not read of it holds up only what prints there.
func (s *Stream) Stderr() io.ReadCloser { return channel{s.m, chanErr} }

// Signal sends a signal to the command (with a terminal, to its foreground group).
func (s *Stream) Signal(sig belljar.Signal) error {
	if sig < 1 || sig > maxSignal {
		return errors.New("no such signal")
	}
	return s.m.send(appendFrame(nil, frameSignal, []byte{byte(sig)}))
}

// Resize changes the size of the command's terminal.
func (s *Stream) Resize(w belljar.WindowSize) error { return s.m.send(sizeFrame(w.Rows, w.Cols)) }

// Wait returns how the command ended. What it printed until then can still be read. An
// error says that nobody knows: the sandbox is gone, or the connection to it.
func (s *Stream) Wait(ctx context.Context) (belljar.ExitStatus, error) {
	select {
	case <-s.exited:
		return s.status, nil
	default:
	}
	select {
	case <-s.exited:
		return s.status, nil
	case <-s.m.done:
		select {
		case <-s.exited: // it came before the end
			return s.status, nil
		default:
		}
		if s.fault != nil {
			return belljar.ExitStatus{}, s.fault
		}
		return belljar.ExitStatus{}, &belljar.Error{Op: "ask sandbox", ID: s.name, Err: errors.New("the connection to it ended: it is gone")}
	case <-ctx.Done():
		return belljar.ExitStatus{}, ctx.Err()
	}
}

// Close ends the connection. It is idempotent.
func (s *Stream) Close() error {
	s.m.close()
	return nil
}

// order takes what the supervisor says of the command.
func (s *Stream) order(f frame) error {
	switch f.kind {
	case frameExit:
		select {
		case <-s.exited:
			return errFrame
		default:
		}
		s.status = belljar.ExitStatus{Code: f.code, Signal: belljar.Signal(f.signal)}
		close(s.exited)
		return nil
	case frameFault:
		s.fault = faultError(s.name, f.data)
		return s.fault
	case frameNote:
		if s.note == nil {
			return errFrame
		}
		s.note(string(f.data), s.m.over(chanOut))
		return nil
	}
	return errFrame
}

// Exec starts a further command in the sandbox. ctx is for the start alone. With the error
// the command did not start: [belljar.KindNotFound], [belljar.KindRefused] as for the
// command of a run; with a terminal such an end may be told by [Stream.Wait] instead.
func (c *Client) Exec(ctx context.Context, r ExecRequest) (*Stream, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	return c.stream(ctx, "/v1/exec", r)
}

// stream asks for a stream at path.
func (c *Client) stream(ctx context.Context, path string, body any) (*Stream, error) {
	fail := func(kind belljar.Kind, err error, hint string) error {
		return &belljar.Error{Op: "ask sandbox", ID: c.name, Kind: kind, Err: err, Hint: hint}
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fail(belljar.KindInternal, err, "")
	}
	conn, err := dialSocket(ctx, c.dir)
	switch {
	case err != nil && ended(err):
		return nil, fail(belljar.KindNoSuch, errors.New("it has ended"), "")
	case err != nil:
		return nil, fail(belljar.KindInternal, err, "")
	}
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	s, err := c.upgrade(conn, path, b)
	if !stop() && err == nil {
		_ = s.Close()
		s, err = nil, ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		var told *belljar.Error
		if errors.As(err, &told) {
			return nil, err
		}
		hint, err := unanswered(err)
		return nil, fail(belljar.KindInternal, err, hint)
	}
	return s, nil
}

// upgrade makes a stream of conn.
func (c *Client) upgrade(conn net.Conn, path string, body []byte) (*Stream, error) {
	req, err := http.NewRequest("POST", "http://sandbox"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", protocol)
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	s := &Stream{name: c.name, exited: make(chan struct{}), note: c.note}
	s.m = newMux(conn, conn, s.order)
	resp, err := http.ReadResponse(s.m.frames.r, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return nil, err
		}
		return nil, faultError(c.name, raw)
	}
	go s.m.run()
	return s, nil
}

// dialSocket connects to the control socket in dir.
func dialSocket(ctx context.Context, dir string) (net.Conn, error) {
	at, done, err := peer.Reach(dir, SocketName)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", at)
}

// faultError is the error that raw tells.
func faultError(name string, raw []byte) error {
	e := &belljar.Error{Op: "ask sandbox", ID: name}
	var f fault
	if json.Unmarshal(raw, &f) != nil || f.Error.Message == "" {
		e.Err, e.Hint = errors.New("an answer that makes no sense"), "is it another version of belljar?"
		return e
	}
	e.Err, e.Hint = errors.New(f.Error.Message), f.Error.Hint
	for k, n := range kinds() {
		if n == f.Error.Kind {
			e.Kind = k
		}
	}
	return e
}
