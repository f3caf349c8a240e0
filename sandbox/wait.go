package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/limit"
)

// grace is what a command gets to end after the caller asked twice, or left.
const grace = 5 * time.Second

// wait sees the command to its end and says what the command line exits with.
func (r *run) wait(ctx context.Context) (int, belljar.End) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.watch(ctx) // unless setup began it
	go r.forward(ctx)
	go r.printNotices(ctx)

	status, err := r.proc.Wait(context.WithoutCancel(ctx))
	if err == nil {
		r.finish(r.exited(ctx, status))
	} else {
		// The sandbox went away under the command; whoever ended it said why.
		r.finish(r.ask(ctx, err))
	}
	cancel()
	r.unwatch()
	r.mu.Lock()
	end := r.ended
	r.mu.Unlock()
	return r.status(end, status), end
}

// watch begins to watch limits and parts, once: what is used in setup counts. There must be a
// process inside, and unwatch ends it.
func (r *run) watch(ctx context.Context) {
	r.watching.Do(func() {
		ctx, cancel := context.WithCancel(ctx)
		watched := make(chan error, 1)
		go func() { watched <- r.watchLimits(ctx) }()
		go r.watchParts(ctx)
		r.unwatch = sync.OnceFunc(func() {
			cancel()
			<-watched
		})
		r.undo.add(func() error { r.unwatch(); return nil })
	})
}

// staysGrace is how long a tier may take to notice that a process of its own has died,
// where the sandbox does not end with its command anyhow.
const staysGrace = time.Second

// exited is the end by a command that ended with s. A command that was killed may have
// been killed because a process of the tier died: then that is the reason.
func (r *run) exited(ctx context.Context, s belljar.ExitStatus) belljar.End {
	if s.Signal == belljar.Signal(syscall.SIGKILL) {
		wait := grace // as the sandbox ends with its command
		if r.stays() {
			wait = staysGrace
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
		defer cancel()
		if end, err := r.inst.Wait(ctx); err == nil && end.Reason == belljar.EndCrashed {
			return end
		}
	}
	return belljar.End{Reason: belljar.EndExited}
}

// ask asks the tier why the sandbox is gone.
func (r *run) ask(ctx context.Context, cause error) belljar.End {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	end, err := r.inst.Wait(ctx)
	if err != nil || end.Reason == "" || end.Reason == belljar.EndExited {
		return belljar.End{Reason: belljar.EndCrashed, Detail: cause.Error()}
	}
	return end
}

// status is what the command line exits with.
func (r *run) status(end belljar.End, s belljar.ExitStatus) int {
	switch {
	case end.Reason == belljar.EndLimit && end.Limit == limit.Time:
		return belljar.KindTime.ExitStatus()
	case end.Reason == belljar.EndLimit && end.Limit == limit.Memory:
		return belljar.KindMemory.ExitStatus()
	case end.Reason == belljar.EndLimit, end.Reason == belljar.EndCrashed:
		return belljar.KindInternal.ExitStatus()
	case end.Reason == belljar.EndKilled:
		return 128 + int(syscall.SIGKILL)
	}
	return s.Status()
}

func (r *run) watchLimits(ctx context.Context) error {
	if ablate.Off(ablate.Limits) {
		<-ctx.Done()
		return nil
	}
	disk, err := limit.NewDiskCounter(privateFolders(r.p)...)
	if err != nil {
		return err
	}
	return limit.Watch(ctx, limit.Options{
		Limits: r.p.Limits,
		Usage:  r.inst.Usage,
		Disk:   disk.Added,
		Events: &r.counts,
		Kill:   func() { r.finish(r.limitEnd()) },
		Report: r.counts.limit,
		MaxMemory: func(n int64) {
			r.mu.Lock()
			r.maxMemory = max(r.maxMemory, n)
			r.mu.Unlock()
		},
	})
}

// limitEnd names the limit that ends the run.
func (r *run) limitEnd() belljar.End {
	for _, e := range r.counts.reached() {
		if e.Ended {
			return belljar.End{Reason: belljar.EndLimit, Limit: e.Limit}
		}
	}
	return belljar.End{Reason: belljar.EndCrashed, Detail: "its usage could not be read any more"}
}

// watchParts ends the run when a part of it that it cannot be without is gone.
func (r *run) watchParts(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-r.view.Done():
		r.finish(belljar.End{Reason: belljar.EndCrashed, Detail: fmt.Sprintf("the view server ended: %v", r.view.Err())})
	case <-r.rec.Full():
		r.counts.limit(belljar.LimitEvent{Limit: "log", Ended: true})
		r.finish(belljar.End{Reason: belljar.EndLimit, Limit: "log", Detail: fmt.Sprint(r.rec.Err())})
	}
}

// forward passes signals of the caller on to the command. Somebody who asks twice,
// or whose terminal went away, means it.
func (r *run) forward(ctx context.Context) {
	asked := 0
	for {
		var s os.Signal
		select {
		case <-ctx.Done():
			return
		case s = <-r.o.Signals:
		case s = <-r.asked:
		}
		sig, ok := s.(syscall.Signal)
		if !ok {
			continue
		}
		_ = r.proc.Signal(belljar.Signal(sig)) // it may have ended meanwhile
		if sig == syscall.SIGTERM || sig == syscall.SIGHUP {
			asked++
		}
		if asked == 1 && sig == syscall.SIGHUP || asked == 2 {
			asked = 3
			time.AfterFunc(grace, func() {
				if ctx.Err() == nil {
					r.finish(belljar.End{Reason: belljar.EndKilled, Detail: "the caller ended it"})
				}
			})
		}
	}
}

// stop ends everything inside, lets what was printed arrive, and records what was
// kept from the terminal, so that what is counted afterwards is final.
func (r *run) stop(ctx context.Context) {
	_ = r.stopControl() // who answered has been heard; nobody is any more
	_ = r.questions.Close()
	_ = r.inst.Close() // idempotent, like the others: undo reports their errors
	r.drain()
	// Their last events arrive. Each waits for the kernel to take back what it watched or received with.
	var both sync.WaitGroup
	both.Go(func() { _ = r.view.Close() })
	both.Go(func() { _ = r.stopGateway() })
	both.Wait()
	for what, n := range r.session.Dropped() {
		_ = r.counts.Record(ctx, belljar.Event{Kind: belljar.EventTerminal, Terminal: &belljar.TerminalEvent{What: what, Count: int64(n)}})
	}
}

// drain lets what the command printed arrive. Where the command did not end by
// itself, a caller who reads no more (a halted terminal) is not waited for.
func (r *run) drain() {
	r.mu.Lock()
	byItself := r.ended.Reason == belljar.EndExited
	r.mu.Unlock()
	if !byItself {
		defer time.AfterFunc(2*time.Second, r.unrelay).Stop()
	}
	// A caller who stopped reading, or whose terminal is gone, is no fault of the run.
	if err := <-r.relayed; err != nil && !errors.Is(err, unix.EIO) {
		r.lost = err
	}
	r.unrelay()
}
