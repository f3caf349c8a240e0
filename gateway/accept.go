package gateway

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/dns"
	"github.com/belljar-dev/belljar/gateway/netstack"
)

// bufferFor is what one of n connections may hold in each direction: generous
// while there are few, so that all of them together stay bounded.
func bufferFor(n int) int {
	switch {
	case n <= 16:
		return 1 << 20
	case n <= 128:
		return 128 << 10
	}
	return 32 << 10
}

// context is that of Run.
func (g *Gateway) context() context.Context {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ctx
}

// accept answers one connection attempt.
func (g *Gateway) accept(r *netstack.Request) {
	ctx, ok := g.enter()
	if !ok {
		r.Refuse()
		return
	}
	defer g.wg.Done()
	f, n := g.flows.open()
	if f == nil {
		g.rec.limited(ctx, "connections", MaxConnections, int64(n))
		r.Refuse()
		return
	}
	defer g.flows.done(f)
	a := &attempt{g: g, r: r, f: f, buffer: bufferFor(n)}
	defer a.finish(ctx)
	switch dst := r.Dst.Addr(); dst {
	case belljar.GatewayIPv4, belljar.GatewayIPv6:
		a.service(ctx)
	case belljar.LocalhostIPv4, belljar.LocalhostIPv6:
		a.outside(ctx, target{host: belljar.Localhost, port: r.Dst.Port()})
	default:
		t := target{addr: dst, port: r.Dst.Port()}
		if name, ok := g.names.name(dst); ok {
			t = target{host: name, port: r.Dst.Port()}
		}
		a.outside(ctx, t)
	}
}

// An attempt is a connection attempt that is being answered.
type attempt struct {
	g      *Gateway
	r      *netstack.Request
	f      *flow
	buffer int
	conn   *netstack.Conn // once the handshake is complete
}

// finishTimeout is how long a sandbox may take for the last bytes it was sent.
const finishTimeout = 30 * time.Second

// finish gives the sandbox time for what was sent last; the flow counts as long.
func (a *attempt) finish(ctx context.Context) {
	if a.conn != nil {
		a.conn.Finish(ctx, finishTimeout)
	}
}

// open completes the handshake.
func (a *attempt) open() (*inside, bool) {
	began := time.Now() // nothing but its first packet was there yet
	c, err := a.r.Accept(a.buffer)
	if err != nil {
		return nil, false
	}
	a.conn = c
	in := &inside{Conn: &touched{Conn: c, flow: a.f}, abort: c.Abort, flow: a.f, buffers: a.g.buffers, from: a.r.Src, to: a.r.Dst, began: began}
	in.look()
	a.f.own(c)
	return in, true
}

// service is a connection to the gateway itself.
func (a *attempt) service(ctx context.Context) {
	g := a.g
	switch port := a.r.Dst.Port(); port {
	case 53:
		if in, ok := a.open(); ok {
			dns.ServeTCP(in, zone{g}, g.mayAsk)
		}
	case 80:
		if in, ok := a.open(); ok {
			serveHTTP(ctx, in, &page{g: g, in: in})
		}
	case belljar.ProxyPort:
		if in, ok := a.open(); ok {
			g.proxy(ctx, in)
		}
	default:
		g.rec.refuse(ctx, "tcp", target{addr: a.r.Dst.Addr(), port: port}, belljar.Decision{
			Reason: "the gateway answers on ports 53, 80 and 3128 only",
		})
		a.r.Refuse()
	}
}

// decide judges a target that is not the gateway itself.
func (g *Gateway) decide(t target) belljar.Decision {
	if t.host == "" {
		if refused, d := g.guard.literal(t); refused {
			return d
		}
	}
	return g.judge(t.request())
}

