package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/ahead"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/view/internal/early"
	"golang.org/x/sys/unix"
)

// config is what the server process is told at its start.
type config struct {
	Workspace belljar.Workspace
	Identity  belljar.Identity
	Disk      int64
}

// fdSocket is the server's end of the socket, for both directions; its end is the end
// of the server.
const fdSocket = 3

// graceful is how long the server may take to report the rest and end.
const graceful = 2 * time.Second

// keepFirst is how many paths a [Summary] names.
const keepFirst = 20

// A Server is a running file server. Its methods are safe for concurrent use.
type Server struct {
	sock    *os.File // SEQPACKET
	process *os.Process
	events  belljar.EventSink
	done    chan struct{}
	drained chan struct{} // everything that it told has been taken
	views   int

	serveMu sync.Mutex // one Serve at a time
	served  chan int

	mu     sync.Mutex
	closed bool
	err    error
	sum    Summary
}

var _ belljar.FileView = (*Server)(nil)

// Start starts the server process and waits until it has opened every view of the
// plan. The process ends when the server is closed, when ctx ends and when this
// process dies, in whatever way.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := start(ctx, o)
	if err != nil {
		return nil, &belljar.Error{Op: "serve workspace", ID: o.Plan.Workspace.Dir, Kind: belljar.KindInternal, Err: err}
	}
	return s, nil
}

func start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{
		events: o.Events, done: make(chan struct{}), drained: make(chan struct{}), views: len(o.Plan.Workspace.Views), served: make(chan int, 1),
	}
	if err := s.launch(); err != nil {
		return nil, fmt.Errorf("start file server: %w", err)
	}
	ready := make(chan struct{})
	go s.receive(context.WithoutCancel(ctx), ready)
	if err := s.configure(o.Plan); err != nil {
		s.fail(err)
	}
	context.AfterFunc(ctx, func() { s.Close() })
	select {
	case <-ready:
		return s, nil
	case <-s.done:
		return nil, s.Err()
	}
}

// configure sends the configuration, and the root of each view with it.
func (s *Server) configure(p *belljar.Plan) error {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	cfg, err := configFile(p)
	if err != nil {
		return err
	}
	files = append(files, cfg)
	fds := []int{int(cfg.Fd())}
	for _, v := range p.Workspace.Views {
		fd, err := unix.Open(v.Source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			return fmt.Errorf("open %q: %w", v.Source, err)
		}
		files, fds = append(files, os.NewFile(uintptr(fd), v.Source)), append(fds, fd)
	}
	return s.send((&packet{kind: msgConfig}).encode(), fds...)
}

// configFile gives a file that holds the configuration.
func configFile(p *belljar.Plan) (*os.File, error) {
	b, err := json.Marshal(config{Workspace: p.Workspace, Identity: p.Identity, Disk: p.Limits.Disk})
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	fd, err := unix.MemfdCreate("view", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make configuration: %w", err)
	}
	f := os.NewFile(uintptr(fd), "view")
	if _, err := f.WriteAt(b, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return f, nil
}

// launch starts the process, or takes the one that was started ahead.
func (s *Server) launch() error {
	if pid, socket, ok := early.Child.Take(); ok {
		p, err := os.FindProcess(pid)
		if err != nil {
			return err
		}
		s.process = p
		if err := s.hold(socket); err != nil {
			return err
		}
		go s.reap()
		return nil
	}
	sp, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make socket: %w", err)
	}
	theirs := os.NewFile(uintptr(sp[1]), "view")
	defer theirs.Close() // its end is seen only when nobody else has it
	if err := s.hold(sp[0]); err != nil {
		return err
	}
	if err := s.fork(theirs); err != nil {
		s.sock.Close()
		return err
	}
	return nil
}

// hold makes fd our end of the socket: non-blocking, so that reads are by the
// runtime's poller and Close ends them.
func (s *Server) hold(fd int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return fmt.Errorf("make socket: %w", err)
	}
	s.sock = os.NewFile(uintptr(fd), "view")
	return nil
}

// fork starts the process from a thread that lives as long as it does: the
// parent-death signal follows the thread that forked.
func (s *Server) fork(theirs *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		exact := ahead.CoarseTimers() // the process gets them from this thread
		p, err := os.StartProcess("/proc/self/exe", []string{Argv0}, &os.ProcAttr{
			Dir: "/", Env: append(ablate.Environ(), early.Procs), Sys: early.Attr(), Files: []*os.File{null, null, os.Stderr, theirs},
		})
		exact()
		s.process = p
		started <- err
		if err == nil {
			s.reap()
		}
	}()
	return <-started
}

