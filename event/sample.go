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
	// maxHosts bounds the hosts that are told apart; the first connections and
	// requests to each are noteworthy.
	maxHosts       = 4096
	noteworthyHost = 16
)

// A queue holds droppable events until they are written, and counts those that
// are not. Noteworthy ones have a share of their own, so that a flood of ordinary
// ones cannot hide them. It is not safe for concurrent use.
type queue struct {
	events  []queued
	bytes   int   // of events
	total   int64 // bytes ever taken
	most    int64 // bound of total
	buckets map[lane]*bucket
	hosts   map[string]int // by kind and host, up to noteworthyHost
	dropped map[belljar.EventKind]int64
}

type queued struct {
	kind belljar.EventKind
	body []byte
}

// A lane is a sort of events that are limited together.
type lane struct {
	kind       belljar.EventKind
	noteworthy bool
}

type bucket struct {
	tokens float64
	last   time.Time
}

func newQueue(most int64) *queue {
	return &queue{
		most:    most,
		buckets: make(map[lane]*bucket),
		hosts:   make(map[string]int),
		dropped: make(map[belljar.EventKind]int64),
	}
}

// noteworthy says whether e tells more than ordinary work does: a file that did
// not simply pass or that something executes, one of the first connections or requests to a host.
func (q *queue) noteworthy(e *belljar.Event) bool {
	switch {
	case e.File != nil:
		return e.File.Verdict != "pass" || e.File.Class != ""
	case e.Net != nil:
		host := string(e.Kind) + " " + e.Net.Host
		n, known := q.hosts[host]
		if n == noteworthyHost || !known && len(q.hosts) == maxHosts {
			return false
		}
		q.hosts[host] = n + 1
	}
	return true
}

// admit says whether e may be written now. If not, it is counted.
func (q *queue) admit(e *belljar.Event, now time.Time) bool {
	l := lane{e.Kind, q.noteworthy(e)}
	b := q.buckets[l]
	if b == nil {
		b = &bucket{tokens: lowBurst, last: now}
		q.buckets[l] = b
	}
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(lowBurst, b.tokens+d.Seconds()*lowRate)
		b.last = now
	}
	mostBytes, mostTotal := maxQueue, q.most
	if !l.noteworthy {
		mostBytes, mostTotal = maxQueue/2, q.most/2
	}
	if b.tokens < 1 || q.bytes > mostBytes || q.total > mostTotal {
		q.dropped[e.Kind]++
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
