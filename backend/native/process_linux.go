package native

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/contract"
	"github.com/belljar-dev/belljar/backend/internal/guest"
	"github.com/belljar-dev/belljar/backend/internal/wire"
	"github.com/belljar-dev/belljar/backend/native/internal/jail"
)

// A process is a command inside.
type process struct {
	in       *instance
	ctx      context.Context // of Start, without its end
	id       uint64
	help     *guest.Helper // nil: the command was started directly
	started  chan *jail.Report
	recorded chan int // its PID, once its start is on record

	done   chan struct{}
	status belljar.ExitStatus // once done is closed
}

var _ belljar.Process = (*process)(nil)

var errClosed = errors.New("the sandbox has ended")

var _ belljar.Warmer = (*instance)(nil)

// Warm implements [belljar.Warmer].
func (in *instance) Warm(context.Context) error {
	if err := in.anchored(); err != nil {
		return in.error("start", jail.Name, err)
	}
	return nil
}

// Start implements [belljar.Instance].
func (in *instance) Start(ctx context.Context, c *belljar.Command) (belljar.Process, error) {
	defer wire.CloseAll([]*os.File{c.Stdin, c.Stdout, c.Stderr})
	if in.spec.Stays {
		if err := in.anchored(); err != nil {
			return nil, in.error("start command", c.Path, err)
		}
	}
	p, err := in.start(ctx, c)
	if err != nil {
		return nil, in.error("start command", c.Path, err)
	}
	return p, nil
}

func (in *instance) start(ctx context.Context, c *belljar.Command) (*process, error) {
	if err := contract.CheckFiles(c); err != nil {
		return nil, err
	}
	files, done, err := contract.Stdio(c)
	if err != nil {
		return nil, err
	}
	defer done()
	p, isFirst := in.newProcess(ctx)
	if p == nil {
		return nil, errClosed
	}
	var ports []uint16
	if isFirst {
		ports = contract.LocalhostPorts(in.plan)
	}
	if err := p.launch(ctx, c, ports, files); err != nil {
		in.forget(p)
		if isFirst {
			in.finish(belljar.End{Reason: belljar.EndCrashed, Detail: err.Error()})
		}
		return nil, err
	}
	return p, nil
}

// newProcess makes a process; it is nil when the sandbox has ended.
func (in *instance) newProcess(ctx context.Context) (p *process, first bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.commands == nil || in.cause != nil {
		return nil, false
	}
	in.next++
	p = &process{
		in: in, id: in.next, ctx: context.WithoutCancel(ctx),
		started: make(chan *jail.Report, 1), recorded: make(chan int, 1), done: make(chan struct{}),
	}
	in.commands[p.id] = p
	if first = in.first == 0; first {
		in.first = p.id
	}
	return p, first
}

func (in *instance) forget(p *process) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.commands, p.id)
}

// launch has the first process start c and puts the start on record.
func (p *process) launch(ctx context.Context, c *belljar.Command, ports []uint16, files []*os.File) error {
	help, run, err := guest.NewHelper(c, ports)
	if err != nil {
		return err
	}
	env := c.Env
	if env == nil {
		env = p.in.plan.Env
	}
	r := jail.Request{ID: p.id, Path: run.Path, Argv: run.Argv, Env: env, Dir: c.Dir, Extra: help.Processes()}
	if help != nil {
		files = append(files[:len(files):len(files)], help.Control())
	}
	p.help = help
	err = wire.Send(p.in.control, r, files...)
	help.Started()
	if err != nil {
		help.Close()
		return errClosed
	}
	pid, err := p.await(ctx)
	if err != nil {
		p.recorded <- 0
		help.Close()
		return err
	}
	err = p.in.spec.Events.Record(ctx, belljar.Event{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{
		PID: pid, Path: c.Path, Argv: cut(c.Argv), Dir: c.Dir, Truncated: size(c.Argv) - size(cut(c.Argv)),
	}})
	p.recorded <- pid
	if err != nil {
		p.in.finish(belljar.End{Reason: belljar.EndCrashed, Detail: "the record cannot be written: " + err.Error()})
		return err
	}
	return nil
}

// await waits for the answer to a request.
func (p *process) await(ctx context.Context) (pid int, err error) {
	select {
	case r := <-p.started:
		if r.Errno != 0 {
			return 0, unix.Errno(r.Errno)
		}
		return r.PID, nil
	case <-p.in.exited:
		return 0, errClosed
	case <-ctx.Done():
		p.in.finish(belljar.End{Reason: belljar.EndKilled, Detail: "its start was given up"})
		return 0, ctx.Err()
	}
}

// maxArgv bounds the arguments of one event, in bytes.
const maxArgv = 32 << 10

// cut keeps as many bytes of the arguments as one event takes.
func cut(argv []string) []string {
	if size(argv) <= maxArgv {
		return argv
	}
	var out []string
	left := maxArgv
	for _, a := range argv {
		a = a[:min(len(a), left)]
		left -= len(a)
		out = append(out, a)
		if left == 0 {
			break
		}
	}
	return out
}

func size(argv []string) int {
	n := 0
	for _, a := range argv {
		n += len(a)
	}
	return n
}

func (p *process) finish(s belljar.ExitStatus) {
	p.help.Close()
	p.status = s
	close(p.done)
}

// Wait implements [belljar.Process].
func (p *process) Wait(ctx context.Context) (belljar.ExitStatus, error) {
	select {
	case <-p.done:
		return p.status, nil
	case <-ctx.Done():
		return belljar.ExitStatus{}, ctx.Err()
	}
}

// Signal implements [belljar.Process].
func (p *process) Signal(s belljar.Signal) error {
	if p.help != nil {
		return p.help.Order(guest.Order{Kind: guest.OrderSignal, A: uint16(s)})
	}
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
	}
	if err := wire.Send(p.in.control, jail.Request{ID: p.id, Signal: int(s)}); err != nil {
		return &belljar.Error{Op: "signal", Kind: belljar.KindInternal, Err: os.ErrProcessDone}
	}
	return nil
}

// SignalGroup sends s to the process that was started directly, which is the helper where
// there is one, and to its process group.
func (p *process) SignalGroup(s belljar.Signal) error {
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
	}
	return wire.Send(p.in.control, jail.Request{ID: p.id, Signal: int(s), Group: true})
}

// Resize implements [belljar.Process].
func (p *process) Resize(w belljar.WindowSize) error {
	if p.help == nil {
		return nil
	}
	return p.help.Order(guest.Order{Kind: guest.OrderResize, A: w.Rows, B: w.Cols})
}
