package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"github.com/belljar-dev/belljar/gateway/socks"
)

// proxy serves the proxy port: SOCKS or HTTP, by the first byte.
func (g *Gateway) proxy(ctx context.Context, in *inside) {
	_ = in.SetReadDeadline(time.Now().Add(firstTimeout))
	first, err := in.br.Peek(1)
	if err != nil {
		return
	}
	_ = in.SetReadDeadline(time.Time{})
	if first[0] == 4 || first[0] == 5 {
		g.socks(ctx, in)
		return
	}
	h := &explicit{g: g, ctx: ctx, in: in}
	h.tr = &http.Transport{
		DialContext:            h.dial,
		DisableCompression:     true,
		MaxConnsPerHost:        1,
		MaxIdleConns:           4,
		ExpectContinueTimeout:  continueWait,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: httpproxy.MaxHead * 4,
	}
	defer h.tr.CloseIdleConnections()
	serveHTTP(ctx, in, h)
}

// ServeProxy serves one connection of a program that speaks to the proxy, as port
// [belljar.ProxyPort] of the link does, where there are streams and no packets. It
// returns when the connection is over, and closes it. Before Run and after it the
// connection is closed at once.
func (g *Gateway) ServeProxy(c net.Conn) {
	defer c.Close()
	ctx, ok := g.enter()
	if !ok {
		return
	}
	defer g.wg.Done()
	f, n := g.flows.open()
	if f == nil {
		g.rec.limited(ctx, "connections", MaxConnections, int64(n))
		return
	}
	defer g.flows.done(f)
	in := &inside{Conn: &touched{Conn: c, flow: f}, abort: func() { _ = c.Close() }, flow: f, buffers: g.buffers}
	in.look()
	f.own(c)
	g.proxy(ctx, in)
}

// known replaces an address of ours by the name that it stands for: a client may
// have resolved the name itself.
func (g *Gateway) known(t target) target {
	if t.host != "" {
		return t
	}
	switch {
	case t.addr == belljar.LocalhostIPv4, t.addr == belljar.LocalhostIPv6, t.addr.IsLoopback():
		t.host = belljar.Localhost
	default:
		if name, ok := g.names.name(t.addr); ok {
			t.host = name
		}
	}
	if t.host != "" {
		t.addr = netip.Addr{}
	}
	return t
}

func (g *Gateway) socks(ctx context.Context, in *inside) {
	_ = in.SetDeadline(time.Now().Add(helloTimeout))
	req, err := socks.Read(in.br, in.Conn)
	if err != nil {
		var n net.Error
		if !errors.Is(err, io.EOF) && !errors.As(err, &n) {
			g.rec.refuse(ctx, "socks", target{}, belljar.Decision{Reason: "a SOCKS request that is refused: " + printable(err.Error())})
		}
		in.linger()
		return
	}
	_ = in.SetDeadline(time.Time{})
	t := target{addr: req.Addr, port: req.Port}
	if req.Name != "" {
		t, err = parseHost(req.Name, true)
		t.port = req.Port
	}
	if err != nil || t.port == 0 {
		g.rec.refuse(ctx, "socks", target{}, belljar.Decision{Reason: "not a host name: " + printable(req.Name)})
		g.answer(in, req.Reply(socks.NotAllowed))
		return
	}
	t = g.known(t)
	d := g.permit(ctx, t)
	if !d.Allow {
		g.rec.refuse(ctx, "socks", t, d)
		g.answer(in, req.Reply(socks.NotAllowed))
		return
	}
	if g.sees(t) {
		if _, err := in.Conn.Write(req.Reply(socks.Connected)); err == nil {
			g.see(ctx, in, t, d)
		}
		return
	}
	up, addr, err := g.connect(ctx, in.flow, "socks", t, d)
	if err != nil {
		g.answer(in, req.Reply(socksResult(err)))
		return
	}
	if _, err := in.Conn.Write(req.Reply(socks.Connected)); err != nil {
		return
	}
	g.carry(ctx, &passage{in: in, up: up, t: t, d: d, addr: addr, started: time.Now(), proto: "socks"})
}

// answer sends the last words on a connection.
func (g *Gateway) answer(in *inside, b []byte) {
	_, _ = in.Conn.Write(b)
	in.linger()
}

func socksResult(err error) socks.Result {
	var no *refusedError
	switch {
	case errors.As(err, &no):
		return socks.NotAllowed
	case errors.Is(err, syscall.ECONNREFUSED):
		return socks.ConnRefused
	}
	return socks.Unreachable
}

// explicit judges the requests of a client that knows of the proxy.
type explicit struct {
	g   *Gateway
	ctx context.Context
	in  *inside
	tr  *http.Transport
}

func (h *explicit) Failed(r *http.Request, err error) *httpproxy.Reply {
	var rep *replyError
	if errors.As(err, &rep) {
		return rep.Reply
	}
	var no *refusedError
	if errors.As(err, &no) && r != nil {
		t, _ := parseAuthority(r.URL.Host, 80)
		return refusalReply(t, no.Decision)
	}
	if r == nil {
		h.g.rec.refuse(h.ctx, "http", target{}, belljar.Decision{Reason: "a malformed request to the proxy: " + printable(err.Error())})
	}
	return faultReply(err)
}

