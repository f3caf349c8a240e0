package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential"
	"github.com/belljar-dev/belljar/gateway/git"
	"github.com/belljar-dev/belljar/gateway/h1"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
)

// A replyError carries the answer to a request that could not be sent.
type replyError struct{ *httpproxy.Reply }

func (e *replyError) Error() string { return e.Reason }

// An exchange is one request that is sent and its answer: it follows both to their
// ends, keeps real keys out of what comes back, and puts it on record. It is used once.
type exchange struct {
	g     *Gateway
	ctx   context.Context // of Run
	t     target
	quick *h1.Client // for what it takes, in place of rt; nil: none
	rt    http.RoundTripper
	v     *credential.Verdict // nil: no credentials
	leave func()              // gives the request's slot back; may be nil
	most  int64               // of the answer's body; 0: any length
	// ask waits until somebody outside allows it, and puts credentials into its header, or
	// says how it is refused; nil: it is allowed.
	ask func(context.Context, http.Header) *httpproxy.Reply
	// ended completes the event before it is written; nil: it is complete.
	ended func(e *belljar.NetEvent)

	began          time.Time
	sent, received atomic.Int64
	once           sync.Once
	long           sync.Once // told that the answer is too long

	mu    sync.Mutex
	event belljar.NetEvent // guarded by mu once RoundTrip runs
	body  error            // guarded by mu: the client's body broke off
}

// RoundTrip implements [http.RoundTripper].
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	if x.ask != nil {
		if no := x.ask(r.Context(), r.Header); no != nil {
			return nil, x.refused(no)
		}
	}
	x.began = time.Now()
	if r.Body != nil {
		body := r.Body
		if x.v != nil {
			body = x.v.Body(body, x.leak)
		}
		r.Body = &requestBody{ReadCloser: body, x: x, r: r}
	}
	resp, err := x.g.repeating(sender{x}, x.v).RoundTrip(r)
	if err != nil {
		return nil, x.failed(err)
	}
	if err := x.bound(r, resp); err != nil {
		return nil, x.failed(err)
	}
	if err := x.clean(r, resp); err != nil {
		return nil, x.failed(err)
	}
	x.mu.Lock()
	x.event.Status = resp.StatusCode
	x.mu.Unlock()
	body := &responseBody{ReadCloser: resp.Body, x: x, resp: resp}
	if w, ok := resp.Body.(io.Writer); ok && resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = &upgradedBody{ReadCloser: body, w: w, sent: &x.sent}
	} else {
		resp.Body = body
	}
	return resp, nil
}

// A sender sends the requests of an exchange, by the quick way or the transport.
type sender struct{ x *exchange }

// RoundTrip implements [http.RoundTripper].
func (s sender) RoundTrip(r *http.Request) (*http.Response, error) {
	x := s.x
	trace := &httptrace.ClientTrace{GotConn: x.connected, Got1xxResponse: x.interim}
	if x.quick != nil && x.quick.Takes(r) {
		if resp, err := x.quick.RoundTrip(r, x.whole(r, trace)); !errors.Is(err, h1.ErrOther) {
			return resp, err
		}
	}
	resp, err := x.rt.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err == nil && x.quick != nil {
		x.quick.Learn(r.URL.Host, resp)
	}
	return resp, err
}

// whole is trace with what is in the request's own, behind it as net/http would put it.
func (x *exchange) whole(r *http.Request, trace *httptrace.ClientTrace) *httptrace.ClientTrace {
	outer := httptrace.ContextClientTrace(r.Context())
	if outer == nil || outer.Got1xxResponse == nil {
		return trace
	}
	return &httptrace.ClientTrace{GotConn: trace.GotConn, Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		_ = x.interim(code, h)
		return outer.Got1xxResponse(code, h)
	}}
}

// bound keeps an answer's body within what its rule allows. With an error, where the answer
// says at once that it is longer, it is closed.
func (x *exchange) bound(r *http.Request, resp *http.Response) error {
	if x.most == 0 {
		return nil
	}
	bare := r.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
	if !bare && resp.ContentLength > x.most {
		_ = resp.Body.Close()
		return &longError{most: x.most, has: resp.ContentLength}
	}
	b := &boundBody{ReadCloser: resp.Body, x: x, resp: resp, left: x.most}
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = &writableBody{b, w}
	} else {
		resp.Body = b
	}
	return nil
}

