package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
)

const (
	// lingerWait is how long the output of a command that has ended may pause before what
	// it left behind is cut off from the caller.
	lingerWait = 200 * time.Millisecond
	// lingerAll is how long it is waited for in all.
	lingerAll = 2 * time.Second
	// hangupEvery is how often a command whose caller has gone is told so, hangupKill after
	// how many times it is killed, hangupForce after how many by the tier itself, and
	// hangupLeave after how many nobody waits for it any more.
	hangupEvery = time.Second
	hangupKill  = 5
	hangupForce = 8
	hangupLeave = 12
	// endWait is what a command gets to end when the sandbox does, and the caller to hear of it.
	endWait = 3 * time.Second
	// maxPipe is more than a pipe holds.
	maxPipe = 1 << 20
)

func (h *handler) exec(w http.ResponseWriter, r *http.Request) {
	var q ExecRequest
	err := readAtMost(r, maxExecBody, &q)
	if err == nil {
		err = q.Check()
	}
	leave, ok := h.stream(w, r, "exec", err)
	if !ok {
		return
	}
	defer leave()
	x, err := newExecution(q)
	if err != nil {
		send(w, nil, err)
		return
	}
	defer x.close()
	if x.proc, err = h.c.Exec(r.Context(), q, &x.cmd, who(r)); err != nil {
		send(w, nil, err)
		return
	}
	m, err := takeOver(w, r, x.order)
	if err != nil {
		x.hangUp(h.ctx)
		return
	}
	defer m.close()
	x.run(h.ctx, m)
}

// stream admits a request for a stream, unless err says what is wrong with it; not ok when
// it was answered. leave gives its place back.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, op string, err error) (leave func(), ok bool) {
	if err == nil && !upgrades(r) {
		err = &belljar.Error{Op: op, Kind: belljar.KindUsage, Err: errors.New("it needs Upgrade: " + protocol)}
	}
	if err == nil {
		leave, err = h.enter()
	}
	if err != nil {
		send(w, nil, err)
	}
	return leave, err == nil
}

// upgrades says whether r asks for a stream.
func upgrades(r *http.Request) bool {
	return r.Header.Get("Upgrade") == protocol && strings.EqualFold(r.Header.Get("Connection"), "upgrade")
}

// enter takes the place of a stream.
func (h *handler) enter() (leave func(), err error) {
	select {
	case h.slots <- struct{}{}:
	default:
		return nil, &belljar.Error{Op: "exec", Kind: belljar.KindConflict, Err: errors.New("too many commands are started in it already"), Hint: "end some of them"}
	}
	h.streams.Add(1)
	return func() {
		<-h.slots
		h.streams.Done()
	}, nil
}

