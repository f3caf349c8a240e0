package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	collogs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// errBad says that the receiver does not take the data as they are.
var errBad = errors.New("the receiver calls it bad data")

// An awayError says that nothing was acknowledged; what was sent is to be sent again.
type awayError struct {
	err   error
	after time.Duration // that the receiver asks for; 0: it asks for nothing
	fault bool          // the receiver refuses, and will until something is set right
}

func (e *awayError) Error() string { return e.err.Error() }
func (e *awayError) Unwrap() error { return e.err }

const (
	requestTime = 30 * time.Second
	maxAnswer   = 64 << 10
	scopeName   = "github.com/belljar-dev/belljar"
)

// newClient is a client that follows nobody elsewhere.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       requestTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// postLogs sends list. rejected counts what the receiver left out, and says why.
func (s *sender) postLogs(ctx context.Context, d Destination, r *resource.Resource, list []*logs.LogRecord) (rejected int64, says string, err error) {
	q := &collogs.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource: r, ScopeLogs: []*logs.ScopeLogs{{Scope: scope(), LogRecords: list}},
	}}}
	var a collogs.ExportLogsServiceResponse
	if err := s.post(ctx, d, "/v1/logs", q, &a); err != nil {
		return 0, "", err
	}
	return a.GetPartialSuccess().GetRejectedLogRecords(), a.GetPartialSuccess().GetErrorMessage(), nil
}

// postSpans is postLogs for spans.
func (s *sender) postSpans(ctx context.Context, d Destination, r *resource.Resource, list []*trace.Span) (rejected int64, says string, err error) {
	q := &coltrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
		Resource: r, ScopeSpans: []*trace.ScopeSpans{{Scope: scope(), Spans: list}},
	}}}
	var a coltrace.ExportTraceServiceResponse
	if err := s.post(ctx, d, "/v1/traces", q, &a); err != nil {
		return 0, "", err
	}
	return a.GetPartialSuccess().GetRejectedSpans(), a.GetPartialSuccess().GetErrorMessage(), nil
}

func (s *sender) post(ctx context.Context, d Destination, path string, q, answer proto.Message) error {
	headers, err := s.headers.Read()
	if err != nil {
		return &awayError{err: err, fault: true}
	}
	plain, err := proto.Marshal(q)
	if err != nil {
		return fmt.Errorf("encode: %w: %w", errBad, err)
	}
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	_, _ = z.Write(plain) // into memory
	_ = z.Close()
	h, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Endpoint+path, &body)
	if err != nil {
		return &awayError{err: err, fault: true}
	}
	h.Header.Set("User-Agent", "belljar")
	for name, value := range headers {
		h.Header.Set(name, value)
	}
	h.Header.Set("Content-Type", "application/x-protobuf")
	h.Header.Set("Content-Encoding", "gzip")
	a, err := s.client.Do(h)
	if err != nil {
		return &awayError{err: err}
	}
	defer a.Body.Close()
	b, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer))
	if a.StatusCode == http.StatusOK {
		if err != nil {
			return &awayError{err: err}
		}
		_ = proto.Unmarshal(b, answer) // it was taken, whatever else it says
		return nil
	}
	return s.refused(a)
}

// refused says what an answer that is no success means, as OTLP has it.
func (s *sender) refused(a *http.Response) error {
	err := fmt.Errorf("the receiver answers %s", a.Status)
	switch a.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return &awayError{err: err, after: retryAfter(a.Header.Get("Retry-After"), s.now())}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %w", errBad, err)
	}
	return &awayError{err: err, fault: true}
}

// maxAfter is the longest pause that a receiver may ask for.
const maxAfter = time.Hour

// retryAfter reads seconds, or a date.
func retryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxAfter)
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return min(t.Sub(now), maxAfter)
	}
	return 0
}
