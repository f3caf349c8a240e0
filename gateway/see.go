package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/hello"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
)

const (
	handshakeTimeout = 10 * time.Second // of TLS inside, from the ClientHello on
	// maxH2 is how many connections of HTTP/2 a sandbox may have; more are offered
	// HTTP/1 only, whose connections hold less.
	maxH2 = 256
)

// needsAuthority says which rule or credential may need TLS to be ended; empty: none.
func needsAuthority(n *belljar.Network) string {
	for i := range n.Rules {
		r := &n.Rules[i]
		for _, p := range r.Ports {
			if r.Confined() && p != 80 && r.Host != belljar.Localhost {
				return "the rule for " + r.Host
			}
		}
	}
	for i := range n.LLM {
		if b := &n.LLM[i]; b.Port != 80 && b.Host != belljar.Localhost {
			return "the rule for models at " + b.Host
		}
	}
	for _, b := range n.Pushes {
		if b.Port != 80 && b.Host != belljar.Localhost {
			return "the rule for pushes to " + b.Host
		}
	}
	for i := range n.Credentials {
		for _, b := range n.Credentials[i].Hosts {
			if b.Port != 80 && b.Host != belljar.Localhost {
				return "the credential " + n.Credentials[i].Name
			}
		}
	}
	return ""
}

// unseeable says which rule asks for something that cannot be judged; empty: none.
func unseeable(n *belljar.Network) string {
	for i := range n.Rules {
		if r := &n.Rules[i]; r.Host == "" && r.Confined() {
			return "the rule for " + r.CIDR.String() + " confines requests: an address has none that could be judged"
		}
	}
	return ""
}

// sees says whether the requests of a connection to t must be seen.
func (g *Gateway) sees(t target) bool { return t.host != "" && g.current().Sees(t.host, t.port) }

// see serves a connection whose requests must be seen. Nothing is dialled for it
// until one of them is allowed.
func (g *Gateway) see(ctx context.Context, in *inside, t target, d belljar.Decision) {
	_ = in.SetReadDeadline(time.Now().Add(firstTimeout))
	first, err := in.br.Peek(1)
	if err != nil {
		return
	}
	_ = in.SetReadDeadline(time.Time{})
	switch {
	case first[0] == 0x16 && t.port != 80:
		g.terminate(ctx, in, t, d)
		return
	case t.port == 443:
		g.notTLS(ctx, &passage{in: in, t: t, d: d})
		return
	case t.port != 80:
		if yes, unsure := looksLikeHTTP(in); !yes && !unsure {
			g.refuseSeen(ctx, in, t, d, "tcp", t.name()+": the policy must see the requests, but this is neither TLS nor HTTP/1")
			return
		}
	}
	serveHTTP(ctx, in, &seen{g: g, ctx: ctx, t: t, in: in})
}

// refuseSeen ends a connection that says nothing that could be answered.
func (g *Gateway) refuseSeen(ctx context.Context, in *inside, t target, d belljar.Decision, proto, reason string) {
	g.rec.refuse(ctx, proto, t, belljar.Decision{Nearest: d.Rule, Reason: reason})
	in.linger()
}

// terminate ends TLS and serves the requests within.
func (g *Gateway) terminate(ctx context.Context, in *inside, t target, d belljar.Decision) {
	_ = in.SetReadDeadline(time.Now().Add(helloTimeout))
	h, raw, err := hello.Read(in.br)
	reason, alert := "", byte(alertAccessDenied)
	switch {
	case err != nil:
		reason = t.name() + ": the TLS handshake is malformed: " + printable(err.Error())
	case g.authority == nil:
		reason = t.name() + ": the policy must see the requests, but this gateway cannot end TLS"
	default:
		if reason = serverNameFault(h, t); reason != "" {
			alert = alertUnrecognizedName
		}
	}
	if reason != "" {
		_, _ = in.Conn.Write([]byte{21, 3, 3, 0, 2, 2, alert})
		g.refuseSeen(ctx, in, t, d, "tls", reason)
		return
	}
	raw = append(raw, buffered(in.br)...)
	if in.br == in.first { // nothing stands between it and the connection: many connections wait at a time
		in.br, in.first = bufio.NewReaderSize(in.Conn, 16), nil
	}
	c := &underTLS{inside: in, r: io.MultiReader(bytes.NewReader(raw), in.br), name: certName(g.current(), t), pushed: g.current().ConfinesPushes(t.host, t.port)}
	secure := tls.Server(c, g.tls)
	_ = in.SetDeadline(time.Now().Add(handshakeTimeout))
	if err := handshake(ctx, secure); err != nil {
		g.refuseSeen(ctx, in, t, d, "tls", handshakeFault(t, err))
		return
	}
	_ = in.SetDeadline(time.Time{})
	s := &seen{g: g, ctx: ctx, t: t, in: in, secure: true}
	if secure.ConnectionState().NegotiatedProtocol == "h2" {
		g.h2.Serve(ctx, secure, s)
		in.linger()
		return
	}
	tc := &within{Conn: secure, in: in}
	httpproxy.Serve(ctx, tc, nil, s)
	_ = secure.CloseWrite()
	in.linger()
}

