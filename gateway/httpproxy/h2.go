package httpproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// MaxStreams is how many requests one connection of HTTP/2 may have at once.
	MaxStreams = 100
	h2Idle     = 5 * time.Minute
	h2Stream   = 256 << 10 // what one request's body may hold unread
	h2Conn     = 512 << 10 // and those of a connection together
)

// An H2 carries requests of HTTP/2 connections. It is made by [NewH2] and closed once.
// net/http bounds what a peer can make it do: headers, streams, resets, control frames.
type H2 struct {
	srv   *http.Server
	conns chan net.Conn
	start sync.Once
	ended chan struct{} // closed by Close
	done  sync.WaitGroup
	bufs  sync.Pool // of *[smallPieces]byte, lent to answers while they pass

	mu   sync.Mutex
	live map[net.Conn]*h2conn // guarded by mu
}

type h2conn struct {
	h    Handler
	ctx  context.Context
	over chan struct{} // closed when the connection is

	mu     sync.Mutex
	closed bool // guarded by mu
	active sync.WaitGroup
}

type h2key struct{}

// NewH2 makes one that serves nothing yet.
func NewH2() *H2 {
	h := &H2{conns: make(chan net.Conn), ended: make(chan struct{}), live: make(map[net.Conn]*h2conn)}
	h.bufs.New = func() any { return new([smallPieces]byte) }
	h.srv = &http.Server{
		Handler:           h,
		ErrorLog:          log.New(io.Discard, "", 0),
		MaxHeaderBytes:    MaxHead,
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       h2Idle,
		ConnState:         h.state,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, h2key{}, h.find(c))
		},
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          MaxStreams,
			MaxReceiveBufferPerConnection: h2Conn,
			MaxReceiveBufferPerStream:     h2Stream,
		},
	}
	return h
}

// Serve carries the requests of a connection whose handshake is complete and agreed
// on "h2", until it is over, which it is when ctx ends. It closes c.
func (h *H2) Serve(ctx context.Context, c *tls.Conn, handler Handler) {
	hc := &h2conn{h: handler, ctx: ctx, over: make(chan struct{})}
	h.mu.Lock()
	h.live[c] = hc
	h.mu.Unlock()
	h.start.Do(func() { h.done.Go(func() { _ = h.srv.Serve(h2listener{h}) }) })
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	select {
	case h.conns <- c:
		<-hc.over
	case <-h.ended:
		_ = c.Close()
	}
	h.mu.Lock()
	delete(h.live, c)
	h.mu.Unlock()
	hc.mu.Lock()
	hc.closed = true
	hc.mu.Unlock()
	hc.active.Wait()
}

// Len is how many connections are being served.
func (h *H2) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.live)
}

// Close ends every connection. Nothing is served afterwards.
func (h *H2) Close() {
	close(h.ended)
	_ = h.srv.Close()
	h.done.Wait()
}

func (h *H2) find(c net.Conn) *h2conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.live[c]
}

func (h *H2) state(c net.Conn, s http.ConnState) {
	if s != http.StateClosed {
		return
	}
	if hc := h.find(c); hc != nil {
		close(hc.over)
	}
}

// An h2listener hands the connections to the server.
type h2listener struct{ h *H2 }

func (l h2listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.h.conns:
		return c, nil
	case <-l.h.ended:
		return nil, net.ErrClosed
	}
}

func (l h2listener) Close() error   { return nil }
func (l h2listener) Addr() net.Addr { return &net.TCPAddr{} }

// ServeHTTP carries one request. It is called by net/http.
func (h *H2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hc, _ := r.Context().Value(h2key{}).(*h2conn)
	if hc == nil || r.ProtoMajor != 2 || !hc.enter() {
		return
	}
	defer hc.active.Done()
	x := &h2exchange{w: w, ctl: http.NewResponseController(w), h: hc.h, bufs: &h.bufs}
	if f := checkFields(r); f != nil {
		x.reply(r, hc.h.Failed(nil, f))
		return
	}
	if r.ContentLength == 0 {
		r.Body = http.NoBody
	}
	prepare(r)
	switch a := hc.h.Handle(r); {
	case a.Reply != nil:
		x.reply(r, a.Reply)
	case a.Forward != nil:
		x.forward(r, a.Forward)
	default: // nobody takes a stream over
		x.reply(r, &Reply{Status: http.StatusNotImplemented, Reason: "not over HTTP/2"})
	}
}

// enter counts a request in; false when the connection is over.
func (hc *h2conn) enter() bool {
	hc.mu.Lock()
	defer hc.mu.Unlock()
	if hc.closed {
		return false
	}
	hc.active.Add(1)
	return true
}