func (h *explicit) Handle(r *http.Request) httpproxy.Action {
	if r.Method == http.MethodConnect {
		return h.connect(r)
	}
	refuse := func(t target, reason string) httpproxy.Action {
		d := belljar.Decision{Reason: reason}
		h.g.rec.refuse(h.ctx, "http", t, d)
		return httpproxy.Action{Reply: refusalReply(t, d)}
	}
	if r.URL.Host == "" {
		// Asked directly, as a page is asked: it is the gateway's own.
		return (&page{g: h.g, in: h.in}).Handle(r)
	}
	t, err := parseAuthority(r.URL.Host, 80)
	switch {
	case err != nil || r.URL.User != nil:
		return refuse(target{}, "the request's address is no host name: "+printable(r.URL.Host))
	case !strings.EqualFold(r.URL.Scheme, "http"):
		return refuse(t, t.name()+": the proxy takes https by CONNECT only, and no other scheme than http")
	}
	if host, err := parseAuthority(r.Host, 80); err != nil || host != t {
		return refuse(t, "the request is for "+t.name()+", but its Host is "+printable(r.Host))
	}
	if h.g.own(t.host) && t.port == 80 {
		return (&page{g: h.g, in: h.in}).Handle(r)
	}
	t = h.g.known(t)
	d := h.g.permit(h.ctx, t)
	if !d.Allow {
		h.g.rec.refuse(h.ctx, "http", t, d)
		return httpproxy.Action{Reply: refusalReply(t, d)}
	}
	if t.port == 443 {
		return refuse(t, t.name()+": port 443 speaks TLS only")
	}
	if h.g.sees(t) {
		return (&seen{g: h.g, ctx: h.ctx, t: t, in: h.in}).Handle(r)
	}
	r.URL.Scheme = "http"
	return httpproxy.Action{Forward: h.g.unseen(h.ctx, r, t, d, h.tr)}
}

// dial connects for one absolute-form request. The policy is asked once more, so
// that what is dialled is what was judged, whatever the transport makes of it.
func (h *explicit) dial(ctx context.Context, _, hostport string) (net.Conn, error) {
	t, err := parseAuthority(hostport, 0)
	if err != nil {
		return nil, err
	}
	t = h.g.known(t)
	d := h.g.decide(t)
	if !d.Allow && !d.Ask { // what is asked about was answered for the request
		return nil, &refusedError{d}
	}
	up, addr, err := h.g.connect(ctx, h.in.flow, "http", t, d)
	if err != nil {
		return nil, err
	}
	return &recorded{counted: up, rec: h.g.rec, ctx: h.ctx, started: time.Now(), event: belljar.NetEvent{
		Proto: "http", Host: t.host, Addr: addr, Port: t.port, Rule: origin(d.Rule),
	}}, nil
}

// connect answers CONNECT.
func (h *explicit) connect(r *http.Request) httpproxy.Action {
	t, err := parseAuthority(r.RequestURI, 0)
	if err != nil {
		d := belljar.Decision{Reason: "CONNECT to what is no host and port: " + printable(r.RequestURI)}
		h.g.rec.refuse(h.ctx, "http", target{}, d)
		return httpproxy.Action{Reply: &httpproxy.Reply{Status: http.StatusBadRequest, Reason: d.Reason, Body: d.Reason + "\n"}}
	}
	t = h.g.known(t)
	if h.g.own(t.host) && t.port == 80 {
		return httpproxy.Action{Take: func(br *bufio.Reader) {
			h.in.br = br
			if h.established() {
				serveHTTP(h.ctx, h.in, &page{g: h.g, in: h.in})
			}
		}}
	}
	d := h.g.permit(h.ctx, t)
	if !d.Allow {
		h.g.rec.refuse(h.ctx, "http", t, d)
		return httpproxy.Action{Reply: refusalReply(t, d)}
	}
	if h.g.sees(t) {
		return httpproxy.Action{Take: func(br *bufio.Reader) {
			h.in.br = br
			if h.established() {
				h.g.see(h.ctx, h.in, t, d)
			}
		}}
	}
	up, addr, err := h.g.connect(h.ctx, h.in.flow, "http", t, d)
	if err != nil {
		return httpproxy.Action{Reply: connectReply(t, err)}
	}
	return httpproxy.Action{Take: func(br *bufio.Reader) {
		h.in.br = br
		if !h.established() {
			_ = up.Close()
			return
		}
		h.g.carry(h.ctx, &passage{in: h.in, up: up, t: t, d: d, addr: addr, started: time.Now(), proto: "http"})
	}}
}

func connectReply(t target, err error) *httpproxy.Reply {
	var no *refusedError
	if errors.As(err, &no) {
		return refusalReply(t, no.Decision)
	}
	return faultReply(err)
}

// established tells the client that the tunnel stands.
func (h *explicit) established() bool {
	_, err := io.WriteString(h.in.Conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	return err == nil
}

// A recorded connection is put on record when it is closed.
type recorded struct {
	*counted
	rec     *recorder
	ctx     context.Context
	started time.Time
	event   belljar.NetEvent
	ended   func() // told when it is closed; may be nil
	done    atomic.Bool
}

func (c *recorded) Close() error {
	if c.done.CompareAndSwap(false, true) {
		c.event.Sent, c.event.Received = c.sent.Load(), c.received.Load()
		c.event.Millis = time.Since(c.started).Milliseconds()
		c.rec.connected(c.ctx, c.event)
		if c.ended != nil {
			defer c.ended()
		}
	}
	return c.counted.Close()
}
