package otlp

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A receiver is an OTLP/HTTP receiver that keeps one of each id.
type receiver struct {
	mu     sync.Mutex
	seqs   map[string][]int64 // by record, in the order in which they came
	logs   map[string]*logs.LogRecord
	spans  map[string]*trace.Span
	again  int // what came more than once
	calls  int
	header http.Header

	// answer, if it is not nil, says what a request is answered; 0: it is taken. lost says that
	// it is taken, but the sender does not learn it.
	answer func(call int, path string, n int) (status int, lost bool)
}

func newReceiver() *receiver {
	return &receiver{seqs: map[string][]int64{}, logs: map[string]*logs.LogRecord{}, spans: map[string]*trace.Span{}}
}

// answers sets answer, also while requests of a sender that was ended are answered.
func (r *receiver) answers(f func(call int, path string, n int) (status int, lost bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// kept is how many events are here.
func (r *receiver) kept() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.logs)
}

func (r *receiver) serve(t *testing.T) string {
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return s.URL
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	r.header = q.Header
	z, err := gzip.NewReader(q.Body)
	if err != nil || q.Header.Get("Content-Type") != "application/x-protobuf" || q.Method != http.MethodPost {
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	}
	b, err := io.ReadAll(z)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	keep, n, out, err := r.decode(q.URL.Path, b)
	if err != nil {
		w.WriteHeader(http.StatusTeapot) // which no test allows
		return
	}
	status, lost := 0, false
	if r.answer != nil {
		status, lost = r.answer(r.calls, q.URL.Path, n)
	}
	if status == 0 || lost {
		keep()
	}
	if lost {
		panic(http.ErrAbortHandler)
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	a, _ := proto.Marshal(out)
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(a)
}

func (r *receiver) decode(path string, b []byte) (keep func(), n int, answer proto.Message, err error) {
	switch path {
	case "/v1/logs":
		var q collogs.ExportLogsServiceRequest
		if err := proto.Unmarshal(b, &q); err != nil {
			return nil, 0, nil, err
		}
		list := q.ResourceLogs[0].ScopeLogs[0].LogRecords
		return func() { r.keepLogs(list) }, len(list), &collogs.ExportLogsServiceResponse{}, nil
	case "/v1/traces":
		var q coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(b, &q); err != nil {
			return nil, 0, nil, err
		}
		list := q.ResourceSpans[0].ScopeSpans[0].Spans
		return func() { r.keepSpans(list) }, len(list), &coltrace.ExportTraceServiceResponse{}, nil
	}
	return nil, 0, nil, fmt.Errorf("path %s", path)
}

func (r *receiver) keepLogs(list []*logs.LogRecord) {
	for _, l := range list {
		uid := textOf(l.Attributes, "log.record.uid")
		if r.logs[uid] != nil {
			r.again++
			continue
		}
		r.logs[uid] = l
		trace := string(l.TraceId)
		r.seqs[trace] = append(r.seqs[trace], intOf(l.Attributes, "belljar.seq"))
	}
}

func (r *receiver) keepSpans(list []*trace.Span) {
	for _, s := range list {
		if r.spans[string(s.SpanId)] != nil {
			r.again++
			continue
		}
		r.spans[string(s.SpanId)] = s
	}
}

func attribute(l []*common.KeyValue, key string) *common.AnyValue {
	for _, a := range l {
		if a.Key == key {
			return a.Value
		}
	}
	return nil
}

func textOf(l []*common.KeyValue, key string) string { return attribute(l, key).GetStringValue() }
func intOf(l []*common.KeyValue, key string) int64   { return attribute(l, key).GetIntValue() }

// complete checks that a record of n events is here, once and in order, as its lines.
func (r *receiver) complete(t *testing.T, id string, n int, lines [][]byte) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	seqs := r.seqs[string(traceID(id))]
	if len(seqs) != n || !slices.IsSorted(seqs) {
		t.Errorf("%s: %d events, want %d; in order: %v", id, len(seqs), n, slices.IsSorted(seqs))
	}
	for i, line := range lines {
		l := r.logs[fmt.Sprintf("%s-%d", id, i)]
		if l == nil || len(line) <= maxRaw && textOf(l.Attributes, "raw_data") != string(bytes.TrimSuffix(line, []byte("\n"))) {
			t.Fatalf("%s: event %d is not the one on record", id, i)
		}
	}
}
