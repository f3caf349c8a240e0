// Package h1 exchanges a request for its answer on the goroutine that asks, over HTTP/1.1
// within TLS. It is the quick way beside [http.Transport], whose two goroutines for each
// connection hand every request over and every answer back: for small answers that is a
// quarter of what the gateway spends on them.
//
// It takes requests without a body that ask for nothing but an answer ([Client.Takes]), for
// hosts of which an answer has shown that they do not speak HTTP/2 ([Client.Learn]). All
// others are for the transport. Requests are written and answers are read by net/http; a
// connection is used again only where the answer was read to its end, nothing is left of it,
// not even a part of a record of TLS, and nothing has arrived since.
//
// # Limitations
//
// Nobody reads from a connection that waits: that its server has ended it is noticed when it
// would be used again, or once it has waited for [Options.Idle].
package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxHosts bounds of how many hosts is remembered that they speak HTTP/1.1.
	maxHosts = 1024
	// maxRequest is how long a request may be: it goes out in one record of TLS, which no
	// server that does not read holds up.
	maxRequest = 12 << 10
)

// ErrOther says that the server has agreed on another protocol: nothing was sent, and the
// request is for the transport.
var ErrOther = errors.New("the server speaks another protocol than HTTP/1.1")

// Options say how a client connects, and what it keeps.
type Options struct {
	// Dial connects to host:port; TLS is the client's. What is no [syscall.Conn] cannot
	// be asked whether it may be used again: its host is left to the transport.
	Dial func(ctx context.Context, hostport string) (net.Conn, error)
	// TLS verifies servers. The client sets the server's name and the protocols.
	TLS       *tls.Config
	Handshake time.Duration // at most
	MaxHead   int64         // bytes of an answer's header, and of each interim one
	Idle      time.Duration // how long a connection may wait for another request
	// IdlePerHost and IdleAll are how many may wait.
	IdlePerHost, IdleAll int
}

// A Client exchanges requests. It may be used by many at once.
type Client struct {
	o Options

	mu     sync.Mutex
	idle   map[string][]*conn // by host:port, the last used last
	kept   int                // in idle
	speaks map[string]bool    // by host:port: true for HTTP/1.1, false for one left to the transport
	sweep  *time.Timer        // not nil while connections wait
}

// New makes a client.
func New(o Options) *Client {
	o.TLS = o.TLS.Clone()
	o.TLS.NextProtos = []string{"h2", "http/1.1"} // as the transport: a server may change its mind
	return &Client{o: o, idle: make(map[string][]*conn), speaks: make(map[string]bool)}
}

// Takes says whether a request may go this way.
func (c *Client) Takes(r *http.Request) bool {
	return plain(r) && c.knows(r.URL.Host)
}

// plain says whether a request has no body and asks for nothing but an answer.
func plain(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete:
	default:
		return false
	}
	if r.Body != nil && r.Body != http.NoBody || r.ContentLength != 0 || len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 || r.Close {
		return false
	}
	if r.URL.Scheme != "https" || r.URL.User != nil {
		return false
	}
	size := len(r.URL.Path) + len(r.URL.RawPath) + len(r.URL.RawQuery) + len(r.Host)
	for name, values := range r.Header {
		switch name {
		case "Connection", "Upgrade", "Expect", "Transfer-Encoding", "Content-Length", "Trailer":
			return false
		}
		// What is malformed the transport refuses in its own words.
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, invalidValue) {
			return false
		}
		for _, v := range values {
			size += len(name) + len(": \r\n") + len(v)
		}
	}
	return size <= maxRequest
}

func invalidValue(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }

// Learn takes from an answer of the transport to a request for host:port which protocol the
// host speaks.
func (c *Client) Learn(hostport string, resp *http.Response) {
	if resp.TLS == nil || resp.ProtoMajor != 1 || !speaksHTTP1(resp.TLS.NegotiatedProtocol) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.speaks[hostport]; known {
		return
	}
	if len(c.speaks) >= maxHosts {
		clear(c.speaks)
	}
	c.speaks[hostport] = true
}

func speaksHTTP1(negotiated string) bool { return negotiated == "" || negotiated == "http/1.1" }

func (c *Client) knows(hostport string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.speaks[hostport]
}

// forget leaves a host to the transport, until an answer shows again what it speaks.
func (c *Client) forget(hostport string) {
	c.mu.Lock()
	delete(c.speaks, hostport)
	c.mu.Unlock()
}

// leave leaves a host to the transport.
func (c *Client) leave(hostport string) {
	c.mu.Lock()
	c.speaks[hostport] = false
	c.mu.Unlock()
}

// RoundTrip sends a request that [Client.Takes] takes and returns the answer. Of the trace
// GotConn is told of the connection that Dial made, and Got1xxResponse as the transport
// tells it; the request's own is not looked at. The error is [ErrOther] when nothing was
// sent. The body is to be closed; it may be while it is read.
func (c *Client) RoundTrip(r *http.Request, trace *httptrace.ClientTrace) (*http.Response, error) {
	ctx := r.Context()
	pc := c.take(r.URL.Host)
	for {
		if pc == nil {
			var err error
			if pc, err = c.dial(ctx, r.URL.Host); err != nil {
				return nil, err
			}
		}
		if trace.GotConn != nil {
			trace.GotConn(httptrace.GotConnInfo{Conn: pc.raw, Reused: pc.used})
		}
		resp, err := pc.exchange(r, trace)
		if err == nil || !pc.used || !mayRepeat(r, err) {
			return resp, err
		}
		pc = nil // another that waited may have ended as well
	}
}

// mayRepeat says whether a request that failed on a connection that had waited may be sent
// once more, as the transport does: nothing was sent, or it changes nothing and nothing came.
func mayRepeat(r *http.Request, err error) bool {
	var f *failure
	if !errors.As(err, &f) || f.begun || r.Context().Err() != nil {
		return false
	}
	if !f.sent || r.Method != http.MethodDelete {
		return true
	}
	_, key := r.Header["Idempotency-Key"]
	_, xkey := r.Header["X-Idempotency-Key"]
	return key || xkey
}

// dial makes a connection whose server is verified.
func (c *Client) dial(ctx context.Context, hostport string) (*conn, error) {
	raw, err := c.o.Dial(ctx, hostport)
	if err != nil {
		return nil, err
	}
	cfg := c.o.TLS.Clone()
	if cfg.ServerName, _, err = net.SplitHostPort(hostport); err != nil {
		_ = raw.Close()
		return nil, err
	}
	pc := newConn(c, hostport, raw, cfg)
	if err := pc.handshake(ctx, c.o.Handshake); err != nil {
		_ = raw.Close()
		return nil, err
	}
	if !speaksHTTP1(pc.tls.ConnectionState().NegotiatedProtocol) {
		c.forget(hostport)
		_ = pc.tls.Close()
		return nil, ErrOther
	}
	return pc, nil
}