// takeOver makes a stream of the connection of r.
func takeOver(w http.ResponseWriter, r *http.Request, order func(frame) error) (*mux, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if p, ok := r.Context().Value(peerKey{}).(*peerConn); ok {
		p.once.Do(p.leave) // it is no request any more
	}
	m := newMux(conn, rw.Reader, order)
	if err := m.send([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n")); err != nil {
		return nil, err
	}
	return m, nil
}

// An execution is a command and the supervisor's ends of its files.
type execution struct {
	cmd     belljar.Command
	proc    belljar.Process
	in      *os.File // write end
	outs    []*os.File
	outputs sync.WaitGroup
	ended   time.Time     // of the command; valid once over is closed
	over    chan struct{} // closed when the command has ended
}

func newExecution(q ExecRequest) (*execution, error) {
	x := &execution{cmd: belljar.Command{TTY: q.TTY, Size: q.Size}, over: make(chan struct{})}
	var theirs []*os.File
	fail := func(err error) (*execution, error) {
		x.close()
		for _, f := range theirs {
			_ = f.Close()
		}
		return nil, &belljar.Error{Op: "exec", Err: err}
	}
	n := 2
	if q.TTY {
		n = 1
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	x.in, theirs = w, append(theirs, r)
	for range n {
		r, w, err := os.Pipe()
		if err != nil {
			return fail(err)
		}
		x.outs, theirs = append(x.outs, r), append(theirs, w)
	}
	for _, f := range theirs {
		_ = f.Fd() // blocking, as a program expects its standard streams to be
	}
	x.cmd.Stdin, x.cmd.Stdout = theirs[0], theirs[1]
	if !q.TTY {
		x.cmd.Stderr = theirs[2]
	}
	return x, nil
}

func (x *execution) close() {
	if x.in != nil {
		_ = x.in.Close()
	}
	for _, f := range x.outs {
		_ = f.Close()
	}
}

// order carries out what the caller asks.
func (x *execution) order(f frame) error {
	switch f.kind {
	case frameSignal:
		_ = x.proc.Signal(belljar.Signal(f.signal)) // it may have ended meanwhile
		return nil
	case frameSize:
		_ = x.proc.Resize(belljar.WindowSize{Rows: f.rows, Cols: f.cols})
		return nil
	}
	return errFrame
}

// run relays until the command and its output have ended and the caller knows, or the
// caller has gone and the command has ended.
func (x *execution) run(ctx context.Context, m *mux) {
	go m.run()
	go x.copyIn(m)
	for i, f := range x.outs {
		x.outputs.Go(func() { x.copyOut(m, byte(chanOut+i), f) })
	}
	if x.cmd.TTY {
		_ = m.finish(chanErr)
	}
	// Where the sandbox ends, so does the command; but nobody waits for ever.
	waiting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		select {
		case <-m.done:
			x.hangUp(ctx)
			cancel()
		case <-x.over:
		}
	}()
	stop := context.AfterFunc(ctx, func() {
		m.hurry(2 * endWait)
		time.AfterFunc(endWait, cancel)
	})
	defer stop()
	status, err := x.proc.Wait(waiting)
	x.ended = time.Now()
	close(x.over)
	for _, f := range x.outs {
		_ = f.SetReadDeadline(time.Now().Add(lingerWait))
	}
	last := context.AfterFunc(ctx, func() { time.AfterFunc(endWait, m.close) }) // a caller who does not read
	x.outputs.Wait()
	last()
	if err != nil {
		status = belljar.ExitStatus{Signal: belljar.Signal(syscall.SIGKILL)} // with the sandbox
	}
	if m.send(exitFrame(status.Code, int(status.Signal))) == nil {
		bye(m)
	}
}

// bye lets the caller, who has been told everything, go first: a connection that is closed
// while they still send would take what they have not read.
func bye(m *mux) {
	select {
	case <-m.done:
	case <-time.After(endWait):
	}
}

// copyOut copies one output. After the command's end it goes on with what was printed
// before; what the command left behind may go on to print, and is not waited for.
func (x *execution) copyOut(m *mux, id byte, f *os.File) {
	defer f.Close() // whoever prints there is told by SIGPIPE
	buf := make([]byte, maxFrame-1)
	linger := lingerAll // a caller who takes long is not counted
	for left := maxPipe; left > 0 && linger > 0; {
		began := time.Now()
		n, err := f.Read(buf)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			n, err = readNow(f, buf)
		}
		read := time.Now()
		if n > 0 {
			if _, err := m.write(id, buf[:n]); err != nil {
				return
			}
		}
		select {
		case <-x.over:
			left -= n
			linger -= max(0, min(read.Sub(began), read.Sub(x.ended)))
			_ = f.SetReadDeadline(time.Now().Add(min(lingerWait, linger)))
		default:
		}
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			break
		}
	}
	_ = m.finish(id)
}

// readNow reads what is there of f when the time for it is over: that came in time, and only
// this goroutine is late. Where nothing is there it is [os.ErrDeadlineExceeded].
func readNow(f *os.File, buf []byte) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	n, errno := 0, error(syscall.EINTR)
	read := func(fd uintptr) { // which does not wait: what has deadlines does not block
		for errors.Is(errno, syscall.EINTR) {
			n, errno = syscall.Read(int(fd), buf)
		}
	}
	if err := raw.Control(read); err != nil {
		return 0, err
	}
	switch {
	case n > 0:
		return n, nil
	case errno == nil:
		return 0, io.EOF
	case errors.Is(errno, syscall.EAGAIN):
		return 0, os.ErrDeadlineExceeded
	}
	return 0, errno
}

// A grouped process is started directly by its tier, which can reach it, and the process
// group that it leads, whatever happens inside. For a command on a terminal that is what
// serves the terminal, not the command.
type grouped interface {
	SignalGroup(s belljar.Signal) error
}

// hangUp ends a command whose caller has gone: SIGHUP, as from a terminal that is closed,
// and SIGKILL where it stays, until it or the sandbox has ended. What serves a terminal
// inside may be kept from obeying: then the tier kills that. It returns, so that the place
// of the stream is free, even where nothing helps.
func (x *execution) hangUp(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = x.proc.Wait(ctx)
	}()
	_ = x.in.Close()
	for i := range hangupLeave {
		sig := belljar.Signal(syscall.SIGHUP)
		if i >= hangupKill {
			sig = belljar.Signal(syscall.SIGKILL) // again, as a shell on a terminal comes to the foreground behind its job
		}
		// The tier may take its time.
		go x.hangUpBy(sig, i >= hangupForce)
		select {
		case <-done:
			return
		case <-time.After(hangupEvery):
		}
	}
}

// hangUpBy sends s to the whole of the command.
func (x *execution) hangUpBy(s belljar.Signal, force bool) {
	g, ok := x.proc.(grouped)
	if ok && (force || !x.cmd.TTY) {
		_ = g.SignalGroup(s)
		return
	}
	_ = x.proc.Signal(s)
}
