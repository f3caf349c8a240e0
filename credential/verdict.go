package credential

import (
	"io"
	"net/http"
)

// A Request is the head of one HTTP request as it is about to be sent.
type Request struct {
	Host   string // canonical name that is connected to; "" when only an address is known
	Port   uint16
	Secure bool   // within TLS that the gateway verified
	Method string // upper case
	Path   string // canonical, without the query
	URI    string // as it will be written: path and query, not decoded
	Header http.Header
}

// A Leak is a stand-in in a place that is not its own.
type Leak struct {
	Credential string // its name
	Where      string // "header X-Echo", "url", "body", "trailer X-Sum"
	// Refused says that its credential is not bound to the host: the request was
	// refused or aborted, and counts as an attempt to carry the credential away.
	// Otherwise the stand-in was forwarded as it is.
	Refused bool
}

// A Verdict says what becomes of a request and follows it until its answer ended.
type Verdict struct {
	// Refuse says why the request is not sent: one sentence without a period,
	// printable; empty when it is sent.
	Refuse string
	Fix    string // the next step, one sentence without a period; may be empty
	// Status is the answer to give when Refuse is set: 403, or 503 when the
	// credential has no value yet.
	Status int
	// Injected names the credentials whose values are in the header now.
	Injected []string
	Cut      []string // headers that were taken out, canonical
	Leaks    []Leak
}

// Body wraps the body of the request (nil stays nil). What is read from it is body,
// byte for byte. A stand-in in it is told to report, once for each credential; when
// its credential is not bound to the host, Read returns a *[LeakError] instead of the
// bytes that would complete it: abort the request. report may be nil and is called by
// Read. Close closes body.
func (v *Verdict) Body(body io.ReadCloser, report func(Leak)) io.ReadCloser { return body }

// Trailer judges the trailers of the request once Body is read to its end. It returns
// a *[LeakError] when the request must be aborted; trailers that carry credentials
// are deleted from h.
func (v *Verdict) Trailer(h http.Header, report func(Leak)) error { return nil }

// Response takes the real values out of an answer: in h, which it changes, and in
// what is read from the returned body. The length stays the same. What has arrived is
// passed on at once unless it may be the beginning of a value. It also learns that the
// upstream did not accept a value (status 401). Call it for the final answer; for
// answers 1xx and trailers call [Verdict.Scrub]. After 101 the body is the stream from
// the upstream.
//
// The error says that the answer cannot be searched: it is encoded although the
// request asked for it not to be. The answer must not be passed on then.
func (v *Verdict) Response(status int, h http.Header, body io.ReadCloser) (io.ReadCloser, error) {
	return body, nil
}

// Scrub takes the real values out of h (an answer 1xx, trailers).
func (v *Verdict) Scrub(h http.Header) {}

// Clean takes the real values out of a text, such as an error of the connection to
// the upstream.
func (v *Verdict) Clean(s string) string { return s }

// A LeakError is what [Verdict.Body] reads as when the request must be aborted.
type LeakError struct{ Leak Leak }

// Error says what was found, without the stand-in.
func (e *LeakError) Error() string {
	return "the stand-in of " + e.Leak.Credential + " was found in the " + e.Leak.Where + " of a request to a host that it is not for"
}