// handshake needs a deep stack, which ends with it: thousands of connections may wait
// afterwards.
func handshake(ctx context.Context, c *tls.Conn) error {
	done := make(chan error, 1)
	go func() { done <- c.HandshakeContext(ctx) }()
	return <-done
}

func buffered(br *bufio.Reader) []byte {
	b, _ := br.Peek(br.Buffered())
	_, _ = br.Discard(len(b))
	return b
}

// handshakeFault words why a program inside ended the handshake.
func handshakeFault(t target, err error) string {
	var alert tls.AlertError
	switch {
	case strings.Contains(err.Error(), "unknown certificate") || strings.Contains(err.Error(), "bad certificate"):
		return t.name() + ": the program does not accept belljar's certificate: it pins another or reads no trust store that belljar knows"
	case errors.As(err, &alert):
		return t.name() + ": the TLS handshake failed: " + printable(alert.Error())
	}
	return t.name() + ": the TLS handshake failed: " + printable(err.Error())
}

// certName is the name in the certificate for t: t's own where a rule spells it out,
// else the wildcard for it and its siblings.
func certName(n *belljar.Network, t target) string {
	if t.host == belljar.Localhost {
		return t.host
	}
	for i := range n.Rules {
		if n.Rules[i].Host == t.host {
			return t.host
		}
	}
	_, parent, found := strings.Cut(t.host, ".")
	if !found || !strings.Contains(parent, ".") {
		return t.host // nobody accepts a wildcard below a top-level domain
	}
	return "*." + parent
}

// newTLS is the configuration of the servers inside.
func (g *Gateway) newTLS() *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// The sandbox's link is no network: there are no lost packets to be careful of.
		// Nor is there anybody to keep it for: what is recorded today to be read in years.
		DynamicRecordSizingDisabled: true,
		CurvePreferences:            []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, ok := h.Conn.(*underTLS)
			if !ok {
				return nil, fmt.Errorf("a connection of another kind: %T", h.Conn)
			}
			return g.authority.Leaf(c.name)
		},
	}
	plain := c.Clone()
	plain.NextProtos = []string{"http/1.1"}
	c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		// git with a libcurl that distributions still have (7.88) now and then waits for
		// itself, for ever, in the middle of a large push over HTTP/2.
		if c, ok := h.Conn.(*underTLS); ok && c.pushed || g.h2.Len() >= maxH2 {
			return plain, nil
		}
		return nil, nil
	}
	return c
}

// underTLS is the connection that carries TLS.
type underTLS struct {
	*inside
	r    io.Reader
	name string // of the certificate
	// pushed says that git may push to the host.
	pushed bool
}

func (c *underTLS) Read(b []byte) (int, error) { return c.r.Read(b) }

// Close lets what was written arrive; the connection's owner ends it.
func (c *underTLS) Close() error {
	_ = c.SetReadDeadline(time.Unix(1, 0))
	return c.CloseWrite()
}

// within is what is inside of TLS.
type within struct {
	*tls.Conn
	in *inside
}

// Lend implements httpproxy.Lender.
func (w *within) Lend() (buf []byte, giveBack func()) { return w.in.Lend() }

// touched keeps its flow from being idle.
type touched struct {
	net.Conn
	flow *flow
}

func (c *touched) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.flow.touch()
	return n, err
}

func (c *touched) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.flow.touch()
	return n, err
}

// CloseWrite ends what is sent inside.
func (c *touched) CloseWrite() error { return closeWrite(c.Conn) }
