package otlp

import (
	"context"
	"errors"
	"github.com/belljar-dev/belljar/internal/headers"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// times are the pauses of a sender.
type times struct {
	least, most time.Duration // between attempts at a receiver that is away
	fault       time.Duration // after it refused
	poll        time.Duration // between looks at records that grow
	patience    time.Duration // without success, when nothing runs any more
}

var usual = times{least: time.Second, most: 30 * time.Second, fault: 5 * time.Minute, poll: 250 * time.Millisecond, patience: 10 * time.Minute}

// A sender sends all records of one state folder that go to one receiver.
type sender struct {
	state   string
	dest    Destination
	client  *http.Client
	headers *headers.File
	now     func() time.Time
	times   times

	streams map[string]*stream
	others  map[string]bool // records that go elsewhere
	away    *pause          // nil: the receiver answers
	success time.Time       // the last one
	over    bool            // the receiver refuses, and only a new sender can read what would mend that
}

// A pause is kept for a receiver that is away.
type pause struct {
	length time.Duration
	until  time.Time
}

func newSender(state string, d Destination, t times) *sender {
	return &sender{state: state, dest: d, client: newClient(), headers: headers.Open(d.Headers), now: time.Now, times: t, streams: map[string]*stream{}, others: map[string]bool{}}
}

// run sends until nothing is left, patience is over, or ctx is. The caller holds the lock.
func (s *sender) run(ctx context.Context) {
	s.success = s.now()
	defer func() {
		for _, t := range s.streams {
			_ = t.close(s.state, false)
		}
		clear(s.streams)
	}()
	for ctx.Err() == nil {
		left, sent := s.pass(ctx)
		if !left || s.over || s.now().Sub(s.success) > s.times.patience && !s.anyRuns() {
			return
		}
		if sent {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(s.times.poll):
		}
	}
}

// pass gives every record its turn. left says whether something is or may come to be unsent.
func (s *sender) pass(ctx context.Context) (left, sent bool) {
	ids, err := waiting(s.state)
	if err != nil {
		return false, false
	}
	if s.away != nil && s.now().Before(s.away.until) {
		return len(ids) > 0, false
	}
	for _, id := range ids {
		t := s.streams[id]
		if s.others[id] {
			continue
		}
		if t == nil {
			if t, err = openStream(s.state, id); err != nil {
				if errors.Is(err, fs.ErrNotExist) { // the record was deleted
					_ = os.Remove(filepath.Join(s.state, queueDir, id))
				}
				continue
			}
			if t.item.Destination != s.dest {
				s.others[id] = true
				_ = t.close(s.state, false)
				continue
			}
			s.streams[id] = t
		}
		more, ok := s.turn(ctx, t)
		left, sent = left || more, sent || ok
		if !more {
			delete(s.streams, id)
		}
	}
	return left, sent
}

// turn is one record's. more says whether it is to have another one.
func (s *sender) turn(ctx context.Context, t *stream) (more, sent bool) {
	sent, err := s.step(ctx, t)
	if err != nil {
		s.pause(err)
		return true, false
	}
	if sent {
		s.success = s.now()
		s.away = nil
	}
	if t.done && t.batch == nil {
		return t.close(s.state, true) != nil, sent
	}
	return true, sent
}

// pause waits longer each time, by a part that chance has: receivers are not to be met by
// all at once.
func (s *sender) pause(err error) {
	p := s.away
	if p == nil {
		p = &pause{length: s.times.least / 2}
		s.away = p
	}
	p.length = min(2*p.length, s.times.most)
	wait := p.length/2 + rand.N(p.length/2+1)
	var a *awayError
	if errors.As(err, &a) {
		switch {
		case a.fault:
			wait = s.times.fault
			s.over = s.headers.Replaced()
		case a.after > 0:
			wait = a.after
		}
	}
	p.until = s.now().Add(wait)
}

// anyRuns says whether a record is still being written.
func (s *sender) anyRuns() bool {
	for _, t := range s.streams {
		if ended, gone := t.tail.Over(); !ended && !gone {
			return true
		}
	}
	return false
}
