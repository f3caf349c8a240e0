package backendtest

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
)

// A recorder is an event sink that keeps everything.
type recorder struct {
	mu     sync.Mutex
	events []belljar.Event
	more   chan struct{} // closed at the next event, when somebody waits for it
	fail   error         // answer of Record
	hold   chan struct{} // Record waits for it to be closed, when set
}

// Record implements [belljar.EventSink].
func (r *recorder) Record(_ context.Context, e belljar.Event) error {
	r.mu.Lock()
	hold := r.hold
	r.mu.Unlock()
	if hold != nil {
		<-hold
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.events = append(r.events, e)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
	return nil
}

// next is closed when an event arrives after this call.
func (r *recorder) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.more == nil {
		r.more = make(chan struct{})
	}
	return r.more
}

// settled is the record with everything in it that has happened in the box before
// the call. A tier may record a little later than it happens, but in order: so a
// command is run and its record waited for.
func (s *box) settled() *recorder {
	s.t.Helper()
	marker := ": settled " + s.t.Name()
	before := len(s.events.execs(marker))
	s.sh(marker)
	for late := time.After(patience); ; {
		next := s.events.next()
		if len(s.events.execs(marker)) > before {
			return s.events
		}
		select {
		case <-next:
		case <-late:
			s.t.Fatal("a command is not on record")
		}
	}
}

func (r *recorder) set(fail error, hold chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail, r.hold = fail, hold
}

// execs are the recorded executions whose arguments contain all words.
func (r *recorder) execs(words ...string) []belljar.ExecEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []belljar.ExecEvent
next:
	for _, e := range r.events {
		if e.Exec == nil {
			continue
		}
		for _, w := range words {
			if !slices.Contains(e.Exec.Argv, w) {
				continue next
			}
		}
		out = append(out, *e.Exec)
	}
	return out
}

func (r *recorder) exits(pid int) []belljar.ExitEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []belljar.ExitEvent
	for _, e := range r.events {
		if e.Exit != nil && e.Exit.PID == pid {
			out = append(out, *e.Exit)
		}
	}
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }

func quote(s string) string {
	const most = 400
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

func lines(s string) []string {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
