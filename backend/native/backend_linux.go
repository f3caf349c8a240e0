package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/contract"
	"github.com/belljar-dev/belljar/backend/internal/guest"
	guestearly "github.com/belljar-dev/belljar/backend/internal/guest/early"
	"github.com/belljar-dev/belljar/backend/internal/wire"
	"github.com/belljar-dev/belljar/backend/native/internal/early"
	"github.com/belljar-dev/belljar/backend/native/internal/jail"
	"github.com/belljar-dev/belljar/backend/native/internal/meter"
	"github.com/belljar-dev/belljar/backend/native/internal/namespaces"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/ahead"
	"github.com/belljar-dev/belljar/internal/idmap"
)

// Backend implements [belljar.Backend] with namespaces. It has no state: one value
// serves any number of sandboxes, concurrently.
type Backend struct{ o Options }

var _ belljar.Backend = (*Backend)(nil)

// New makes a backend. It looks at nothing.
func New(o Options) *Backend { return &Backend{o: o} }

// Name implements [belljar.Backend].
func (b *Backend) Name() string { return Name }

// Reexec runs the role that args[0] names and never returns; it returns false when
// args[0] names no role of this package.
func Reexec(args []string) bool {
	return early.Reexec(args) || guestearly.Reexec(args)
}

// Start implements [belljar.Backend]. Reexec must be the first call of main.
func (b *Backend) Start(ctx context.Context, s *belljar.Spec) (belljar.Instance, error) {
	in, err := b.start(ctx, s)
	if err != nil {
		var e *belljar.Error
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, &belljar.Error{Op: "start sandbox", ID: s.Plan.Name, Kind: belljar.KindInternal, Err: err}
	}
	return in, nil
}

func (b *Backend) start(ctx context.Context, s *belljar.Spec) (*instance, error) {
	if err := contract.CheckPlan(s.Plan); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, Name)
	job, err := newJob(s.Plan, dir)
	if err != nil {
		return nil, err
	}
	job.Masked = hostSockets(s.Plan)
	for _, d := range s.Plan.Denied {
		job.Denied = append(job.Denied, d.Files...)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	in := &instance{spec: s, plan: s.Plan, dir: dir, ended: make(chan struct{}), commands: map[uint64]*process{}}
	in.anchored = sync.OnceValue(func() error {
		_, err := in.start(context.WithoutCancel(ctx), guest.Anchor())
		return err
	})
	if err := b.launch(in, job); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	stop := context.AfterFunc(ctx, in.kill)
	defer stop()
	if err := in.built(); err != nil {
		in.finish(belljar.End{Reason: belljar.EndCrashed, Detail: err.Error()})
		in.supervise()
		return nil, err
	}
	go in.supervise()
	return in, nil
}

// launch starts the first process, or takes the one that was born ahead, and gives it
// its job.
func (b *Backend) launch(in *instance, job *jail.Job) error {
	id := in.plan.Identity
	ids := idmap.Map{HostUID: id.HostUID, HostGID: id.HostGID, UID: id.UID, GID: id.GID}
	in.exited = make(chan struct{})
	if pid, pidfd, socket, ok := namespaces.Take(ids); ok {
		in.control, in.pidfd = os.NewFile(uintptr(socket), "wire"), pidfd
		go in.reap(pid)
	} else if err := b.fork(in, ids); err != nil {
		return fmt.Errorf("start %s: %w", jail.Name, err)
	}
	if err := wire.Send(in.control, job); err != nil {
		in.kill()
		<-in.exited
		in.control.Close()
		unix.Close(in.pidfd)
		return fmt.Errorf("%s ended: %w", jail.Name, err)
	}
	return nil
}

// fork starts the first process.
func (b *Backend) fork(in *instance, ids idmap.Map) error {
	mine, theirs, err := wire.Pair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		mine.Close()
		return err
	}
	defer null.Close()
	stderr := null
	if b.o.Debug {
		stderr = os.Stderr
	}
	attr := namespaces.Attr(ids, ablate.Namespaces(namespaces.Flags()))
	attr.PidFD = &in.pidfd
	in.control = mine
	err = in.fork(&syscall.ProcAttr{
		Dir: "/", Env: append(ablate.Environ(), namespaces.Procs), Sys: attr, Files: []uintptr{null.Fd(), null.Fd(), stderr.Fd(), theirs.Fd()},
	})
	if err != nil {
		mine.Close()
	}
	return err
}

// fork starts the first process from a thread that lives until it ends, because the
// kernel ties the death signal to the thread; the process also watches its socket.
func (in *instance) fork(attr *syscall.ProcAttr) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		exact := ahead.CoarseTimers()
		pid, _, err := syscall.StartProcess("/proc/self/exe", []string{jail.Name}, attr)
		exact()
		started <- err
		if err == nil {
			in.reap(pid)
		}
	}()
	return <-started
}

// reap waits for the end of the first process.
func (in *instance) reap(pid int) {
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(pid, &ws, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err == nil {
			in.status = ws
		}
		close(in.exited)
		return
	}
}

// built answers requests for servers until all is ready, and attaches the network.
func (in *instance) built() error {
	for {
		var r jail.Report
		files, err := wire.Recv(in.control, &r)
		if err != nil {
			return fmt.Errorf("%s ended", jail.Name)
		}
		switch {
		case r.Err != "":
			wire.CloseAll(files)
			return errors.New(r.Err)
		case r.Link && len(files) == 1:
			if err := in.attach(&r, files[0]); err != nil {
				return err
			}
			continue
		case r.Counts && len(files) >= 1 && in.meter == nil:
			in.meter = meter.New(files, func(how string) {
				in.finish(belljar.End{Reason: belljar.EndCrashed, Detail: meter.Argv0 + " " + how})
			})
			continue
		case r.Built && in.meter != nil:
			return in.meter.Begin(r.Threads)
		case r.View == nil || len(files) != 1 || in.spec.View == nil:
			wire.CloseAll(files)
			return errors.New("a view has no server")
		}
		if err := in.spec.View.Serve(*r.View, files[0]); err != nil {
			return fmt.Errorf("serve view %d: %w", *r.View, err)
		}
		if err := wire.Send(in.control, jail.Ack{}); err != nil {
			return err
		}
	}
}

// attach hands the other end of the sandbox's only network to the gateway.
func (in *instance) attach(r *jail.Report, link *os.File) error {
	if in.spec.Attach == nil {
		return link.Close()
	}
	if err := in.spec.Attach(belljar.Link{File: link, MTU: jail.MTU, Header: r.Header}); err != nil {
		return fmt.Errorf("attach the network: %w", err)
	}
	return nil
}
