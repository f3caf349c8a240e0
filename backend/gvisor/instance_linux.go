package gvisor

import (
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/gvisor/internal/launch"
	"github.com/belljar-dev/belljar/backend/internal/contract"
	"github.com/belljar-dev/belljar/backend/internal/wire"
)

// An instance is a running sandbox.
type instance struct {
	o        Options
	ctx      context.Context // of Start, for its values
	spec     *belljar.Spec
	plan     *belljar.Plan
	base     *specs.Spec
	confs    string
	launcher *launcherProcess
	sentry   *os.File   // to the waiting sentry; nil after the first command
	boot     []*os.File // the sentry's files, in the order of bootFDs
	bootFDs  []string
	startup  *os.File // a byte arrives when the sentry is up
	ctl      *control
	link     *os.File // the sentry's end
	memory   *os.File // the sentry's memory file
	events   *eventReader
	openers  openers
	stats    stats
	staged   chan struct{} // closed when the root is staged, or could not be
	stageErr error         // why not, once staged is closed

	anchored func() error // starts the process that keeps a sandbox that stays

	mu      sync.Mutex
	started bool
	ended   chan struct{} // closed when everything is gone
	end     belljar.End
	// initStatus is how the first command ended, when the sentry was gone before it
	// could be asked.
	initStatus *belljar.ExitStatus
	cause      *belljar.End // why it is being ended, set once
}

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
	if in.cause == nil {
		in.cause = &end
	}
	in.mu.Unlock()
	in.launcher.kill()
}

// supervise waits for the end of the launcher, which is PID 1 of everything.
func (in *instance) supervise() {
	end := in.launcher.wait()
	in.mu.Lock()
	if in.cause != nil {
		end = *in.cause
	}
	sentry, boot := in.sentry, in.boot
	in.sentry, in.boot = nil, nil
	in.mu.Unlock()
	if sentry != nil {
		sentry.Close()
	}
	wire.CloseAll(boot)
	in.events.drain()
	in.ctl.close()
	status := initStatus(in.launcher.sentry, in.events.init)
	wire.CloseAll([]*os.File{in.link, in.startup})
	_ = os.RemoveAll(in.launcher.dir)
	in.mu.Lock()
	if status != nil && in.cause == nil {
		end = belljar.End{Reason: belljar.EndExited}
	}
	in.initStatus = status
	if in.memory != nil {
		in.memory.Close()
		in.memory = nil
	}
	in.end = end
	in.mu.Unlock()
	close(in.ended)
}

// initStatus is the init process's status when the sentry ended by itself, which it
// does with the code of init or 128 and its signal; recorded says which.
func initStatus(sentry *unix.WaitStatus, recorded *belljar.ExitStatus) *belljar.ExitStatus {
	if sentry == nil || !sentry.Exited() || recorded == nil {
		return nil
	}
	if recorded.Status() == sentry.ExitStatus() {
		return recorded
	}
	// The first thread ended before the process did.
	return &belljar.ExitStatus{Code: sentry.ExitStatus()}
}

var _ belljar.Warmer = (*instance)(nil)

// Warm implements [belljar.Warmer].
func (in *instance) Warm(context.Context) error {
	return in.anchored()
}

// Start implements [belljar.Instance].
func (in *instance) Start(ctx context.Context, c *belljar.Command) (belljar.Process, error) {
	defer wire.CloseAll([]*os.File{c.Stdin, c.Stdout, c.Stderr})
	if in.spec.Stays {
		if err := in.anchored(); err != nil {
			return nil, err
		}
	}
	return in.start(ctx, c)
}

// start starts the first command, which the sandbox ends with, or another one.
func (in *instance) start(ctx context.Context, c *belljar.Command) (belljar.Process, error) {
	in.mu.Lock()
	first := !in.started
	in.started = true
	in.mu.Unlock()
	if err := contract.CheckFiles(c); err != nil {
		return nil, in.error("start command", c.Path, err)
	}
	start := in.exec
	if first {
		start = in.init
	}
	p, err := start(ctx, c)
	if err != nil {
		if first {
			in.finish(belljar.End{Reason: belljar.EndCrashed, Detail: err.Error()})
		}
		return nil, in.error("start command", c.Path, err)
	}
	return p, nil
}

func (in *instance) error(op, id string, err error) error {
	var e *belljar.Error
	if errors.As(err, &e) {
		return e
	}
	k := contract.KindOf(err)
	hint := ""
	if k == belljar.KindInternal {
		hint = startHint
	}
	return &belljar.Error{Op: op, ID: id, Kind: k, Err: err, Hint: hint}
}

var _ belljar.Instance = (*instance)(nil)

var errSentry = errors.New(launch.NameSentry + " did not start")
