package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/hello"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
)

const (
	// sniffSize is how much of a first line is looked at to tell HTTP apart.
	sniffSize    = 4 << 10
	sniffTimeout = 10 * time.Second // from the first byte on
	helloTimeout = 5 * time.Second  // from the first byte to the end of the ClientHello
	firstTimeout = 2 * time.Minute  // until anybody says anything
)

// A passage is an allowed connection: the end inside, the end outside, and why.
type passage struct {
	in      *inside
	up      *counted
	t       target
	d       belljar.Decision
	addr    string // that was dialled
	proto   string
	started time.Time
}

// carry looks at what begins, and lets it pass or ends it. The connection is on
// record when it returns.
func (g *Gateway) carry(ctx context.Context, p *passage) {
	defer func() {
		_ = p.up.Close()
		g.rec.connected(ctx, belljar.NetEvent{
			Proto: p.proto, Host: p.t.host, Addr: p.addr, Port: p.t.port, Rule: origin(p.d.Rule),
			Sent: p.up.sent.Load(), Received: p.up.received.Load(), Millis: time.Since(p.started).Milliseconds(),
		})
	}()
	// Ports 80 and 443 speak one protocol, in which the client begins: what the
	// server says before is not passed on.
	strict := p.t.port == 80 || p.t.port == 443
	if !strict && serverFirst(p.in, p.up) {
		g.buffers.relay(p.in, p.up)
		return
	}
	_ = p.in.SetReadDeadline(time.Now().Add(firstTimeout))
	first, err := p.in.br.Peek(1)
	if err != nil {
		if errors.Is(err, io.EOF) && !strict {
			_ = p.in.SetReadDeadline(time.Time{})
			g.buffers.relay(p.in, p.up) // a client that only listens
		}
		return
	}
	switch {
	case first[0] == 0x16 && p.t.port != 80:
		g.carryTLS(ctx, p)
	case p.t.port == 443:
		g.notTLS(ctx, p)
	case p.t.port == 80 || looksLikeHTTP(p.in):
		p.proto = "http"
		g.carryHTTP(ctx, p)
	default:
		_ = p.in.SetReadDeadline(time.Time{})
		g.buffers.relay(p.in, p.up)
	}
}

// serverFirst waits until one side says something and tells whether it was the
// server. Nothing is taken out of the client's reader.
func serverFirst(in *inside, up *counted) bool {
	deadline := time.Now().Add(firstTimeout)
	_ = in.SetReadDeadline(deadline)
	_ = up.SetReadDeadline(deadline)
	client, server := make(chan struct{}), make(chan struct{})
	early := &early{b: make([]byte, 2<<10)}
	go func() {
		defer close(client)
		_, _ = in.br.Peek(1)
	}()
	go func() {
		defer close(server)
		early.n, early.err = up.Read(early.b)
	}()
	select {
	case <-client:
	case <-server:
	}
	past := time.Unix(1, 0)
	_ = in.SetReadDeadline(past)
	_ = up.SetReadDeadline(past)
	<-client
	<-server
	_ = in.SetReadDeadline(time.Time{})
	_ = up.SetReadDeadline(time.Time{})
	spoke := early.n > 0 || early.err != nil && !isTimeout(early.err)
	if spoke {
		up.Conn = &prefixed{Conn: up.Conn, prefix: early.b[:early.n]}
		up.received.Add(int64(-early.n)) // it is read, and counted, once more
	}
	return spoke && in.br.Buffered() == 0
}

// early is what a server said at once.
type early struct {
	b   []byte
	n   int
	err error
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// looksLikeHTTP says whether what the client sends could be an HTTP request: a
// first line of printable text, empty lines before it left out, that ends in the
// protocol's version, or has not ended yet.
func looksLikeHTTP(in *inside) bool {
	_ = in.SetReadDeadline(time.Now().Add(sniffTimeout))
	defer in.SetReadDeadline(time.Time{})
	for {
		b, _ := in.br.Peek(in.br.Buffered())
		line, _, whole := bytes.Cut(bytes.TrimLeft(b, "\r\n \t"), []byte("\n"))
		line = bytes.TrimRight(line, "\r")
		switch {
		case !printableText(line):
			return false
		case whole:
			return bytes.Contains(bytes.ToUpper(line), []byte(" HTTP/1."))
		case len(b) >= sniffSize:
			return true
		}
		if _, err := in.br.Peek(len(b) + 1); err != nil {
			return true // judged as HTTP, strictly
		}
	}
}

func printableText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\r' || c == 0x7f {
			return false
		}
	}
	return true
}