// clean keeps real keys out of an answer. With an error the answer is closed.
func (x *exchange) clean(r *http.Request, resp *http.Response) error {
	if x.v == nil {
		return nil
	}
	body := resp.Body
	resp.Status = x.g.keys.Clean(resp.Status) // HTTP/1 hands its words on
	if r.Method == http.MethodHead {
		_ = body.Close()
		body = http.NoBody
	}
	_, sized := resp.Header["Content-Length"]
	clean, err := x.v.Response(resp.StatusCode, resp.Header, body)
	if err != nil {
		_ = body.Close()
		return err
	}
	resp.Body = clean
	if _, still := resp.Header["Content-Length"]; sized && !still {
		resp.ContentLength = -1 // it was decoded
	}
	return nil
}

// connected notes where the request goes.
func (x *exchange) connected(info httptrace.GotConnInfo) {
	c := info.Conn
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if r, ok := c.(*recorded); ok {
		x.mu.Lock()
		x.event.Addr = r.event.Addr
		x.mu.Unlock()
	}
}

// interim keeps real keys out of interim responses. Where the answer is bounded there are
// none. What it returns is not looked at: another trace has the last word.
func (x *exchange) interim(_ int, h textproto.MIMEHeader) error {
	if x.most > 0 {
		httpproxy.Unsay(h)
		return nil
	}
	if x.v != nil {
		x.v.Scrub(http.Header(h))
	}
	return nil
}

// leak records a stand-in in a place that is not its own.
func (x *exchange) leak(l credential.Leak) {
	reason := x.t.name() + ": the stand-in of " + l.Credential + " was found in the " + l.Where
	x.mu.Lock()
	if !l.Refused && x.event.Reason == "" {
		x.event.Reason = reason + "; it was sent as it is"
	}
	e := x.event
	x.mu.Unlock()
	if l.Refused {
		x.g.rec.refuseRequest(x.ctx, e.Proto, x.t, belljar.Decision{Reason: reason + ", which is not for this host"}, belljar.NetEvent{
			Method: e.Method, Path: e.Path, Status: http.StatusForbidden, Credential: l.Credential,
		})
	}
}

// failed words an error and puts the request on record.
func (x *exchange) failed(err error) error {
	reply := x.reply(&cleanError{err, x.withoutValues(err.Error())})
	x.end(reply.Status, reply.Reason)
	return &replyError{reply}
}

// withoutValues takes values out of a text, before it is cut short: a part of a value is not found.
func (x *exchange) withoutValues(text string) string {
	if x.v == nil {
		return text
	}
	return x.g.keys.Clean(text)
}

// A cleanError is an error without values in its text.
type cleanError struct {
	error
	text string
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.error }

// refused ends an exchange that was not sent.
func (x *exchange) refused(no *httpproxy.Reply) error {
	x.once.Do(func() {
		x.g.rec.refuseRequest(x.ctx, x.event.Proto, x.t, belljar.Decision{Reason: no.Reason}, belljar.NetEvent{
			Method: x.event.Method, Path: x.event.Path, Status: no.Status,
		})
		if x.leave != nil {
			x.leave()
		}
	})
	return &replyError{no}
}

