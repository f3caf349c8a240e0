// Package httpproxy carries HTTP requests from inside a sandbox, each judged on its
// own: the first and the hundredth of a connection, pipelined or not, HTTP/1
// ([Serve]) and HTTP/2 ([H2]).
//
// A request's head is read strictly ([CheckHead]), then parsed, freed of the fields
// that belong to one hop, judged by a [Handler] and written anew by net/http's
// transport, so that what was judged is what is sent. An upgrade is passed on for
// WebSocket only, others are left out as if the server did not know them. Bodies,
// trailers and interim responses pass as they arrive, in both directions.
//
// # Limitations
//
// Of trailers those that were announced pass. WebSocket over HTTP/2 is not offered:
// clients fall back to HTTP/1. That a client of HTTP/1 in clear has gone is noticed
// when the next bytes are written to it.
package httpproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	headTimeout = 10 * time.Second // from a request's first byte to the end of its header
	idleTimeout = 2 * time.Minute  // between requests
	writeSize   = 4 << 10          // buffered of an answer; its body goes past it
	readSize    = 4 << 10          // of a reader that is borrowed
)

// A Reply is an answer of the gateway itself.
type Reply struct {
	Status int
	Reason string // in the status line and X-Belljar-Reason
	Type   string // content type; empty for plain text
	Body   string
	After  time.Duration // with which it may be asked again, as Retry-After; 0: nothing is said
}

// retryAfter is After in whole seconds, rounded up.
func (r *Reply) retryAfter() string {
	return strconv.FormatInt(int64((r.After+time.Second-1)/time.Second), 10)
}

// An Action says what becomes of a request. Exactly one field is set.
type Action struct {
	Reply   *Reply            // answer so, then close
	Forward http.RoundTripper // send it there; the handler has set URL.Scheme and URL.Host
	// Take receives the connection, for CONNECT, and what reads from it. It returns when
	// the connection is over.
	Take func(br *bufio.Reader)
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
// reader reads from c; its buffer may be small, a larger one is made for a head that
// does not fit. What it holds when Serve returns is not to be used. Without a reader one
// is borrowed for each request: many connections wait at a time.
func Serve(ctx context.Context, c net.Conn, br *bufio.Reader, h Handler) {
	s := &session{c: c, br: br, given: br, h: h}
	for ctx.Err() == nil {
		if s.given == nil && !s.begin() {
			return
		}
		again, err := s.one(ctx)
		if err != nil || !again {
			return
		}
		if s.br != s.given && s.br.Buffered() == 0 {
			s.rest()
		}
	}
}

// ahead reads the byte of a connection that was waited for, then the connection.
type ahead struct {
	c     io.Reader
	first [1]byte
	n     int // of first, not read yet
}

func (a *ahead) Read(b []byte) (int, error) {
	if a.n == 0 {
		return a.c.Read(b)
	}
	n := copy(b, a.first[:])
	a.n -= n
	return n, nil
}

type session struct {
	c        net.Conn
	br       *bufio.Reader // as given, or a larger one that reads from it
	given    *bufio.Reader // by the caller; nil: readers are borrowed
	borrowed *bufio.Reader // br, or what it reads from, while it is borrowed
	ahead    ahead         // what borrowed reads from
	bw       *bufio.Writer // while a request is answered
	h        Handler
}

var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readSize) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeSize) }}
)

// begin waits for the first byte of a request and borrows a reader for the rest.
func (s *session) begin() bool {
	if s.br != nil {
		return true // there is more in it
	}
	_ = s.c.SetReadDeadline(time.Now().Add(idleTimeout))
	s.ahead.c = s.c
	n, err := s.c.Read(s.ahead.first[:])
	if n == 0 || err != nil {
		return false
	}
	s.ahead.n = n
	s.borrowed = readers.Get().(*bufio.Reader)
	s.borrowed.Reset(&s.ahead)
	s.br = s.borrowed
	return true
}

// rest lets go of what is needed while a request is answered only.
func (s *session) rest() {
	if s.borrowed != nil {
		if s.br = s.borrowed; s.br.Buffered() > 0 {
			return // a larger one left it there
		}
		s.borrowed.Reset(nil)
		readers.Put(s.borrowed)
	}
	s.br, s.borrowed = s.given, nil
}

// writer borrows what an answer is written by. It is given back with nothing in it that
// is still to be sent.
func (s *session) writer() (giveBack func()) {
	s.bw = writers.Get().(*bufio.Writer)
	s.bw.Reset(s.c)
	return func() {
		s.bw.Reset(nil)
		writers.Put(s.bw)
		s.bw = nil
	}
}

// one carries one request and says whether another may follow.
func (s *session) one(ctx context.Context) (bool, error) {
	req, err := s.read()
	if err != nil {
		if f := asFault(err); f != nil {
			defer s.writer()()
			return false, s.reply(nil, s.h.Failed(nil, f))
		}
		return false, err
	}
	prepare(req)
	a := s.h.Handle(req)
	if a.Take != nil {
		br := s.br
		s.br, s.given = nil, nil // many tunnels wait at a time: what they hold is theirs to keep
		a.Take(br)
		return false, nil
	}
	defer s.writer()()
	switch {
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
	if errors.Is(err, bufio.ErrBufferFull) && s.br.Size() < MaxHead {
		s.br = bufio.NewReaderSize(s.br, MaxHead)
		head, err = peekHead(s.br)
	}
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
	if r.After > 0 {
		fmt.Fprintf(s.bw, "Retry-After: %s\r\n", r.retryAfter())
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

// forward sends the request on and the response back.
func (s *session) forward(ctx context.Context, req *http.Request, rt http.RoundTripper) (bool, error) {
	closing := req.Close
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &interim{w: s.bw}
	if req.ProtoAtLeast(1, 1) {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: w.pass})
	}
	out, b := outgoing(ctx, req, w.proceed)
	client := s.watch(b, cancel)
	defer client.stop()
	resp, err := rt.RoundTrip(out)
	w.end()
	if err != nil {
		if b != nil {
			b.stop(s.c)
		}
		return false, s.reply(req, s.h.Failed(req, err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		client.stop()
		return false, s.switched(req, resp, out.Header.Get("Upgrade") != "")
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