// checkFields is to HTTP/2 what [CheckHead] is to HTTP/1; net/http has checked names,
// values and pseudo fields.
func checkFields(r *http.Request) *Fault {
	n := 0
	for name, v := range r.Header {
		if n += len(v); likeFraming(name) && name != "Content-Length" {
			return &Fault{http.StatusBadRequest, likeFramingText}
		}
	}
	switch {
	case n > maxFields:
		return errTooLarge
	case !isToken(r.Method):
		return &Fault{http.StatusBadRequest, "a malformed method"}
	case r.Host == "":
		return &Fault{http.StatusBadRequest, "no authority"}
	case len(r.Header["Content-Length"]) > 1:
		return &Fault{http.StatusBadRequest, "more than one length of the body"}
	}
	if length := r.Header.Get("Content-Length"); strings.Trim(length, "0123456789") != "" || r.ContentLength == 0 && strings.Trim(length, "0") != "" {
		return &Fault{http.StatusBadRequest, "a length that is not the body's"}
	}
	for _, host := range r.Header["Host"] {
		if host != r.Host {
			return &Fault{http.StatusMisdirectedRequest, "the request's authority and its Host header name two hosts"}
		}
	}
	r.Header.Del("Host")
	return nil
}

// An h2exchange is one request and its answer.
type h2exchange struct {
	w    http.ResponseWriter
	ctl  *http.ResponseController
	h    Handler
	bufs *sync.Pool

	mu    sync.Mutex
	ended bool // the final response has begun
	count int  // of interim ones
}

func (x *h2exchange) reply(r *http.Request, rep *Reply) {
	if rep == nil {
		panic(http.ErrAbortHandler)
	}
	reason := oneLine(rep.Reason)
	h := x.w.Header()
	kind := rep.Type
	if kind == "" {
		kind = "text/plain; charset=utf-8"
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(rep.Body)))
	h.Set("Cache-Control", "no-store")
	if rep.Status >= 400 {
		h.Set("X-Belljar-Reason", reason)
	}
	if rep.After > 0 {
		h.Set("Retry-After", rep.retryAfter())
	}
	x.w.WriteHeader(rep.Status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(x.w, rep.Body)
	}
}

// pass passes an interim response on.
func (x *h2exchange) pass(code int, from textproto.MIMEHeader) error {
	if !passes(code, from) {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return nil
	}
	if x.count++; x.count > maxInterim {
		return errInterim
	}
	h := x.w.Header()
	for name, v := range from {
		h[name] = v
	}
	removeHop(h)
	x.w.WriteHeader(code)
	clear(h)
	return nil
}

func (x *h2exchange) forward(r *http.Request, rt http.RoundTripper) {
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: x.pass})
	out, b := outgoing(ctx, r, func() error { return nil })
	resp, err := rt.RoundTrip(out)
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		err = errors.New("the server switched protocols without being asked")
	}
	if err != nil {
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
		x.reply(r, x.h.Failed(r, err))
		return
	}
	defer func() {
		_ = resp.Body.Close()
		if b != nil {
			b.abandon()
		}
	}()
	if err := x.respond(r, resp); err != nil {
		panic(http.ErrAbortHandler) // resets the stream: the answer is not whole
	}
}

func (x *h2exchange) respond(r *http.Request, resp *http.Response) error {
	removeHop(resp.Header)
	h := x.w.Header()
	for name, v := range resp.Header {
		h[name] = v
	}
	for _, own := range []string{"Date", "Content-Type"} { // net/http adds none of its own
		if _, ok := h[own]; !ok {
			h[own] = nil
		}
	}
	announce(h, resp.Trailer)
	announced := len(resp.Trailer)
	x.w.WriteHeader(resp.StatusCode)
	if r.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		return nil // there is no body, whatever the length says
	}
	if resp.ContentLength < 0 {
		_ = x.ctl.Flush() // what is streamed may begin much later
	}
	if err := x.copy(resp.Body, resp.ContentLength); err != nil {
		return err
	}
	removeHop(resp.Trailer)
	prefix := ""
	if len(resp.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, v := range resp.Trailer {
		h[prefix+name] = v
	}
	return nil
}

// copy passes on what arrives as it arrives; the last of length bytes go with the end
// of the stream.
func (x *h2exchange) copy(body io.Reader, length int64) error {
	buf := x.bufs.Get().(*[smallPieces]byte)
	defer x.bufs.Put(buf)
	for {
		n, err := body.Read(buf[:])
		if n > 0 {
			if _, werr := x.w.Write(buf[:n]); werr != nil {
				return werr
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if length -= int64(n); length == 0 {
			continue
		}
		if err := x.ctl.Flush(); err != nil {
			return err
		}
	}
}
