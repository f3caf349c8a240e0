package gateway

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
)

const (
	// Refusals are written one by one up to refusalBurst, then refusalRate a
	// second; beyond that they are counted and told together.
	refusalBurst = 256
	refusalRate  = 32
	// maxText bounds a text that is kept: paths come from inside.
	maxText = 1 << 10
	// maxKept bounds what the summary and the open counts remember.
	maxKept = 1024
	// tellEvery is how often counts of repeated refusals are written.
	tellEvery = 10 * time.Second
)

// A Summary says what a sandbox reached and what it was refused.
type Summary struct {
	Reached []HostCount // by number of connections, most first
	Refused []Refusal   // in the order in which they happened first
	// Others counts connections and refusals that the lists had no room for.
	Others int64
	// Models is what requests to models used, Calls how many there were.
	Models belljar.LLMSpent
	Calls  int64
}

// A HostCount counts the connections to one host.
type HostCount struct {
	Host           string
	Port           uint16
	Count          int64
	Sent, Received int64
}

// A Refusal is something that was asked for and not allowed.
type Refusal struct {
	Host    string // name or address; empty when the packet named none
	Port    uint16
	Proto   string // as in [belljar.NetEvent]
	Reason  string
	Fix     string // the line that would allow it; empty when none can
	Nearest *belljar.Origin
	Count   int64
}

type refusalKey struct {
	proto, host, reason string
	port                uint16
}

type refusal struct {
	Refusal
	t      target
	what   belljar.NetEvent // method, path, status and credential of a request
	untold int64
}

type reachedKey struct {
	host string
	port uint16
}

// A recorder writes events and keeps the summary. Identical refusals are one
// event, written at once, and later one with their number.
type recorder struct {
	sink belljar.EventSink

	mu      sync.Mutex
	refused map[refusalKey]*refusal
	order   []refusalKey
	reached map[reachedKey]*HostCount
	bucket  bucket
	over    map[string]int64 // refusals beyond the rate, by protocol
	limit   map[string]time.Time
	others  int64
	tried   tried
}

func newRecorder(sink belljar.EventSink) *recorder {
	return &recorder{
		sink:    sink,
		refused: make(map[refusalKey]*refusal),
		reached: make(map[reachedKey]*HostCount),
		bucket:  bucket{rate: refusalRate, burst: refusalBurst},
		over:    make(map[string]int64),
		limit:   make(map[string]time.Time),
	}
}

func origin(r *belljar.NetRule) *belljar.Origin {
	if r == nil {
		return nil
	}
	o := r.Origin
	return &o
}

// clip cuts a text at maxText.
func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}

// refuse records that t was refused; when it returns, the first of its kind is
// written.
func (r *recorder) refuse(ctx context.Context, proto string, t target, d belljar.Decision) {
	r.refuseRequest(ctx, proto, t, d, belljar.NetEvent{})
}

// refuseRequest is refuse for a request: what has its method, path, status and
// credential.
func (r *recorder) refuseRequest(ctx context.Context, proto string, t target, d belljar.Decision, what belljar.NetEvent) {
	if len(d.Fix) > maxText {
		d.Fix = "" // cut it would say something else
	}
	if d.Missing && t.host != "" {
		r.tried.add(attempted{t.host, t.port, what.Method, what.Path})
	}
	d.Reason, what.Path = clip(d.Reason), clip(what.Path)
	what.Missing = d.Missing
	x := Refusal{Port: t.port, Proto: proto, Reason: d.Reason, Fix: d.Fix, Nearest: origin(d.Nearest), Count: 1}
	if t.host != "" || t.addr.IsValid() {
		x.Host = t.name()
	}
	key := refusalKey{proto, x.Host, x.Reason, x.Port}
	r.mu.Lock()
	if old := r.refused[key]; old != nil {
		old.Count++
		old.untold++
		r.mu.Unlock()
		return
	}
	if len(r.refused) >= maxKept || !r.bucket.take(time.Now()) {
		r.over[proto]++
		r.others++
		r.mu.Unlock()
		return
	}
	y := &refusal{Refusal: x, t: t, what: what}
	r.refused[key] = y
	r.order = append(r.order, key)
	r.mu.Unlock()
	r.write(ctx, y.event())
}

