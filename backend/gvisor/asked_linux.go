package gvisor

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/belljar-dev/belljar"
)

// maxAsked bounds the programs that wait for a person at a time; further ones are refused.
const maxAsked = 4096

// An asked answers the sentry, which waits with each execve. What is answered is on record
// before; what was withdrawn before it was answered has never run, and is asked for again
// where it still matters.
type asked struct {
	r      *eventReader
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	waiting map[uint64]context.CancelFunc
}

func newAsked(r *eventReader) *asked {
	a := &asked{r: r, waiting: map[uint64]context.CancelFunc{}}
	a.ctx, a.cancel = context.WithCancel(context.WithoutCancel(r.in.ctx))
	return a
}

// take takes a message with a number: an execve that waits, or the end of its waiting.
func (a *asked) take(id uint64, e belljar.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	stop := a.waiting[id]
	if e.Exec == nil || stop != nil { // a number for the second time is none that our sentry gives
		if stop != nil {
			delete(a.waiting, id)
			stop()
		}
		return
	}
	ctx, cancel := context.WithCancel(a.ctx)
	full := len(a.waiting) >= maxAsked
	a.waiting[id] = cancel
	a.group.Go(func() {
		defer cancel()
		if full {
			e.Exec.Refused = fmt.Sprintf("more than %d programs wait to be allowed", maxAsked)
		} else {
			e.Exec.Refused = a.r.in.spec.MayExec(ctx, e.Exec)
		}
		a.finish(id, e)
	})
}

// finish records what becomes of an execve, then answers.
func (a *asked) finish(id uint64, e belljar.Event) {
	if !a.over(id) {
		return
	}
	if err := a.r.put(e); err != nil {
		a.r.in.finish(belljar.End{Reason: belljar.EndCrashed, Detail: "record an event: " + err.Error()})
		return
	}
	b := binary.LittleEndian.AppendUint64(nil, id)
	if e.Exec.Refused == "" {
		b = append(b, answerRun)
	} else {
		b = append(b, answerNo)
	}
	_ = a.r.ask(b) // a sentry that is gone needs none
}

// over takes id out; false when it was withdrawn.
func (a *asked) over(id uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.waiting[id]
	delete(a.waiting, id)
	return ok
}

// close waits until everything that was asked is on record. The sentry must be gone.
func (a *asked) close() {
	if a == nil {
		return
	}
	a.cancel()
	a.group.Wait()
}
