package view

import (
	"cmp"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/rules"
	"golang.org/x/sys/unix"
)

// flushEvery is how long an event may wait for company.
const flushEvery = 20 * time.Millisecond

// maxQueued bounds the events that wait; what is beyond is counted.
const maxQueued = 4096

// A reporter sends what happens to files to the supervisor, in packets. It never
// blocks those who serve.
type reporter struct {
	send func([]byte) error

	mu     sync.Mutex
	counts counts
	queue  []belljar.FileEvent
	wake   chan struct{}
	sendMu sync.Mutex // keeps packets in order
}

func newReporter(send func([]byte) error) *reporter {
	return &reporter{send: send, wake: make(chan struct{}, 1)}
}

// run sends packets until stop is closed.
func (r *reporter) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-r.wake:
		}
		timer := time.NewTimer(flushEvery)
		select {
		case <-stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		if r.flush() != nil {
			return
		}
	}
}

// flush sends everything that waits.
func (r *reporter) flush() error {
	r.sendMu.Lock()
	defer r.sendMu.Unlock()
	for {
		r.mu.Lock()
		p := packet{kind: msgEvents, counts: r.counts}
		p.events, r.queue = fill(r.queue)
		more := len(r.queue) > 0
		r.counts.dropped = 0
		r.mu.Unlock()
		if err := r.send(p.encode()); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// fill takes as many events as fit into a packet.
func fill(queue []belljar.FileEvent) (now, later []belljar.FileEvent) {
	size := 64
	for i := range queue {
		e := &queue[i]
		size += 24
		for _, s := range []string{e.Path, e.Op, e.To, e.Verdict, e.Class, e.Reason} {
			size += min(len(s), maxName)
		}
		if size > maxPacket && i > 0 {
			return queue[:i], queue[i:]
		}
	}
	return queue, nil
}

// add reports one event; first says that its path was not counted before.
func (r *reporter) add(e belljar.FileEvent, first bool) {
	r.mu.Lock()
	switch {
	case e.Verdict == verdictDeny:
		r.counts.refused++
	case !first, e.Verdict == verdictHold && e.Class == string(rules.GitData): // what git does with its own data waits for nobody
	case e.Verdict == verdictPass:
		r.counts.passed++
	default:
		r.counts.held++
	}
	if len(r.queue) < maxQueued {
		r.queue = append(r.queue, e)
	} else {
		r.counts.dropped++
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// event describes a change at s.
func event(op string, s *spot) belljar.FileEvent {
	e := belljar.FileEvent{Path: cmp.Or(s.rel, "."), Op: op, Verdict: s.verdict.Kind.String(), Class: string(s.verdict.Class), Reason: s.verdict.Reason}
	switch {
	case s.verdict.Kind == rules.Hide:
		e.Verdict = verdictHold // the sandbox's own file of that name, kept in the shadow
	case !s.upper || s.both || s.verdict.Kind != rules.Pass:
	case s.st.Mode&unix.S_IFMT == unix.S_IFLNK:
		e.Verdict, e.Class, e.Reason = verdictHold, string(rules.Symlink), "it leads out of the project"
	case s.st.Mode&unix.S_IFMT == unix.S_IFIFO || s.st.Mode&unix.S_IFMT == unix.S_IFSOCK:
		e.Verdict, e.Class, e.Reason = verdictHold, "special", "FIFOs and sockets stay inside"
	default:
		e.Verdict, e.Reason = verdictHold, "an earlier change of it waits"
	}
	return e
}

// tell reports a change of n once per kind of change.
func (t *tree) tell(n *node, bit uint8, op string, s *spot) {
	t.mu.Lock()
	first := n.told&toldWrite == 0
	again := n.told&bit != 0
	n.told |= bit | toldWrite
	t.mu.Unlock()
	if !again {
		t.report.add(event(op, s), first)
	}
}

// refuse reports a refused call.
func (t *tree) refuse(op string, s *spot) {
	e := event(op, s)
	e.Verdict = verdictDeny
	t.report.add(e, false)
}