// overflow counts a refusal that is not written one by one.
func (r *recorder) overflow(proto string) {
	r.mu.Lock()
	r.over[proto]++
	r.others++
	r.mu.Unlock()
}

func (x *refusal) event() belljar.Event {
	n := &belljar.NetEvent{
		Proto: x.Proto, Host: x.t.host, Port: x.Port, Nearest: x.Nearest, Reason: x.Reason, Fix: x.Fix,
		Missing: x.what.Missing, Method: x.what.Method, Path: x.what.Path, Status: x.what.Status, Credential: x.what.Credential, Program: x.what.Program,
	}
	if x.t.addr.IsValid() {
		n.Addr = x.t.addr.String()
	}
	return belljar.Event{Kind: belljar.EventRefuse, Net: n}
}

// connected records a connection that ended or failed.
func (r *recorder) connected(ctx context.Context, n belljar.NetEvent) {
	host := cmp.Or(n.Host, n.Addr)
	if n.Reason == "" {
		r.mu.Lock()
		key := reachedKey{host, n.Port}
		c := r.reached[key]
		if c == nil && len(r.reached) < maxKept {
			c = &HostCount{Host: host, Port: n.Port}
			r.reached[key] = c
		}
		if c != nil {
			c.Count++
			c.Sent += n.Sent
			c.Received += n.Received
		} else {
			r.others++
		}
		r.mu.Unlock()
	}
	r.write(ctx, belljar.Event{Kind: belljar.EventConnect, Net: &n})
}

// request records a request that was sent and has ended.
func (r *recorder) request(ctx context.Context, n belljar.NetEvent) {
	r.write(ctx, belljar.Event{Kind: belljar.EventRequest, Net: &n})
}

// limited records that a limit was reached, at most every tellEvery.
func (r *recorder) limited(ctx context.Context, name string, most, used int64) {
	r.mu.Lock()
	last, told := r.limit[name]
	now := time.Now()
	if told && now.Sub(last) < tellEvery {
		r.mu.Unlock()
		return
	}
	r.limit[name] = now
	r.mu.Unlock()
	r.write(ctx, belljar.Event{Kind: belljar.EventLimit, Limit: &belljar.LimitEvent{Limit: name, Max: most, Used: used}})
}

// tell writes the counts of repeated refusals.
func (r *recorder) tell(ctx context.Context) {
	var events []belljar.Event
	r.mu.Lock()
	for _, k := range r.order {
		x := r.refused[k]
		if x.untold == 0 {
			continue
		}
		e := x.event()
		e.Net.Count, x.untold = x.untold, 0
		events = append(events, e)
	}
	for proto, n := range r.over {
		events = append(events, belljar.Event{Kind: belljar.EventRefuse, Net: &belljar.NetEvent{
			Proto: proto, Count: n, Reason: "more refusals than are written one by one",
		}})
	}
	clear(r.over)
	r.mu.Unlock()
	for _, e := range events {
		r.write(ctx, e)
	}
}

// write hands e to the record. A record that fails is the supervisor's matter:
// it sees the same error and ends the run.
func (r *recorder) write(ctx context.Context, e belljar.Event) {
	_ = r.sink.Record(context.WithoutCancel(ctx), e)
}

func (r *recorder) summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Summary{Others: r.others}
	for _, c := range r.reached {
		s.Reached = append(s.Reached, *c)
	}
	slices.SortFunc(s.Reached, func(a, b HostCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	for _, k := range r.order {
		s.Refused = append(s.Refused, r.refused[k].Refusal)
	}
	return s
}

// A bucket lets burst things through at once and rate a second after that. The
// zero time fills it.
type bucket struct {
	rate, burst float64
	have        float64
	last        time.Time
}

func (b *bucket) take(now time.Time) bool {
	if b.last.IsZero() {
		b.have = b.burst
	} else {
		b.have = min(b.burst, b.have+now.Sub(b.last).Seconds()*b.rate)
	}
	b.last = now
	if b.have < 1 {
		return false
	}
	b.have--
	return true
}
