package gvisor

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/context"
)

// An asker lives in the sentry. Each execve that is sent with its number waits for the
// supervisor's answer: a number and [answerRun] or anything else, which refuses. When the
// supervisor is gone everything is refused.
type asker struct {
	mu      sync.Mutex
	last    uint64
	gone    bool
	waiting map[uint64]chan bool // each has room for one
}

const (
	answerSize = 9
	answerRun  = 1
	answerNo   = 0
)

// lookEvery is how soon somebody who waits for a person notices a signal.
const lookEvery = 100 * time.Millisecond

func newAsker() *asker { return &asker{waiting: map[uint64]chan bool{}} }

func (a *asker) answer(id uint64, run bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.waiting[id]; c != nil {
		delete(a.waiting, id)
		c <- run
	}
}

func (a *asker) end() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = true
	for id, c := range a.waiting {
		delete(a.waiting, id)
		c <- false
	}
}

// begin takes a number, before it is sent.
func (a *asker) begin() (id uint64, answer chan bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return 0, nil, unix.EPERM
	}
	a.last++
	answer = make(chan bool, 1)
	a.waiting[a.last] = answer
	return a.last, answer, nil
}

// forget gives a number back that nobody waits for any more.
func (a *asker) forget(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, id)
}

// wait waits for the answer, or, when there is none at once, for a signal.
func (*asker) wait(ctx context.Context, answer chan bool) (run, interrupted bool) {
	select {
	case run = <-answer:
		return run, false
	default:
	}
	ctx.UninterruptibleSleepStart()
	defer ctx.UninterruptibleSleepFinish()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case run = <-answer:
			return run, false
		case <-tick.C:
			if ctx.Killed() || ctx.Interrupted() { // the first one tells gVisor's watchdog that we live
				return false, true
			}
		}
	}
}
