package gvisor

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
)

// maxOpeners bounds the questions that wait for the sentry at a time.
const maxOpeners = 1024

// openers are the questions who opened a connection. Its zero value has none.
type openers struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan belljar.Opened // each has room for one
}

var _ belljar.Opener = (*instance)(nil)

// Opened implements [belljar.Opener].
func (in *instance) Opened(ctx context.Context, from, to netip.AddrPort, began time.Time) (belljar.Opened, error) {
	if scopeOf(in.plan) == nil {
		return belljar.Opened{}, errors.New("the plan has no credential that is for some programs")
	}
	q := &in.openers
	id, answer, err := q.begin()
	if err != nil {
		return belljar.Opened{}, err
	}
	defer q.over(id)
	if err := in.events.ask(encodeQuestion(id, from, to, monotonic()-int64(time.Since(began)))); err != nil {
		return belljar.Opened{}, err
	}
	select {
	case o := <-answer:
		return o, nil
	case <-in.ended:
		return belljar.Opened{}, errors.New("the sandbox has ended")
	case <-ctx.Done():
		return belljar.Opened{}, ctx.Err()
	}
}

func (q *openers) begin() (uint64, chan belljar.Opened, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxOpeners {
		return 0, nil, errors.New("too many questions who opened a connection")
	}
	if q.waiting == nil {
		q.waiting = map[uint64]chan belljar.Opened{}
	}
	q.last++
	c := make(chan belljar.Opened, 1)
	q.waiting[q.last] = c
	return q.last, c, nil
}

// over takes a question out; nil when there is none of that number.
func (q *openers) over(id uint64) chan belljar.Opened {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.waiting[id]
	delete(q.waiting, id)
	return c
}

// take hands an answer to whoever asked.
func (q *openers) take(id uint64, o belljar.Opened) {
	if c := q.over(id); c != nil {
		c <- o
	}
}

// ask sends a message to the sentry.
func (r *eventReader) ask(b []byte) error {
	for {
		_, err := unix.Write(int(r.sock.Fd()), b)
		if err != unix.EINTR {
			return err
		}
	}
}
