package netstack

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/belljar-dev/belljar"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A Guest is the sandbox's end of a link, as a tier's kernel would be: it lets a
// test or a probe act from inside without a sandbox.
type Guest struct {
	s     *stack.Stack
	link  *link
	close sync.Once
}

// NewGuest takes over the sandbox's end of a link, also on error.
func NewGuest(l belljar.Link) (*Guest, error) {
	defer l.File.Close()
	ln, err := newLink(l, nil)
	if err != nil {
		return nil, err
	}
	g := &Guest{s: newStack(), link: ln}
	if err := attach(g.s, ln, belljar.GuestIPv4, belljar.GuestIPv6); err != nil {
		g.Close()
		return nil, err
	}
	ln.start()
	return g, nil
}

// DialTCP connects from inside.
func (g *Guest) DialTCP(ctx context.Context, to netip.AddrPort) (*gonet.TCPConn, error) {
	return gonet.DialContextTCP(ctx, g.s, *fullAddress(to), protocol(to.Addr()))
}

// DialUDP makes a connected datagram socket inside.
func (g *Guest) DialUDP(to netip.AddrPort) (net.Conn, error) {
	return gonet.DialUDP(g.s, nil, fullAddress(to), protocol(to.Addr()))
}

// ListenTCP listens inside.
func (g *Guest) ListenTCP(at netip.AddrPort) (net.Listener, error) {
	return gonet.ListenTCP(g.s, *fullAddress(at), protocol(at.Addr()))
}

// Inject puts one raw packet on the link, past the guest's own stack.
func (g *Guest) Inject(packet []byte) error { return g.link.write(packet) }

// Close ends every connection and waits for the stack's goroutines. Idempotent.
func (g *Guest) Close() {
	g.close.Do(func() {
		g.link.end()
		g.s.Destroy()
	})
}
