// Package httpproxy carries HTTP/1 requests from inside a sandbox, each judged
// on its own: the first and the hundredth of a connection, pipelined or not.
//
// A request's head is read strictly ([CheckHead]), then parsed, judged by a
// [Handler] and written anew by net/http's transport, so that what was judged is
// what is sent. Fields that belong to one hop are removed; an upgrade is passed
// on for WebSocket only, others are left out as if the server did not know them.
//
// # Limitations
//
// HTTP/1.0 and 1.1. Interim responses other than 100 are not passed on. That a
// client has gone is noticed when the next bytes are written to it.
package httpproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	headTimeout = 10 * time.Second // from a request's first byte to the end of its header
	idleTimeout = 2 * time.Minute  // between requests
	// BufferSize is the least size of the reader given to [Serve].
	BufferSize = MaxHead
)

// A Reply is an answer of the gateway itself.
type Reply struct {
	Status int
	Reason string // in the status line and X-Belljar-Reason
	Type   string // content type; empty for plain text
	Body   string
}

// An Action says what becomes of a request. Exactly one field is set.
type Action struct {
	Reply   *Reply            // answer so, then close
	Forward http.RoundTripper // send it there; the handler has set URL.Scheme and URL.Host
	// Take receives the connection, for CONNECT. It returns when the connection is over.
	Take func()
}

// A Handler judges requests.
type Handler interface {
	// Handle judges one request; it may change it.
	Handle(r *http.Request) Action
	// Failed is told that a request's head is malformed (r is nil) or that
	// forwarding it failed, and words the answer.
	Failed(r *http.Request, err error) *Reply
}

// A Lender lends buffers for large bodies; the connection given to [Serve] may be one.
type Lender interface {
	// Lend returns a buffer, nil when there is none to spare, and how it is given back.
	Lend() (buf []byte, giveBack func())
}

// Serve carries requests until the connection is over. It does not close c. The
// reader reads from c and has a buffer of at least [BufferSize].
func Serve(ctx context.Context, c net.Conn, br *bufio.Reader, h Handler) {
	s := &session{c: c, br: br, bw: bufio.NewWriterSize(c, 16<<10), h: h}
	for ctx.Err() == nil {
		again, err := s.one(ctx)
		if err != nil || !again {
			return
		}
	}
}

type session struct {
	c  net.Conn
	br *bufio.Reader
	bw *bufio.Writer
	h  Handler
}

// one carries one request and says whether another may follow.
func (s *session) one(ctx context.Context) (bool, error) {
	req, err := s.read()
	if err != nil {
		if f := asFault(err); f != nil {
			return false, s.reply(nil, s.h.Failed(nil, f))
		}
		return false, err
	}
	a := s.h.Handle(req)
	switch {
	case a.Take != nil:
		a.Take()
		return false, nil
	case a.Reply != nil:
		return false, s.reply(req, a.Reply)
	}
	return s.forward(ctx, req, a.Forward)
}

// read reads one request's head; its body stays in the reader.
func (s *session) read() (*http.Request, error) {
	_ = s.c.SetReadDeadline(time.Now().Add(idleTimeout))
	if _, err := s.br.Peek(1); err != nil {
		return nil, err
	}
	_ = s.c.SetReadDeadline(time.Now().Add(headTimeout))
	defer s.c.SetReadDeadline(time.Time{})
	if err := skipEmptyLines(s.br); err != nil {
		return nil, err
	}
	head, err := peekHead(s.br)
	if err != nil {
		return nil, err
	}
	if err := CheckHead(head); err != nil {
		return nil, err
	}
	req, err := http.ReadRequest(s.br)
	if err != nil {
		return nil, bad(err.Error())
	}
	return req, nil
}

// reply answers by itself and ends the connection.
func (s *session) reply(req *http.Request, r *Reply) error {
	if r == nil {
		return nil
	}
	kind := r.Type
	if kind == "" {
		kind = "text/plain; charset=utf-8"
	}
	reason := oneLine(r.Reason)
	if reason == "" {
		reason = http.StatusText(r.Status)
	}
	fmt.Fprintf(s.bw, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\nCache-Control: no-store\r\n",
		r.Status, reason, kind, len(r.Body))
	if r.Status >= 400 {
		fmt.Fprintf(s.bw, "X-Belljar-Reason: %s\r\n", reason)
	}
	_, _ = s.bw.WriteString("\r\n")
	if req == nil || req.Method != http.MethodHead {
		_, _ = s.bw.WriteString(r.Body)
	}
	return s.bw.Flush()
}

// oneLine keeps a text within a header field.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// body lets the transport read a request's body, answers "100 Continue" when it
// begins to, and tells when nobody reads any more.
type body struct {
	io.ReadCloser
	interim func() error
	ended   atomic.Bool // read to its end
	mu      sync.Mutex  // held while reading
	done    bool        // guarded by mu
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return 0, errors.New("request body is closed")
	}
	if b.interim != nil {
		if err := b.interim(); err != nil {
			return 0, err
		}
		b.interim = nil
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.ended.Store(true)
	}
	return n, err
}

// Close does not read the rest: session.settle decides about it.
func (b *body) Close() error { return nil }

// stop ends reading and says whether the body was read to its end.
func (b *body) stop(c net.Conn) bool {
	if !b.mu.TryLock() {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // somebody still waits for the client
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.done = true
	return b.ended.Load()
}

// forward sends the request on and the response back.
func (s *session) forward(ctx context.Context, req *http.Request, rt http.RoundTripper) (bool, error) {
	closing := req.Close
	upgrade := prepare(req)
	var b *body
	if req.Body != nil && req.Body != http.NoBody {
		b = &body{ReadCloser: req.Body}
		if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
			b.interim = func() error {
				_, err := io.WriteString(s.c, "HTTP/1.1 100 Continue\r\n\r\n")
				return err
			}
		}
		req.Header.Del("Expect")
		req.Body = b
	} else {
		req.Body = nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := rt.RoundTrip(req.WithContext(ctx))
	if err != nil {
		if b != nil {
			b.stop(s.c)
		}
		return false, s.reply(req, s.h.Failed(req, err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return false, s.switched(req, resp, upgrade)
	}
	if b != nil {
		closing = closing || !b.ended.Load() // an early answer: what is left of the body is not worth reading
	}
	again, err := s.respond(req, resp, closing)
	if b != nil && !b.stop(s.c) {
		again = false
	}
	return again, err
}

// hopFields belong to one connection.
var hopFields = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// prepare removes what belongs to the hop from inside and says whether the
// request asks for a WebSocket.
func prepare(req *http.Request) (upgrade bool) {
	upgrade = hasToken(req.Header, "Connection", "upgrade") && strings.EqualFold(req.Header.Get("Upgrade"), "websocket")
	removeHop(req.Header)
	if upgrade {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = nil // none, instead of the transport's own
	}
	req.RequestURI, req.Close = "", false
	req.Trailer = nil
	return upgrade
}

func removeHop(h http.Header) {
	for _, f := range h["Connection"] {
		for name := range strings.SplitSeq(f, ",") {
			if name = strings.TrimSpace(name); name != "" && !strings.EqualFold(name, "host") {
				h.Del(name)
			}
		}
	}
	for _, f := range hopFields {
		h.Del(f)
	}
}

func hasToken(h http.Header, field, token string) bool {
	for _, f := range h[http.CanonicalHeaderKey(field)] {
		for t := range strings.SplitSeq(f, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}
