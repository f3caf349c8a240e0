package event

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
)

// DefaultMaxBytes bounds a record when [CreateOptions] does not.
const DefaultMaxBytes = 4 << 30

// reserve is room behind the bound of a record for what is said at the end:
// limits, counts, the end itself.
const reserve = 64 << 10

const (
	flushDelay  = 20 * time.Millisecond // for droppable events
	mostLost    = 2 * flushDelay        // of them by a kill, where the machine is not so busy that it takes longer
	sampleEvery = time.Second           // between two counts of what was not written
)

var (
	// ErrFull says that the record has reached its bound and takes no more events.
	ErrFull = errors.New("the record is full")
	// ErrClosed says that the record has been closed.
	ErrClosed = errors.New("the record is closed")
)

// A Record is the open record of one running sandbox. Its methods are safe for
// concurrent use.
type Record struct {
	id, path string
	state    string
	max      int64
	most     int64    // bytes of a segment
	lock     *os.File // the first segment: only read, and locked as long as this process writes
	file     *os.File // the last segment
	heads    *os.File // the signed head beside it
	key      *Key     // of this record only
	hide     redactor
	seen     []Witness

	// turn is held by whoever writes; a channel, so that waiting for it can end
	// with a context. It guards the fields below.
	turn    chan struct{}
	seq     uint64
	head    string
	size    int64 // of all segments
	segment int   // which one file is
	filled  int64 // bytes of it
	buf     []byte
	sampled time.Time
	headed  time.Time // when the head was signed last
	due     bool      // it is to be signed again
	err     error     // why nothing can be written any more
	over    bool      // the bound has been reached

	full     chan struct{}
	fullOnce sync.Once

	mu     sync.Mutex // never held during a write
	queue  *queue
	closed bool

	wake    chan struct{} // capacity 1
	quit    chan struct{}
	stopped chan struct{}

	closeOnce sync.Once
	closeErr  error
}

var _ belljar.EventSink = (*Record)(nil)

// ID is the id of the sandbox whose record this is.
func (r *Record) ID() string { return r.id }

// Path is the first file that the record is written to.
func (r *Record) Path() string { return r.path }

// Full is closed when the record cannot take any more events that must not be
// lost: it has reached its bound or cannot be written. The sandbox is then to be
// stopped. [Record.Err] says why.
func (r *Record) Full() <-chan struct{} { return r.full }

// Err says why [Record.Full] is closed: [ErrFull], or the error of the write. It
// returns nil as long as the record takes events.
func (r *Record) Err() error {
	r.turn <- struct{}{}
	defer r.release()
	if r.err == nil && r.over {
		return ErrFull
	}
	return r.err
}

// Record writes e. For a kind that is not droppable it returns once the event,
// and everything recorded before it, is in the kernel: the event then survives a
// kill of this process. It waits for the writes of others, at most until ctx is
// done, and returns ErrFull or ErrClosed, or the error of the write, when the
// event is not on record.
//
// Droppable kinds are queued and Record returns at once: they are written within
// milliseconds, or counted in a sampled event when there are too many of them.
func (r *Record) Record(ctx context.Context, e belljar.Event) error {
	switch e.Kind {
	case belljar.EventStart, belljar.EventEnd:
		return fmt.Errorf("event of kind %q is written by Create and Close only", e.Kind)
	case "":
		return errors.New("event without a kind")
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.Kind.Droppable() {
		return r.enqueue(e)
	}
	body, err := r.hide.encode(e)
	if err != nil {
		return err
	}
	select {
	case r.turn <- struct{}{}:
	default:
		select {
		case r.turn <- struct{}{}:
		case <-ctx.Done():
			r.count(e.Kind)
			return fmt.Errorf("record event: %w", ctx.Err())
		}
	}
	defer r.release()
	return r.write(e.Kind, body)
}

func (r *Record) release() { <-r.turn }

// encode makes the body of a line, bounded and without secrets.
func (r redactor) encode(e belljar.Event) ([]byte, error) {
	e.Time = e.Time.UTC().Round(0)
	e = r.redact(clean(e))
	body, err := appendBody(nil, e)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	if len(body) <= maxLine-4096 {
		return body, nil
	}
	if e.Plan == nil {
		return nil, fmt.Errorf("encode event: %d bytes are too long", len(body))
	}
	// Its rules are in the policy, whose hash is in the start event.
	p := *e.Plan
	p.Network.Rules, p.Workspace.Hide, p.Workspace.Hold, p.Mounts, p.Env = nil, nil, nil, nil, nil
	p.Enforcement = append(p.Enforcement[:len(p.Enforcement):len(p.Enforcement)], belljar.Enforcement{
		Requirement: "record-plan", Level: belljar.Approximate,
		Gap: "the plan was too long for the record: rules, patterns, mounts and environment are left out",
	})
	e.Plan = &p
	return appendBody(nil, e)
}

func (r *Record) count(k belljar.EventKind) {
	r.mu.Lock()
	r.queue.dropped[k]++
	r.mu.Unlock()
}

func (r *Record) enqueue(e belljar.Event) error {
	r.mu.Lock()
	switch {
	case r.closed:
		r.mu.Unlock()
		return ErrClosed
	case !r.queue.admit(&e, time.Now()):
		r.mu.Unlock()
		r.nudge() // so that the count is written
		return nil
	}
	r.mu.Unlock()

	body, err := r.hide.encode(e)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.queue.put(e.Kind, body)
	r.nudge()
	return nil
}

func (r *Record) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