// outside is a connection to a name or an address outside.
func (a *attempt) outside(ctx context.Context, t target) {
	g := a.g
	d := g.decide(t)
	if !d.Allow && !d.Ask {
		g.rec.refuse(ctx, "tcp", t, d)
		a.deny(ctx, t, d)
		return
	}
	if g.sees(t) {
		if in, ok := a.open(); ok {
			g.see(ctx, in, t, d)
		}
		return
	}
	if d.Ask {
		a.asked(ctx, t)
		return
	}
	up, addr, err := g.connect(ctx, a.f, "tcp", t, d)
	if err != nil {
		var no *refusedError
		if errors.As(err, &no) {
			a.deny(ctx, t, no.Decision)
			return
		}
		a.r.Refuse()
		return
	}
	in, ok := a.open()
	if !ok {
		return
	}
	g.carry(ctx, &passage{in: in, up: up, t: t, d: d, addr: addr, started: time.Now(), proto: "tcp"})
}

// asked is a connection that is asked about. The handshake is completed first: what
// waits would otherwise keep others from connecting.
func (a *attempt) asked(ctx context.Context, t target) {
	g := a.g
	in, ok := a.open()
	if !ok {
		return
	}
	d := g.permit(ctx, t)
	var up *counted
	addr := ""
	if d.Allow {
		var err error
		if up, addr, err = g.connect(ctx, a.f, "tcp", t, d); err == nil {
			g.carry(ctx, &passage{in: in, up: up, t: t, d: d, addr: addr, started: time.Now(), proto: "tcp"})
			return
		}
		var no *refusedError
		if !errors.As(err, &no) {
			in.abort()
			return
		}
		d = no.Decision
	} else {
		g.rec.refuse(ctx, "tcp", t, d)
	}
	if t.port == 80 && t.host != "" {
		serveHTTP(ctx, in, &denial{t: t, d: d})
		return
	}
	in.abort()
}

// deny refuses the attempt; to a name's port 80 it answers with the reason first.
func (a *attempt) deny(ctx context.Context, t target, d belljar.Decision) {
	if t.port != 80 || t.host == "" || t.host == belljar.Localhost {
		a.r.Refuse()
		return
	}
	if in, ok := a.open(); ok {
		serveHTTP(ctx, in, &denial{t: t, d: d})
	}
}

// connect dials t and records what came of it, unless it is a connection.
func (g *Gateway) connect(ctx context.Context, f *flow, proto string, t target, d belljar.Decision) (*counted, string, error) {
	began := time.Now()
	c, addr, err := g.way.connect(ctx, t, d)
	if err == nil {
		up := &counted{Conn: c, flow: f, buffers: g.buffers}
		f.own(up)
		return up, addr, nil
	}
	var no *refusedError
	if errors.As(err, &no) {
		if no.Nearest == nil {
			no.Nearest = d.Rule
		}
		g.rec.refuse(ctx, proto, t, no.Decision)
	} else {
		g.rec.connected(ctx, belljar.NetEvent{
			Proto: proto, Host: t.host, Addr: addr, Port: t.port, Rule: origin(d.Rule),
			Reason: err.Error(), Millis: time.Since(began).Milliseconds(),
		})
	}
	return nil, addr, err
}

// inside is the sandbox's end of a connection.
type inside struct {
	net.Conn
	br    *bufio.Reader // reads from Conn
	first *bufio.Reader // br as it was made, until TLS is ended
	abort func()
	flow  *flow
	// from and to are the ends of the connection as the link has them; invalid where there
	// are streams and no packets. began is before the sandbox could send anything on it.
	from, to netip.AddrPort
	began    time.Time

	buffers *buffers // nil: none to lend
}

// look makes the reader.
func (in *inside) look() {
	in.first = bufio.NewReaderSize(in.Conn, sniffSize)
	in.br = in.first
}

// Lend implements httpproxy.Lender.
func (in *inside) Lend() (buf []byte, giveBack func()) { return in.buffers.lend() }

// Read takes what was read ahead first.
func (in *inside) Read(b []byte) (int, error) { return in.br.Read(b) }

// CloseWrite ends what is sent inside.
func (in *inside) CloseWrite() error { return closeWrite(in.Conn) }