// alert codes of TLS.
const (
	alertAccessDenied     = 49
	alertUnrecognizedName = 112
)

// carryTLS passes TLS through when it asks for the name that was connected to.
func (g *Gateway) carryTLS(ctx context.Context, p *passage) {
	_ = p.in.SetReadDeadline(time.Now().Add(helloTimeout))
	h, raw, err := hello.Read(p.in.br)
	if errors.Is(err, hello.ErrNotTLS) && p.t.port != 443 {
		p.in.br = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(raw), p.in.br), sniffSize)
		_ = p.in.SetReadDeadline(time.Time{})
		g.buffers.relay(p.in, p.up)
		return
	}
	p.proto = "tls"
	alert := byte(alertAccessDenied)
	reason := ""
	if err != nil {
		reason = p.t.name() + ": the TLS handshake is malformed: " + printable(err.Error())
	} else if reason = serverNameFault(h, p.t); reason != "" {
		alert = alertUnrecognizedName
	}
	if reason != "" {
		g.rec.refuse(ctx, "tls", p.t, belljar.Decision{Nearest: p.d.Rule, Reason: reason})
		_, _ = p.in.Conn.Write([]byte{21, 3, 3, 0, 2, 2, alert})
		p.in.linger()
		return
	}
	_ = p.in.SetReadDeadline(time.Time{})
	if _, err := p.up.Write(raw); err != nil {
		p.in.abort()
		return
	}
	g.buffers.relay(p.in, p.up)
}

// serverNameFault says what is wrong with the name that a ClientHello asks for.
func serverNameFault(h hello.Hello, t target) string {
	if t.host == "" {
		return "" // the rule allows the address, whatever answers there
	}
	if h.ServerName == "" {
		if t.host == belljar.Localhost {
			return ""
		}
		return t.host + ": the TLS handshake names no server (SNI)"
	}
	name, err := canonicalName(h.ServerName)
	if err != nil {
		return t.host + ": the TLS handshake names " + printable(h.ServerName) + ", which is no host name"
	}
	if name != t.host {
		return fmt.Sprintf("connected to %s, but the TLS handshake asks for %s", t.host, name)
	}
	return ""
}

// notTLS ends what is not TLS on port 443, with a reason where it can be read.
func (g *Gateway) notTLS(ctx context.Context, p *passage) {
	d := belljar.Decision{Nearest: p.d.Rule, Reason: p.t.name() + ": port 443 speaks TLS only"}
	g.rec.refuse(ctx, "tcp", p.t, d)
	if looksLikeHTTP(p.in) {
		serveHTTP(ctx, p.in, &denial{t: p.t, d: d})
		return
	}
	p.in.linger()
}

// linger ends the connection so that what was sent last can still be read.
func (in *inside) linger() {
	_ = in.CloseWrite()
	_ = in.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, in.br, 64<<10)
}

// serveHTTP serves requests on a connection from inside.
func serveHTTP(ctx context.Context, in *inside, h httpproxy.Handler) {
	br := bufio.NewReaderSize(in.br, httpproxy.BufferSize)
	in.br = br
	httpproxy.Serve(ctx, in, br, h)
	in.linger()
}

// carryHTTP judges every request of the connection.
func (g *Gateway) carryHTTP(ctx context.Context, p *passage) {
	var once sync.Once
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var c net.Conn
			once.Do(func() { c = p.up })
			if c != nil {
				return c, nil
			}
			return g.again(ctx, p)
		},
		DisableCompression:     true,
		MaxConnsPerHost:        1,
		MaxResponseHeaderBytes: httpproxy.MaxHead * 4,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         32 << 10,
	}
	defer tr.CloseIdleConnections()
	serveHTTP(ctx, p.in, &sameHost{g: g, p: p, tr: tr})
}

// again dials the address that was checked once more, for the same connection
// from inside.
func (g *Gateway) again(ctx context.Context, p *passage) (net.Conn, error) {
	c, _, err := g.way.connect(ctx, p.t, p.d)
	if err != nil {
		return nil, err
	}
	up := &recounted{Conn: c, to: p.up}
	p.up.flow.own(up)
	return up, nil
}

// recounted counts on another connection's account.
type recounted struct {
	net.Conn
	to *counted
}

func (c *recounted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.to.received.Add(int64(n))
	c.to.flow.touch()
	return n, err
}

func (c *recounted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.to.sent.Add(int64(n))
	c.to.flow.touch()
	return n, err
}
