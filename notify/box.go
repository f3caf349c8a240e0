package notify

import (
	"context"
	"sync"
	"time"
)

// The pace of notes about what waits: so many in a span.
const (
	atOnce = 3
	span   = time.Minute
)

// A box holds what one way of telling has not told yet: one note of what waits, and the end.
type box struct {
	wake  chan struct{} // has room for one
	ended chan struct{} // closed with the end

	mu    sync.Mutex
	waits *Note // the newest
	more  int   // that it stands for beside itself
	end   *Note
	over  bool // nothing comes any more
}

func newBox() *box { return &box{wake: make(chan struct{}, 1), ended: make(chan struct{})} }

// put adds n. The end takes the place of whatever waits: nothing waits any more.
func (b *box) put(n Note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
	case n.Event == Ends:
		b.end, b.waits, b.over = &n, nil, true
		close(b.ended)
	case b.waits != nil:
		b.more += 1 + b.waits.More
		fallthrough
	default:
		b.waits = &n
	}
	b.signal()
}

// shut says that nothing comes any more.
func (b *box) shut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.over, b.waits = true, nil
		close(b.ended)
	}
	b.signal()
}

func (b *box) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take is what is to be told next, if there is something; over says that nothing comes any more.
func (b *box) take() (n *Note, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n = b.end; n != nil {
		b.end = nil
		return n, true
	}
	if n = b.waits; n != nil {
		n.More += b.more
		b.waits, b.more = nil, 0
	}
	return n, b.over
}

// run tells what is put into b until the end was told, or ctx is over.
func (b *box) run(ctx context.Context, tell func(context.Context, Note)) {
	var told []time.Time // what waits, the last ones
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}
		if len(told) == atOnce {
			select {
			case <-time.After(time.Until(told[0].Add(span))):
			case <-b.ended:
			case <-ctx.Done():
				return
			}
		}
		n, over := b.take()
		if n != nil {
			if n.Event == Waits {
				if told = append(told, time.Now()); len(told) > atOnce {
					told = told[1:]
				}
			}
			n.complete()
			tell(ctx, *n)
		}
		if over && (n == nil || n.Event == Ends) {
			return
		}
	}
}
