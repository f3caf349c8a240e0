package event

import (
	"errors"
	"fmt"
	"time"

	"github.com/belljar-dev/belljar"
)

// flush writes what is queued soon after it came, until quit. It sleeps when
// there is nothing.
func (r *Record) flush() {
	defer close(r.stopped)
	for {
		select {
		case <-r.quit:
			return
		case <-r.wake:
		}
		delay := time.NewTimer(flushDelay)
		select {
		case <-r.quit:
			delay.Stop()
			return
		case <-delay.C:
		}
		select {
		case <-r.quit:
			return
		case r.turn <- struct{}{}:
		}
		err := r.write("", nil)
		r.release()
		if err != nil {
			return
		}
		if r.uncounted() {
			time.AfterFunc(sampleEvery, r.nudge)
		}
	}
}

func (r *Record) uncounted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue.dropped) > 0
}

// write writes what is queued, then the event with body when kind is not empty.
// The caller has the turn.
func (r *Record) write(kind belljar.EventKind, body []byte) error {
	if r.err != nil {
		if kind != "" && r.err != ErrClosed {
			r.count(kind)
		}
		return r.err
	}
	r.mu.Lock()
	queued := r.queue.take(r.room())
	var counts []belljar.SampledEvent
	if now := time.Now(); now.Sub(r.sampled) >= sampleEvery && !r.over {
		if counts = r.queue.takeDropped(); counts != nil {
			r.sampled = now
		}
	}
	r.mu.Unlock()

	w := r.begin()
	for _, b := range queued {
		w.add(b.body)
	}
	if err := w.addCounts(counts); err != nil {
		return err
	}
	if kind == "" {
		return w.write()
	}
	limit := r.max
	if kind == belljar.EventLimit {
		limit += reserve / 2 // why the sandbox ends is said even when the record is full
	}
	if r.over && kind != belljar.EventLimit || r.size+int64(len(w.buf)+len(body)+lineOverhead) > limit {
		return r.overflow(w, kind)
	}
	w.add(body)
	return w.write()
}

// room is how much may still be written before the record is full.
func (r *Record) room() int64 {
	if r.over {
		return 0
	}
	return r.max - r.size
}

// overflow says, once, that the record is full, and counts the event that found it so.
func (r *Record) overflow(w *batch, kind belljar.EventKind) error {
	r.count(kind)
	if r.over {
		if err := w.write(); err != nil {
			return err
		}
		return ErrFull
	}
	r.over = true
	body, err := r.hide.encode(belljar.Event{
		Kind:  belljar.EventLimit,
		Time:  time.Now(),
		Limit: &belljar.LimitEvent{Limit: "log", Max: r.max, Used: r.size, Ended: true},
	})
	if err != nil {
		return err
	}
	w.add(body)
	err = w.write()
	r.fullOnce.Do(func() { close(r.full) })
	if err != nil {
		return err
	}
	return ErrFull
}

// A batch is a number of lines that are written by one write. It has the turn.
type batch struct {
	r    *Record
	buf  []byte
	seq  uint64
	head string
	next bool  // it begins the next segment
	err  error // why it cannot
}

func (r *Record) begin() *batch {
	return &batch{r: r, buf: r.buf[:0], seq: r.seq, head: r.head}
}

func (b *batch) add(body []byte) {
	if len(b.buf) == 0 && b.r.filled >= b.r.most {
		var first []byte
		if first, b.err = b.r.segmentLine(); b.err == nil {
			b.next = true
			b.line(first)
		}
	}
	b.line(body)
}

func (b *batch) line(body []byte) {
	b.buf, b.head = appendLine(b.buf, b.seq, b.head, body)
	b.seq++
}

func (b *batch) addCounts(counts []belljar.SampledEvent) error {
	for i := range counts {
		body, err := b.r.hide.encode(belljar.Event{Kind: belljar.EventSampled, Time: time.Now(), Sampled: &counts[i]})
		if err != nil {
			return err
		}
		b.add(body)
	}
	return nil
}

// write appends the batch to the file. When that fails, nothing of it stays, and
// the record takes no further events.
func (b *batch) write() error {
	r := b.r
	if cap(b.buf) <= 4*maxQueue {
		r.buf = b.buf
	}
	if len(b.buf) == 0 && r.due {
		return r.checkpoint(false)
	}
	if len(b.buf) == 0 {
		return nil
	}
	if err := b.append(); err != nil {
		r.err = fmt.Errorf("write record: %w", err)
		r.fullOnce.Do(func() { close(r.full) })
		return r.err
	}
	r.size += int64(len(b.buf))
	r.filled += int64(len(b.buf))
	r.seq, r.head = b.seq, b.head
	return r.checkpoint(false)
}

// append has the lines of the batch in the file, all of them or none.
func (b *batch) append() error {
	r := b.r
	switch {
	case b.err != nil:
		return b.err
	case b.next:
		return r.rotate(b.buf)
	}
	_, err := r.file.Write(b.buf)
	if err == nil {
		return nil
	}
	if terr := r.file.Truncate(r.filled); terr != nil {
		err = fmt.Errorf("%w (and its torn end stays: %w)", err, terr)
	}
	return err
}

// Close writes the end event, which closes the chain, after everything recorded
// before, anchors it and closes the file. Events that come later are refused with
// ErrClosed. It is idempotent; later calls return what the first one returned.
func (r *Record) Close(end belljar.EndEvent) error {
	r.closeOnce.Do(func() { r.closeErr = r.close(end) })
	return r.closeErr
}

func (r *Record) close(end belljar.EndEvent) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	close(r.quit)
	<-r.stopped
	r.turn <- struct{}{}
	defer r.release()
	defer func() { r.err = ErrClosed }()
	defer func() { _, _ = r.file.Close(), r.lock.Close() }() // the lock last
	defer r.heads.Close()
	defer r.key.Wipe()
	if r.err != nil {
		return r.err // the anchors will say that it has no end
	}
	if err := r.writeEnd(end); err != nil {
		return err
	}
	return errors.Join(r.checkpoint(true), anchorEnd(r))
}

func (r *Record) writeEnd(end belljar.EndEvent) error {
	r.mu.Lock()
	queued := r.queue.take(r.room())
	counts := r.queue.takeDropped()
	r.mu.Unlock()
	w := r.begin()
	for _, b := range queued {
		w.add(b.body)
	}
	if err := w.addCounts(counts); err != nil {
		return err
	}
	body, err := r.hide.encode(belljar.Event{Kind: belljar.EventEnd, Time: time.Now(), End: &end})
	if err != nil {
		return err
	}
	w.add(body)
	return w.write()
}
