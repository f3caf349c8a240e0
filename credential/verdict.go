package credential

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/terminal"
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
	// Wait says that somebody has to allow the request first: no source is read and no value
	// put in before [Verdict.Put].
	Wait bool
	// Opened says which program opened the connection; it is asked at most once, and only
	// for a credential that is for some programs. Nil: nobody knows, and such a one is put
	// into nothing.
	Opened func(context.Context) (belljar.Opened, error)
}

// A Leak is a stand-in in a place that is not its own.
type Leak struct {
	Credential string // its name
	Where      string // "header X-Echo", "name of a header", "method", "url", "body", "trailer X-Sum"
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
	Program  string   // that opened the connection, where that was asked
	Leaks    []Leak

	put      func(context.Context, http.Header) // what waits; nil: nothing
	keys     *Keys
	host     string
	bound    bool // a credential is bound to the host
	talk     bool // the body is a conversation
	injected []int
	puts     []put
	foreign  func(id int) bool // a credential that is not bound to the host
}

// Put puts the values into h, the header of a request that waited ([Request.Wait]) and is
// about to be sent. It may set Refuse, Fix and Status, and sets Injected. Call it before Body.
func (v *Verdict) Put(ctx context.Context, h http.Header) {
	if put := v.put; put != nil {
		v.put = nil
		put(ctx, h)
	}
}

// A LeakError is what [Verdict.Body] reads as when the request must be aborted.
type LeakError struct {
	Leak Leak
	Host string
}

// Error says what was found, without the stand-in.
func (e *LeakError) Error() string {
	return fmt.Sprintf("%s: the %s holds the stand-in of %s, which is not for this host", e.Host, e.Leak.Where, e.Leak.Credential)
}

// ids lists the credentials whose texts are in s, each once.
func (f *finder) ids(s string) (all []int) {
	if f == nil || len(s) < minFound {
		return nil
	}
	for _, m := range f.find([]byte(s)) {
		if !slices.Contains(all, m.id) {
			all = append(all, m.id)
		}
	}
	return all
}

// Body wraps the body of the request (nil stays nil). What is read from it is body,
// byte for byte. A stand-in in it is told to report, once for each credential; when
// its credential is not bound to the host, Read returns a *[LeakError] instead of the
// bytes that would complete it: abort the request. In a conversation with a model it is
// forwarded all the same, since what a tool printed once is in every later request.
// report may be nil and is called by Read. Close closes body.
func (v *Verdict) Body(body io.ReadCloser, report func(Leak)) io.ReadCloser {
	if body == nil || body == http.NoBody || v.keys == nil || v.keys.marks == nil {
		return body
	}
	told := map[int]bool{}
	return &stream{src: body, judge: func(b []byte, ended bool) (int, error) {
		hold := v.keys.marks.open
		if ended {
			hold = whole
		}
		settled := hold(b, 0)
		for _, m := range v.keys.marks.find(b) {
			if m.start >= settled {
				break
			}
			if err := v.tell(m.id, "body", told, report); err != nil {
				return 0, err
			}
			if m.end > settled {
				settled = hold(b, m.end)
			}
		}
		return settled, nil
	}}
}

// tell reports a stand-in that was found where it does not belong.
func (v *Verdict) tell(id int, where string, told map[int]bool, report func(Leak)) error {
	l := Leak{Credential: v.keys.entries[id].plan.Name, Where: where, Refused: v.foreign(id) && !v.talk}
	if !told[id] && report != nil {
		report(l)
	}
	told[id] = true
	if l.Refused {
		return &LeakError{Leak: l, Host: v.host}
	}
	return nil
}

// Trailer judges the trailers of the request once Body is read to its end. It returns
// a *[LeakError] when the request must be aborted; trailers that carry credentials
// to a host that credentials are bound to are deleted from h.
func (v *Verdict) Trailer(h http.Header, report func(Leak)) error {
	if v.keys == nil {
		return nil
	}
	for _, name := range sorted(h) {
		told := map[int]bool{}
		for _, value := range h[name] {
			for _, id := range v.keys.marks.ids(value) {
				if err := v.tell(id, "trailer "+terminal.Escape(name), told, report); err != nil {
					return err
				}
			}
		}
		if v.bound && (carriesCredential(name) || name == "Cookie" || slices.ContainsFunc(v.keys.entries, func(e *entry) bool { return e.place == plainName(name) })) {
			delete(h, name)
		}
	}
	return nil
}

// Response takes the real values out of an answer: in h, which it changes, and in
// what is read from the returned body, in the same length, also those that become known
// while it is read. What has arrived is passed on at once but for the run of characters
// at its end in which any value might begin: that waits for more, one of less than 8 for a
// second at most.
// Close may be called while it is read. It also learns that the
// upstream did not accept a value (status 401). Call it for the final answer; for
// answers 1xx and trailers call [Verdict.Scrub]. After 101 the body is the stream from
// the upstream; where it is an [io.Writer] too, what is returned is one.
//
// An answer that is encoded with gzip or deflate, although the request asked for it
// not to be, is decoded: Content-Encoding and Content-Length leave h. The error says
// that the answer cannot be searched (another encoding, a part of an encoded answer):
// it must not be passed on then. For the answer to HEAD, body is nil or http.NoBody.
func (v *Verdict) Response(status int, h http.Header, body io.ReadCloser) (io.ReadCloser, error) {
	if !v.bound || ablate.Off(ablate.Answers) {
		return body, nil
	}
	if status == http.StatusUnauthorized {
		for _, i := range v.injected {
			v.keys.entries[i].rejected.Store(true)
		}
	}
	v.Scrub(h)
	if body == nil || body == http.NoBody || !v.keys.findable() {
		return body, nil
	}
	if coding := contentCoding(h); coding != "" && !empty(status, h) {
		if !decodes(coding) || status == http.StatusPartialContent {
			return nil, fmt.Errorf("%s: the answer is encoded (%s) although that was not asked for: it cannot be searched for credentials",
				v.host, terminal.Escape(coding))
		}
		delete(h, "Content-Encoding")
		delete(h, "Content-Length")
		body = &decoded{src: body, coding: coding}
	}
	clean := &answer{src: body, keys: v.keys, now: &known{abc: v.keys.abc}}
	if w, ok := body.(io.Writer); ok && status == http.StatusSwitchingProtocols {
		clean.ws = &frames{}
		return struct {
			*answer
			io.Writer
		}{clean, w}, nil
	}
	return clean, nil
}

// empty says whether an answer has no body whatever its headers say.
func empty(status int, h http.Header) bool {
	return status < 200 || status == http.StatusNoContent || status == http.StatusNotModified || h.Get("Content-Length") == "0"
}

// Scrub takes the real values out of h (an answer 1xx, trailers); a field with one in its
// name is dropped.
func (v *Verdict) Scrub(h http.Header) {
	if !v.bound {
		return
	}
	for name, values := range h {
		// Names arrive in a case that is not the sender's.
		if low := strings.ToLower(name); v.keys.Clean(name) != name || v.keys.Clean(low) != low {
			delete(h, name)
		}
		for i := range values {
			values[i] = v.keys.Clean(values[i])
		}
	}
}
