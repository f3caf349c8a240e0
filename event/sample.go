package event

import (
	"maps"
	"slices"
	"time"

	"github.com/belljar-dev/belljar"
)

const (
	maxQueue = 1 << 20 // bytes of droppable events that wait for a write
	// lowRate and lowBurst say how many droppable events of one kind are written
	// one by one.
	lowRate  = 5_000 // a second, sustained
	lowBurst = 50_000
)

// A queue holds droppable events until they are written, and counts those that
// are not. It is not safe for concurrent use.
type queue struct {
	events  []queued
	bytes   int   // of events
	total   int64 // bytes ever taken
	most    int64 // bound of total
	buckets map[belljar.EventKind]*bucket
	dropped map[belljar.EventKind]int64
}

type queued struct {
	kind belljar.EventKind
	body []byte
}

type bucket struct {
	tokens float64
	last   time.Time
}

func newQueue(most int64) *queue {
	return &queue{
		most:    most,
		buckets: make(map[belljar.EventKind]*bucket),
		dropped: make(map[belljar.EventKind]int64),
	}
}

// admit says whether an event of kind k may be written now. If not, it is counted.
func (q *queue) admit(k belljar.EventKind, now time.Time) bool {
	b := q.buckets[k]
	if b == nil {
		b = &bucket{tokens: lowBurst, last: now}
		q.buckets[k] = b
	}
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(lowBurst, b.tokens+d.Seconds()*lowRate)
		b.last = now
	}
	if b.tokens < 1 || q.bytes > maxQueue || q.total > q.most {
		q.dropped[k]++
		return false
	}
	b.tokens--
	return true
}

func (q *queue) put(k belljar.EventKind, body []byte) {
	q.events = append(q.events, queued{k, body})
	q.bytes += len(body)
	q.total += int64(len(body))
}

// take empties the queue. When there is no room for what it holds, that is
// counted instead.
func (q *queue) take(room int64) []queued {
	e := q.events
	if int64(q.bytes+len(e)*lineOverhead) > room {
		for _, x := range e {
			q.dropped[x.kind]++
		}
		e = nil
	}
	q.events, q.bytes = nil, 0
	return e
}

// takeDropped returns the counts of what was not written, in order of kind, and
// starts them anew.
func (q *queue) takeDropped() []belljar.SampledEvent {
	if len(q.dropped) == 0 {
		return nil
	}
	var s []belljar.SampledEvent
	for _, k := range slices.Sorted(maps.Keys(q.dropped)) {
		s = append(s, belljar.SampledEvent{Of: k, Count: q.dropped[k]})
	}
	clear(q.dropped)
	return s
}