// reap waits for the end of the process, and for what it told last.
func (s *Server) reap() {
	state, err := s.process.Wait()
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	select {
	case <-s.drained: // its last words may say why
	case <-time.After(graceful): // whoever takes events is stuck
	}
	s.mu.Lock()
	if s.err == nil && !s.closed {
		s.err = errors.New("the file server ended")
		if err != nil {
			s.err = fmt.Errorf("the file server ended: %w", err)
		}
	}
	s.mu.Unlock()
	close(s.done)
	s.sock.Close()
}

// receive reads what the server tells until it is gone.
func (s *Server) receive(ctx context.Context, ready chan<- struct{}) {
	defer close(s.drained)
	buf := make([]byte, maxPacket+1)
	for {
		n, err := s.sock.Read(buf)
		if err != nil || n == 0 {
			return
		}
		p, err := decode(buf[:n])
		if err != nil {
			s.fail(err)
			return
		}
		switch p.kind {
		case msgReady:
			if ready != nil {
				close(ready)
				ready = nil
			}
		case msgServed:
			select {
			case s.served <- p.view:
			default:
			}
		case msgFailed:
			s.fail(errors.New(p.text))
		case msgLimit:
			s.events.Record(ctx, belljar.Event{Kind: belljar.EventLimit, Limit: &belljar.LimitEvent{Limit: "disk", Max: p.max, Used: p.used}})
		case msgEvents:
			s.took(ctx, &p)
		}
	}
}

// took records file events and keeps the first ones for the summary.
func (s *Server) took(ctx context.Context, p *packet) {
	s.mu.Lock()
	s.sum.Passed, s.sum.Held, s.sum.Refused = int(p.counts.passed), int(p.counts.held), int(p.counts.refused)
	for _, e := range p.events {
		switch {
		case e.Verdict == verdictHold && e.Class != string(rules.GitData) && len(s.sum.FirstHeld) < keepFirst:
			s.sum.FirstHeld = append(s.sum.FirstHeld, e)
		case e.Verdict == verdictPass && e.Class != "" && len(s.sum.UserRun) < keepFirst:
			s.sum.UserRun = append(s.sum.UserRun, e)
		}
	}
	s.mu.Unlock()
	for i := range p.events {
		// An event that cannot be written is the record's to report.
		_ = s.events.Record(ctx, belljar.Event{Kind: belljar.EventFile, File: &p.events[i]})
	}
	if p.counts.dropped > 0 {
		_ = s.events.Record(ctx, belljar.Event{
			Kind:    belljar.EventSampled,
			Sampled: &belljar.SampledEvent{Of: belljar.EventFile, Count: int64(p.counts.dropped)},
		})
	}
}

// fail ends the server for a reason that is kept.
func (s *Server) fail(err error) {
	s.mu.Lock()
	if s.err == nil && !s.closed {
		s.err = err
	}
	s.mu.Unlock()
	s.kill()
}

// Serve hands the device of view i to the server and returns when it has it. It
// owns dev, also on error. Each view is served at most once.
func (s *Server) Serve(i int, dev *os.File) error {
	defer dev.Close()
	if i < 0 || i >= s.views {
		return &belljar.Error{Op: "serve view", ID: fmt.Sprint(i), Kind: belljar.KindInternal, Err: errors.New("the plan has no such view")}
	}
	s.serveMu.Lock()
	defer s.serveMu.Unlock()
	p := packet{kind: msgServe, view: i}
	// Fd makes dev blocking, which is what the server wants of it anyway.
	if err := s.send(p.encode(), int(dev.Fd())); err != nil {
		return &belljar.Error{Op: "serve view", ID: fmt.Sprint(i), Kind: belljar.KindInternal, Err: err}
	}
	select {
	case <-s.served:
		return nil
	case <-s.done:
		return &belljar.Error{Op: "serve view", ID: fmt.Sprint(i), Kind: belljar.KindInternal, Err: s.Err()}
	}
}

// send sends one packet and duplicates of descriptors.
func (s *Server) send(b []byte, fds ...int) error {
	raw, err := s.sock.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendmsg(int(fd), b, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		return sendErr != unix.EAGAIN
	})
	return errors.Join(err, sendErr)
}

// Summary counts what happened so far. After [Server.Close] it is complete.
func (s *Server) Summary() Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.sum
	out.FirstHeld = append([]belljar.FileEvent(nil), s.sum.FirstHeld...)
	out.UserRun = append([]belljar.FileEvent(nil), s.sum.UserRun...)
	return out
}

// Done is closed when the server process is gone. Its death ends the sandbox: every
// access to a view gives ENOTCONN from then on.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is why the server is gone; nil while it runs and after an orderly Close.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close asks the server to report what it still knows, ends it and waits until it
// is gone. Idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		// Its read side sees the end and it reports the rest before it goes.
		if raw, err := s.sock.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
		}
		defer time.AfterFunc(graceful, s.kill).Stop()
	}
	<-s.done
	return nil
}

func (s *Server) kill() { _ = s.process.Kill() }
