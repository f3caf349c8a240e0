package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/contract"
	"github.com/belljar-dev/belljar/backend/internal/wire"
	"github.com/belljar-dev/belljar/backend/native/internal/jail"
	"github.com/belljar-dev/belljar/backend/native/internal/meter"
)

// An instance is a running sandbox.
type instance struct {
	spec    *belljar.Spec
	plan    *belljar.Plan
	dir     string
	control *os.File
	pidfd   int
	exited  chan struct{} // closed when the first process is gone, and with it all
	status  unix.WaitStatus
	meter   *meter.Meter

	ended chan struct{} // closed when everything is gone
	end   belljar.End

	anchored func() error // starts the process that keeps a sandbox that stays

	mu       sync.Mutex
	cause    *belljar.End // why it is being ended, set once
	first    uint64       // the first command
	next     uint64
	closed   bool
	commands map[uint64]*process
}

var _ belljar.Instance = (*instance)(nil)

// Wait implements [belljar.Instance].
func (in *instance) Wait(ctx context.Context) (belljar.End, error) {
	select {
	case <-in.ended:
		return in.end, nil
	case <-ctx.Done():
		return belljar.End{}, ctx.Err()
	}
}

// Close implements [belljar.Instance].
func (in *instance) Close() error {
	in.finish(belljar.End{Reason: belljar.EndKilled, Detail: "closed"})
	<-in.ended
	return nil
}

// finish ends everything; the first reason wins.
func (in *instance) finish(end belljar.End) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.cause == nil {
		in.cause = &end
	}
	if !in.closed {
		in.kill()
	}
}

// kill ends the first process, and with it, because it is PID 1, everything inside.
func (in *instance) kill() { _ = unix.PidfdSendSignal(in.pidfd, unix.SIGKILL, nil, 0) }

// supervise takes reports until the first process is gone.
func (in *instance) supervise() {
	for {
		var r jail.Report
		files, err := wire.Recv(in.control, &r)
		wire.CloseAll(files)
		if err != nil {
			break
		}
		in.report(&r)
	}
	<-in.exited
	in.mu.Lock()
	in.closed = true
	end := belljar.End{Reason: belljar.EndCrashed, Detail: jail.Name + " " + describe(in.status)}
	if in.cause != nil {
		end = *in.cause
	}
	left := in.commands
	in.commands = nil
	in.mu.Unlock()
	in.control.Close()
	unix.Close(in.pidfd)
	in.meter.Close()
	_ = os.RemoveAll(in.dir)
	in.end = end
	close(in.ended)
	for _, p := range left {
		p.finish(belljar.ExitStatus{Signal: belljar.Signal(unix.SIGKILL)})
	}
}

func describe(ws unix.WaitStatus) string {
	if ws.Signaled() {
		return "was killed by signal " + unix.SignalName(ws.Signal())
	}
	return fmt.Sprintf("ended with status %d", ws.ExitStatus())
}

// report acts on what the first process tells of a command.
func (in *instance) report(r *jail.Report) {
	in.mu.Lock()
	p := in.commands[r.ID]
	isFirst := r.ID == in.first
	if r.Ended {
		delete(in.commands, r.ID)
	}
	in.mu.Unlock()
	switch {
	case p == nil:
	case r.Ended:
		status := exitStatus(unix.WaitStatus(r.Status))
		in.recordExit(p, status)
		if isFirst {
			in.finish(belljar.End{Reason: belljar.EndExited})
			go func() { // all that runs is gone when the first command has ended
				<-in.ended
				p.finish(status)
			}()
			return
		}
		p.finish(status)
	default:
		p.started <- r
	}
}

func (in *instance) recordExit(p *process, s belljar.ExitStatus) {
	e := belljar.Event{Kind: belljar.EventExit, Exit: &belljar.ExitEvent{PID: <-p.recorded, Status: s}}
	if err := in.spec.Events.Record(p.ctx, e); err != nil {
		in.finish(belljar.End{Reason: belljar.EndCrashed, Detail: "the record cannot be written: " + err.Error()})
	}
}

func exitStatus(ws unix.WaitStatus) belljar.ExitStatus {
	if ws.Signaled() {
		return belljar.ExitStatus{Signal: belljar.Signal(ws.Signal())}
	}
	return belljar.ExitStatus{Code: ws.ExitStatus()}
}

// ending says whether the sandbox is being ended, for a reason that is told.
func (in *instance) ending() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.cause != nil
}

// Usage implements [belljar.Instance].
func (in *instance) Usage(context.Context) (belljar.Usage, error) {
	select {
	case <-in.ended:
		return belljar.Usage{Processes: -1}, nil
	default:
		m, err := in.meter.Read(in.plan.Limits.Memory)
		if err != nil && in.ending() {
			return belljar.Usage{Processes: -1}, nil // what ends cannot be read: on a busy machine for a while
		}
		return belljar.Usage{Memory: m.Memory, Processes: m.Processes, CPU: m.CPU}, err
	}
}

func (in *instance) error(op, id string, err error) error {
	var e *belljar.Error
	if errors.As(err, &e) {
		return e
	}
	return &belljar.Error{Op: op, ID: id, Kind: contract.KindOf(err), Err: err}
}
