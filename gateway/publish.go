package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
)

// publishTries is how many addresses are tried for the published ports.
const publishTries = 16

// loopbackFor is the n-th loopback address that a sandbox's published ports may
// have: 127.64.0.0/10, away from the addresses that people use by hand.
func loopbackFor(name string, n int) netip.Addr {
	h := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", name, n))
	return netip.AddrFrom4([4]byte{127, 64 | h[0]&0x3f, h[1], 1 + h[2]%254})
}

// publish listens on the sandbox's own loopback address. g.mu is held.
func (g *Gateway) publish() error {
	if len(g.network.Publish) == 0 {
		return nil
	}
	var last error
	for n := range publishTries {
		at := loopbackFor(g.name, n)
		ls, err := listenAll(at, g.network.Publish)
		if err == nil {
			g.servePublished(at, ls)
			return nil
		}
		last = err
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return &belljar.Error{Op: "publish", Kind: belljar.KindNotHere, Err: last, Hint: "choose ports that this user may listen on"}
}

// listenAll listens on every port of one address, or on none.
func listenAll(at netip.Addr, rules []belljar.PublishRule) ([]net.Listener, error) {
	var ls []net.Listener
	for _, r := range rules {
		l, err := net.Listen("tcp", netip.AddrPortFrom(at, r.Port).String())
		if err != nil {
			for _, l := range ls {
				_ = l.Close()
			}
			return nil, err
		}
		ls = append(ls, l)
	}
	return ls, nil
}

func (g *Gateway) servePublished(at netip.Addr, ls []net.Listener) {
	ctx := g.ctx
	for i, l := range ls {
		r := g.network.Publish[i]
		g.sockets = append(g.sockets, l)
		o := r.Origin
		g.rec.write(ctx, belljar.Event{Kind: belljar.EventPublish, Net: &belljar.NetEvent{
			Proto: "publish", Addr: at.String(), Port: r.Port, Rule: &o,
		}})
		g.wg.Go(func() { g.acceptPublished(ctx, l, r.Port) })
	}
}

func (g *Gateway) acceptPublished(ctx context.Context, l net.Listener, port uint16) {
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return
			}
			select { // out of descriptors: wait for some
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		f, _ := g.flows.open()
		if f == nil {
			_ = c.Close()
			continue
		}
		f.own(c)
		g.wg.Go(func() {
			defer g.flows.done(f)
			g.intoSandbox(ctx, f, c, port)
		})
	}
}

// intoSandbox carries a connection from the host to a port inside.
func (g *Gateway) intoSandbox(ctx context.Context, f *flow, c net.Conn, port uint16) {
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	s, err := g.stack.Dial(dctx, netip.AddrPortFrom(belljar.GuestIPv4, port))
	if err != nil {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // the host's program sees a reset, as if nobody listened
		}
		return
	}
	f.own(s)
	in := &inside{Conn: c, br: bufio.NewReaderSize(c, sniffSize), flow: f, abort: func() { _ = c.Close() }}
	_ = g.buffers.relay(in, &counted{Conn: s, flow: f})
}
