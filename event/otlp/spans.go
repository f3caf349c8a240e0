package otlp

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"
)

// spans makes spans of the events of one record, in their order.
type spans struct {
	id    string
	began time.Time
	name  string
	argv  []string
	last  time.Time
	over  bool
	open  map[int]*open // by pid: what it executed last
}

// An open span is one that has not ended.
type open struct {
	seq    uint64
	at     time.Time
	parent []byte
	exec   belljar.ExecEvent
}

func newSpans(id string) *spans { return &spans{id: id, open: map[int]*open{}} }

// take adds an event, and returns the spans that it ends.
func (s *spans) take(e *event.Entry) []*trace.Span {
	s.last = e.Time
	switch {
	case e.Start != nil:
		s.began, s.name, s.argv = e.Time, e.Start.Name, e.Start.Argv
	case e.Exec != nil:
		return s.exec(e)
	case e.Exit != nil:
		o := s.open[e.Exit.PID]
		if o == nil {
			return nil
		}
		delete(s.open, e.Exit.PID)
		status := e.Exit.Status.Status()
		return []*trace.Span{s.span(o, e.Time, &status)}
	case e.End != nil:
		s.over = true
		return append(s.rest(e.Time), s.run(e.Time, string(e.End.Reason), e.End.End.Reason == belljar.EndExited && e.End.Status == 0, int64(e.End.Status)))
	}
	return nil
}

func (s *spans) exec(e *event.Entry) []*trace.Span {
	o := &open{seq: e.Seq, at: e.Time, parent: spanID(s.id, 0), exec: belljar.ExecEvent{
		PID: e.Exec.PID, Parent: e.Exec.Parent, Path: e.Exec.Path, Refused: e.Exec.Refused, Dir: e.Exec.Dir,
	}}
	o.exec.Called = clip(event.Command(e.Exec.Argv)) // kept as text: arguments may be large
	if up := s.open[e.Exec.Parent]; up != nil {
		o.parent = spanID(s.id, up.seq)
	}
	if e.Exec.Refused != "" { // nothing was begun
		return []*trace.Span{s.span(o, e.Time, nil)}
	}
	var out []*trace.Span
	if before := s.open[e.Exec.PID]; before != nil { // the process has become another program
		out = append(out, s.span(before, e.Time, nil))
	}
	s.open[e.Exec.PID] = o
	return out
}

// killed are the spans that are left of a record without an end.
func (s *spans) killed() []*trace.Span {
	if s.over || s.began.IsZero() {
		return nil
	}
	s.over = true
	return append(s.rest(s.last), s.run(s.last, "killed", false, -1))
}

func (s *spans) rest(at time.Time) []*trace.Span {
	var out []*trace.Span
	for _, o := range slices.SortedFunc(maps.Values(s.open), func(a, b *open) int { return cmp.Compare(a.seq, b.seq) }) {
		out = append(out, s.span(o, at, nil))
	}
	clear(s.open)
	return out
}

func (s *spans) run(at time.Time, reason string, ok bool, status int64) *trace.Span {
	a := attributes{str("belljar.sandbox.id", s.id)}
	a.str("process.command_line", event.Command(s.argv))
	a.str("belljar.end", reason)
	if status >= 0 {
		a = append(a, num("process.exit.code", status))
	}
	x := &trace.Span{
		TraceId: traceID(s.id), SpanId: spanID(s.id, 0), Name: clip("run " + s.name), Kind: trace.Span_SPAN_KIND_INTERNAL,
		StartTimeUnixNano: nanos(s.began), EndTimeUnixNano: nanos(at), Attributes: a, Status: &trace.Status{Code: trace.Status_STATUS_CODE_OK},
	}
	if !ok {
		x.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR, Message: clip(reason)}
	}
	return x
}

// span is o, ended at a time; status is nil where no exit status belongs to it.
func (s *spans) span(o *open, at time.Time, status *int) *trace.Span {
	a := attributes{num("process.pid", int64(o.exec.PID)), str("process.executable.path", o.exec.Path), str("process.command_line", o.exec.Called)}
	a.str("process.working_directory", o.exec.Dir)
	x := &trace.Span{
		TraceId: traceID(s.id), SpanId: spanID(s.id, o.seq), ParentSpanId: o.parent, Name: clip(path.Base(o.exec.Path)), Kind: trace.Span_SPAN_KIND_INTERNAL,
		StartTimeUnixNano: nanos(o.at), EndTimeUnixNano: nanos(at), Status: &trace.Status{},
	}
	switch {
	case o.exec.Refused != "":
		x.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR, Message: clip(o.exec.Refused)}
	case status != nil && *status != 0:
		x.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR}
	case status != nil:
		x.Status = &trace.Status{Code: trace.Status_STATUS_CODE_OK}
	}
	if status != nil {
		a = append(a, num("process.exit.code", int64(*status)))
	}
	x.Attributes = a
	return x
}
