package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/h1"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
)

const (
	// MaxUpstream is how many connections to the outside carry requests that are seen.
	MaxUpstream = 512
	// MaxRequests is how many requests may be under way on connections that are seen.
	MaxRequests = 1024

	// wideWindow is how much of one answer of HTTP/2 is taken before it is passed on, for
	// the first maxWide requests at a time; the others share connections on which it is
	// narrowWindow: so much of each request may lie here unread, 32 and 28 MiB together.
	// What is not read of some never holds up others on their connection.
	wideWindow, narrowWindow = 256 << 10, 32 << 10
	maxWide                  = 128

	idleUpstream = 90 * time.Second
	idlePerHost  = 64
	idleAll      = 256
	continueWait = time.Second // for the server's word on "Expect: 100-continue"
)

// A pool holds the connections to the outside that carry requests which are seen.
// Those of all clients inside share them, by name and port: nothing is dialled before
// a request is allowed, and a connection of HTTP/2 carries many.
type pool struct {
	g     *Gateway
	flows *flows // of the connections to the outside
	slots chan struct{}
	wide  chan struct{} // of those, how many have a wide window
	// Rules with private: true have connections of their own: what such a rule may
	// reach another one may not.
	public, private transports
}

// transports are the connections of some rules, by the window of their answers.
type transports struct {
	wide, narrow *http.Transport
	quick        *h1.Client // for what it takes, in place of either
}

func newPool(g *Gateway, roots *x509.CertPool) *pool {
	p := &pool{g: g, flows: newFlows(MaxUpstream), slots: make(chan struct{}, MaxRequests), wide: make(chan struct{}, maxWide)}
	p.public = transports{p.transport(roots, false, wideWindow), p.transport(roots, false, narrowWindow), p.quick(roots, false)}
	p.private = transports{p.transport(roots, true, wideWindow), p.transport(roots, true, narrowWindow), p.quick(roots, true)}
	return p
}

func (p *pool) transport(roots *x509.CertPool, private bool, window int) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, hostport string) (net.Conn, error) {
			return p.dial(ctx, hostport, private)
		},
		TLSClientConfig:        verifying(roots),
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           idleAll,
		MaxIdleConnsPerHost:    idlePerHost,
		IdleConnTimeout:        idleUpstream,
		ExpectContinueTimeout:  continueWait,
		MaxResponseHeaderBytes: httpproxy.MaxHead * 4,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: MaxRequests * window,
			MaxReceiveBufferPerStream:     window,
			SendPingTimeout:               time.Minute,
			PingTimeout:                   15 * time.Second,
		},
	}
}

func (p *pool) quick(roots *x509.CertPool, private bool) *h1.Client {
	return h1.New(h1.Options{
		Dial: func(ctx context.Context, hostport string) (net.Conn, error) {
			return p.dial(ctx, hostport, private)
		},
		TLS:         verifying(roots),
		Handshake:   dialTimeout,
		MaxHead:     httpproxy.MaxHead * 4,
		Idle:        idleUpstream,
		IdlePerHost: idlePerHost,
		IdleAll:     idleAll,
	})
}

// verifying is how servers are verified.
func verifying(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(idleAll)}
}

// through is the way of requests that rule allows: the quick one for what it takes, and the
// transport.
func (p *pool) through(rule *belljar.NetRule, wide bool) (*h1.Client, *http.Transport) {
	t := &p.public
	if rule.Private {
		t = &p.private
	}
	if wide {
		return t.quick, t.wide
	}
	return t.quick, t.narrow
}

var errUpstreamFull = errors.New("too many connections to the outside")

// dial connects for requests. The policy is asked once more, so that what is dialled
// is what was judged, whatever the transport makes of it.
func (p *pool) dial(ctx context.Context, hostport string, private bool) (net.Conn, error) {
	g := p.g
	t, err := parseAuthority(hostport, 0)
	if err != nil {
		return nil, err
	}
	d := g.decide(t)
	if !d.Allow && !d.Ask { // what is asked about was answered for the request
		return nil, &refusedError{d}
	}
	rule := *d.Rule
	rule.Private = private
	d.Rule = &rule
	f, _ := p.flows.open()
	if f == nil {
		p.closeIdle() // there may be one that carries nothing
		var n int
		if f, n = p.flows.open(); f == nil {
			g.rec.limited(ctx, "connections", MaxUpstream, int64(n))
			return nil, errUpstreamFull
		}
	}
	up, addr, err := g.connect(ctx, f, "tcp", t, d)
	if err != nil {
		p.flows.done(f)
		return nil, err
	}
	c := &recorded{counted: up, rec: g.rec, ctx: g.context(), started: time.Now(), event: belljar.NetEvent{
		Proto: "tcp", Host: t.host, Addr: addr, Port: t.port, Rule: origin(d.Rule),
	}, ended: func() { p.flows.done(f) }}
	f.own(c)
	return c, nil
}

func (p *pool) closeIdle() {
	for _, t := range []*http.Transport{p.public.wide, p.public.narrow, p.private.wide, p.private.narrow} {
		t.CloseIdleConnections()
	}
	p.public.quick.CloseIdle()
	p.private.quick.CloseIdle()
}

// close ends every connection to the outside.
func (p *pool) close() {
	p.flows.closeAll()
	p.closeIdle()
}

// enter counts a request that begins; ok is false when there are too many. leave, called
// once, gives its place back; wide says that its answer has a wide window.
func (p *pool) enter() (leave func(), wide, ok bool) {
	select {
	case p.slots <- struct{}{}:
	default:
		return nil, false, false
	}
	select {
	case p.wide <- struct{}{}:
		return func() { <-p.wide; <-p.slots }, true, true
	default:
		return func() { <-p.slots }, false, true
	}
}