func (x *exchange) reply(err error) *httpproxy.Reply {
	var no *refusedError
	var leak *credential.LeakError
	var cert *tls.CertificateVerificationError
	var push *git.NotForward
	var long *longError
	switch {
	case errors.As(err, &long):
		d := belljar.Decision{Reason: x.t.name() + ": " + long.Error()}
		x.tellLong(d)
		return &httpproxy.Reply{Status: http.StatusForbidden, Reason: d.Reason, Body: requestText(x.t, x.event.Method, x.event.Path, d, "ask for less at a time")}
	case errors.As(err, &no):
		return refusalReply(x.t, no.Decision)
	case errors.As(err, &leak):
		d := belljar.Decision{Reason: leak.Error()}
		return &httpproxy.Reply{Status: http.StatusForbidden, Reason: d.Reason, Body: requestText(x.t, x.event.Method, x.event.Path, d, "send it to its own host only")}
	case errors.As(err, &push):
		d := belljar.Decision{Reason: x.t.name() + ": " + printable(push.Why)}
		return &httpproxy.Reply{Status: http.StatusForbidden, Reason: d.Reason, Body: requestText(x.t, x.event.Method, x.event.Path, d, "")}
	case errors.As(err, &cert):
		why := x.t.name() + ": the server's certificate is not accepted: " + printable(x.withoutValues(cert.Err.Error()))
		return &httpproxy.Reply{Status: http.StatusBadGateway, Reason: why, Body: "belljar sent nothing to " + why + "\n"}
	case x.broken() != nil:
		why := "the request's body is malformed or broke off: " + printable(x.broken().Error())
		return &httpproxy.Reply{Status: http.StatusBadRequest, Reason: why, Body: "belljar: " + why + "\n"}
	case errors.Is(err, errUpstreamFull):
		return &httpproxy.Reply{Status: http.StatusServiceUnavailable, Reason: err.Error(), Body: "belljar: " + err.Error() + "\n"}
	case errors.Is(err, context.Canceled):
		return &httpproxy.Reply{Status: http.StatusBadGateway, Reason: "the client has gone"}
	}
	return faultReply(err)
}

// broken says why the client's body could not be read to its end.
func (x *exchange) broken() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.body
}

// end puts the request on record, once.
func (x *exchange) end(status int, reason string) {
	x.once.Do(func() {
		x.mu.Lock()
		e := x.event
		x.mu.Unlock()
		if status != 0 {
			e.Status = status
		}
		if reason != "" {
			e.Reason = reason
		}
		e.Sent, e.Received, e.Millis = x.sent.Load(), x.received.Load(), time.Since(x.began).Milliseconds()
		if x.ended != nil {
			x.ended(&e)
		}
		x.g.rec.request(x.ctx, e)
		if x.leave != nil {
			x.leave()
		}
	})
}

// requestBody counts what is sent and judges the trailers behind it.
type requestBody struct {
	io.ReadCloser
	x *exchange
	r *http.Request
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.x.sent.Add(int64(n))
	if err != nil && err != io.EOF {
		b.x.mu.Lock()
		b.x.body = err
		b.x.mu.Unlock()
	}
	if err == io.EOF && b.x.v != nil && b.r.Trailer != nil {
		if terr := b.x.v.Trailer(b.r.Trailer, b.x.leak); terr != nil {
			return n, terr
		}
	}
	return n, err
}

// responseBody counts what is received, keeps real keys out of the trailers behind it,
// and ends the exchange when it is closed.
type responseBody struct {
	io.ReadCloser
	x    *exchange
	resp *http.Response
	err  error // guarded by x.mu: behind a 101, Close may be called while Read waits
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.x.received.Add(int64(n))
	if err == io.EOF && b.x.v != nil {
		b.x.v.Scrub(b.resp.Trailer)
	}
	if err != nil && err != io.EOF {
		b.x.mu.Lock()
		b.err = err
		b.x.mu.Unlock()
	}
	return n, err
}

func (b *responseBody) Close() error {
	b.x.mu.Lock()
	broken := b.err
	b.x.mu.Unlock()
	err := b.ReadCloser.Close()
	reason := ""
	if broken != nil && !errors.Is(broken, context.Canceled) && !errors.Is(broken, net.ErrClosed) {
		reason = "the answer broke off: " + printable(b.x.withoutValues(broken.Error()))
	}
	b.x.end(0, reason)
	return err
}

// upgradedBody is the stream behind a 101.
type upgradedBody struct {
	io.ReadCloser
	w    io.Writer
	sent *atomic.Int64
}

func (b *upgradedBody) Write(p []byte) (int, error) {
	n, err := b.w.Write(p)
	b.sent.Add(int64(n))
	return n, err
}
