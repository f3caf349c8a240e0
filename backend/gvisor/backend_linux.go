package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/gvisor/internal/launch"
	"github.com/belljar-dev/belljar/backend/internal/contract"
	"github.com/belljar-dev/belljar/backend/internal/guest"
	"github.com/belljar-dev/belljar/backend/internal/wire"
)

// Backend implements [belljar.Backend] with gVisor. It has no state: one value
// serves any number of sandboxes, concurrently.
type Backend struct{ o Options }

var _ belljar.Backend = (*Backend)(nil)

// New makes a backend. It looks at nothing.
func New(o Options) *Backend { return &Backend{o: o} }

// Name implements [belljar.Backend].
func (b *Backend) Name() string { return Name }

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

func (b *Backend) start(ctx context.Context, s *belljar.Spec) (_ *instance, err error) {
	p := s.Plan
	if err := contract.CheckPlan(p); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, Name)
	l, err := newLayout(p, filepath.Join(dir, "root"))
	if err != nil {
		return nil, err
	}
	in := &instance{o: b.o, ctx: ctx, spec: s, plan: p, staged: make(chan struct{}), ended: make(chan struct{})}
	in.anchored = sync.OnceValue(func() error {
		_, err := in.start(context.WithoutCancel(ctx), guest.Anchor())
		return err
	})
	var opened []*os.File
	defer func() {
		if err != nil {
			wire.CloseAll(append(opened, in.boot...))
			wire.CloseAll([]*os.File{in.startup, in.link})
			_ = os.RemoveAll(dir)
		}
	}()
	for _, d := range []string{dir, l.root, filepath.Join(dir, "tmp")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, fmt.Errorf("make a folder: %w", err)
		}
	}
	if in.ctl, err = newControl(dir); err != nil {
		return nil, err
	}
	d, err := in.donate(l)
	opened = append(opened, d.all()...)
	if err != nil {
		in.ctl.close()
		return nil, err
	}
	return in, b.launch(in, l, d, dir)
}

// launch starts the processes and, unless the caller is early, waits until the root is
// staged.
func (b *Backend) launch(in *instance, l *layout, d *donations, dir string) error {
	mySentry, itsSentry, err := wire.Pair()
	if err != nil {
		return err
	}
	defer itsSentry.Close()
	myGofer, itsGofer, err := wire.Pair()
	if err != nil {
		mySentry.Close()
		return err
	}
	defer itsGofer.Close()
	mine, theirs, err := wire.Pair()
	if err != nil {
		mySentry.Close()
		myGofer.Close()
		return err
	}
	defer theirs.Close()
	in.ctl.ask = mine
	job := &launch.Job{
		Root: l.root, Ops: l.ops, CPUs: contract.CPUs(in.plan.Limits), Tmp: filepath.Join(dir, "tmp"), Debug: b.o.DebugDir != "", Control: dir,
	}
	in.launcher, err = startLauncher(dir, in.plan.Identity, job, itsSentry, itsGofer, theirs)
	if err != nil {
		mySentry.Close()
		myGofer.Close()
		in.ctl.close()
		return err
	}
	in.sentry = mySentry
	in.events = newEventReader(in, d.sink)
	go in.stage(myGofer, d)
	if in.spec.Early {
		return nil
	}
	<-in.staged
	if in.stageErr != nil {
		<-in.ended
	}
	return in.stageErr
}

// stage answers the launcher until the root is staged, and then supervises the
// sandbox to its end.
func (in *instance) stage(gofer *os.File, d *donations) {
	stop := context.AfterFunc(in.ctx, in.launcher.kill)
	err := in.startGofer(gofer, d)
	if err == nil {
		err = in.attach(d)
	}
	if err == nil {
		err = in.launcher.staged(in.spec.View)
	}
	stop()
	in.stageErr = err
	if err != nil {
		in.finish(belljar.End{Reason: belljar.EndCrashed, Detail: err.Error()})
	}
	close(in.staged)
	if err == nil {
		go in.watchStubs()
	}
	in.supervise()
}

// attach hands the other end of the sandbox's only network to the gateway.
func (in *instance) attach(d *donations) error {
	peer := d.linkPeer
	d.linkPeer = nil
	if in.spec.Attach == nil {
		return peer.Close()
	}
	if err := in.spec.Attach(belljar.Link{File: peer, MTU: linkMTU, Unchecked: true}); err != nil {
		return fmt.Errorf("attach the network: %w", err)
	}
	return nil
}
