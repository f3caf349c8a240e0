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
	"strings"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/hello"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"github.com/belljar-dev/belljar/internal/ablate"
)

const (
	// sniffSize is how much of a first line is looked at to tell HTTP apart.
	sniffSize    = 4 << 10
	lineTimeout  = time.Second     // for the rest of a first line
	helloTimeout = 5 * time.Second // from the first byte to the end of the ClientHello
	firstTimeout = 2 * time.Minute // until anybody says anything
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
		_ = g.buffers.relay(p.in, p.up)
		return
	}
	_ = p.in.SetReadDeadline(time.Now().Add(firstTimeout))
	first, err := p.in.br.Peek(1)
	if err != nil {
		if errors.Is(err, io.EOF) && !strict {
			_ = p.in.SetReadDeadline(time.Time{})
			_ = g.buffers.relay(p.in, p.up) // a client that only listens
		}
		return
	}
	switch {
	case first[0] == 0x16 && p.t.port != 80:
		g.carryTLS(ctx, p)
	case p.t.port == 443:
		g.notTLS(ctx, p)
	case p.t.port == 80:
		g.carryHTTP(ctx, p)
	default:
		g.carryOther(ctx, p)
	}
}

// carryOther passes what is neither TLS nor, by its first line, HTTP.
func (g *Gateway) carryOther(ctx context.Context, p *passage) {
	yes, unsure := looksLikeHTTP(p.in)
	if yes {
		g.carryHTTP(ctx, p)
		return
	}
	if !unsure {
		_ = g.buffers.relay(p.in, p.up)
		return
	}
	p.in.br = bufio.NewReaderSize(&lineWatch{r: p.in.br}, sniffSize)
	if err := g.buffers.relay(p.in, p.up); errors.Is(err, errLateRequest) {
		g.rec.refuse(ctx, "http", p.t, belljar.Decision{Nearest: p.d.Rule, Reason: p.t.name() + ": " + errLateRequest.Error()})
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

// maxMethod is the longest word that is taken for an HTTP method.
const maxMethod = 64

// looksLikeHTTP says whether what the client sends is an HTTP request: a word, a
// blank, and a first line that names the protocol's version. Empty lines and
// blanks before it are left out, as servers do. A first line that does not end
// soon is not waited for: then unsure is true, and what is passed on is watched.
func looksLikeHTTP(in *inside) (yes, unsure bool) {
	_ = in.SetReadDeadline(time.Now().Add(lineTimeout))
	defer in.SetReadDeadline(time.Time{})
	for {
		b, _ := in.br.Peek(in.br.Buffered())
		if v := readLine(b); v != lineOpen {
			return v == lineHTTP, false
		}
		if len(b) >= sniffSize {
			return true, false
		}
		if _, err := in.br.Peek(len(b) + 1); err != nil {
			return false, true
		}
	}
}

// What a beginning is.
const (
	lineOpen  = iota // could still become a request
	lineHTTP         // is one
	lineOther        // is something else
)

// readLine judges the beginning of what a client sends.
func readLine(b []byte) int {
	line, _, whole := bytes.Cut(bytes.TrimLeft(b, "\r\n \t"), []byte("\n"))
	switch {
	case !beginsLikeRequest(line), bytes.IndexByte(line, 0) >= 0:
		return lineOther
	case !whole:
		return lineOpen
	case bytes.Contains(bytes.ToUpper(line), []byte("HTTP/1.")):
		return lineHTTP
	}
	return lineOther
}

var errLateRequest = errors.New("an HTTP request that was sent in pieces")

// A lineWatch passes on a beginning that could become an HTTP request, and ends
// when it does: its Host would not be judged.
type lineWatch struct {
	r    io.Reader
	seen []byte
	done bool
}

func (w *lineWatch) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if w.done || n == 0 {
		return n, err
	}
	w.seen = append(w.seen, b[:n]...)
	switch readLine(w.seen) {
	case lineHTTP:
		return 0, errLateRequest
	case lineOther:
		w.done, w.seen = true, nil
	default:
		if len(w.seen) > sniffSize {
			return 0, errLateRequest
		}
	}
	return n, err
}

// beginsLikeRequest says whether a line, perhaps cut, begins with a word and a blank.
func beginsLikeRequest(line []byte) bool {
	word := bytes.TrimLeft(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")
	n := len(line) - len(word)
	switch {
	case n > maxMethod, n == 0 && len(line) > 0:
		return false
	case len(word) == 0:
		return true
	}
	return strings.IndexByte(" \t\v\f\r", word[0]) >= 0
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
		_ = g.buffers.relay(p.in, p.up)
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
	// A server may ask for a second ClientHello: it must ask for the same.
	var later string
	p.in.br = bufio.NewReaderSize(hello.Follow(p.in.br, func(h hello.Hello) error {
		if later = serverNameFault(h, p.t); later != "" {
			return errors.New(later)
		}
		return nil
	}), sniffSize)
	_ = g.buffers.relay(p.in, p.up)
	if later != "" {
		g.rec.refuse(ctx, "tls", p.t, belljar.Decision{Nearest: p.d.Rule, Reason: later})
	}
}

// serverNameFault says what is wrong with the name that a ClientHello asks for.
func serverNameFault(h hello.Hello, t target) string {
	if t.host == "" || ablate.Off(ablate.Target) {
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
	if yes, _ := looksLikeHTTP(p.in); yes {
		serveHTTP(ctx, p.in, &denial{t: p.t, d: d})
		return
	}
	p.in.linger()
}

// linger ends the connection so that what was sent last can still be read. What arrives is
// taken from the connection itself: net/http's goroutine of an HTTP/2 connection that is over may
// still read from br, which two must not do at once.
func (in *inside) linger() {
	_ = in.CloseWrite()
	_ = in.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, in.Conn, 64<<10)
}

// serveHTTP serves requests on a connection from inside.
func serveHTTP(ctx context.Context, in *inside, h httpproxy.Handler) {
	httpproxy.Serve(ctx, in, in.br, h)
	in.linger()
}

// carryHTTP judges every request of the connection.
func (g *Gateway) carryHTTP(ctx context.Context, p *passage) {
	p.proto = "http"
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
		ExpectContinueTimeout:  continueWait,
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

// Close closes the connection and forgets it.
func (c *recounted) Close() error {
	c.to.flow.disown(c)
	return c.Conn.Close()
}

func (c *recounted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.to.sent.Add(int64(n))
	c.to.flow.touch()
	return n, err
}
