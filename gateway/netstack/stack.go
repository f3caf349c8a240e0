package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	nic = 1
	// window is what one connection may have in flight from inside; it decides
	// the window scale, so it is also the ceiling.
	window = 1 << 20
	// halfOpen bounds connection attempts that wait for a decision or for the
	// rest of their handshake. More are ignored, and tried again by the sandbox.
	halfOpen = 512
)

// Options say what a [Stack] is made of.
type Options struct {
	Link belljar.Link
	// TCP receives each connection attempt, in a goroutine of its own. It must
	// call exactly one of Accept and Refuse.
	TCP func(*Request)
	// Dropped is told of each packet that went nowhere. It is called while the
	// link waits, so it must not block.
	Dropped func(Drop)
}

// A Stack is the far end of one link. Its methods are safe for concurrent use.
type Stack struct {
	s     *stack.Stack
	link  *link
	close sync.Once

	mu      sync.Mutex
	closed  bool
	waiting map[*waiter.Queue]struct{} // of handshakes under way
}

// New takes over the link, also on error. Nothing is read from it before
// [Stack.Start], so that sockets can be made first.
func New(o Options) (*Stack, error) {
	defer o.Link.File.Close()
	st := &Stack{waiting: make(map[*waiter.Queue]struct{})}
	accept := func(b []byte) bool {
		v, d := judge(b)
		if v == refuse {
			o.Dropped(d)
		}
		return v == deliver
	}
	l, err := newLink(o.Link, accept)
	if err != nil {
		return nil, fmt.Errorf("take over link: %w", err)
	}
	st.link, st.s = l, newStack()
	f := tcp.NewForwarder(st.s, window, halfOpen, func(r *tcp.ForwarderRequest) {
		id := r.ID()
		o.TCP(&Request{Src: addrPort(id.RemoteAddress, id.RemotePort), Dst: addrPort(id.LocalAddress, id.LocalPort), r: r, st: st})
	})
	st.s.SetTransportProtocolHandler(tcp.ProtocolNumber, f.HandlePacket)
	st.s.SetTransportProtocolHandler(udp.ProtocolNumber, func(id stack.TransportEndpointID, _ *stack.PacketBuffer) bool {
		o.Dropped(Drop{Proto: "udp", Addr: addr(id.LocalAddress), Port: id.LocalPort, Reason: "UDP leaves no sandbox"})
		return false // answered with "port unreachable", so that programs need not wait
	})
	if err := attach(st.s, l, belljar.GatewayIPv4, belljar.GatewayIPv6); err != nil {
		st.Close()
		return nil, fmt.Errorf("attach link: %w", err)
	}
	// Every address is ours to answer for.
	if e := st.s.SetPromiscuousMode(nic, true); e != nil {
		st.Close()
		return nil, errors.New(e.String())
	}
	if e := st.s.SetSpoofing(nic, true); e != nil {
		st.Close()
		return nil, errors.New(e.String())
	}
	return st, nil
}

func mtu(l belljar.Link) uint32 {
	if l.MTU < 1280 || l.MTU > 65535 {
		return 65520
	}
	return uint32(l.MTU)
}

func newStack() *stack.Stack {
	s := stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{
			tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
	})
	rb := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: window, Max: window}
	sb := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: window, Max: window}
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(false)
	// A new connection attempt with the ports of one that is in TIME-WAIT would be
	// dropped. Nothing is reordered or duplicated on a link, so there is nothing to
	// wait for; and what is over should not be kept long.
	wait, linger := tcpip.TCPTimeWaitTimeoutOption(10*time.Millisecond), tcpip.TCPLingerTimeoutOption(5*time.Second)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &wait)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &linger)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &rb)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &sb)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &moderate)
	return s
}

func attach(s *stack.Stack, l *link, addrs ...netip.Addr) error {
	if e := s.CreateNIC(nic, l); e != nil {
		return errors.New(e.String())
	}
	for _, a := range addrs {
		pa := tcpip.ProtocolAddress{Protocol: protocol(a), AddressWithPrefix: tcpipAddr(a).WithPrefix()}
		if e := s.AddProtocolAddress(nic, pa, stack.AddressProperties{}); e != nil {
			return errors.New(e.String())
		}
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	return nil
}

// Start begins to serve the link. It is called once.
func (st *Stack) Start() { st.link.start() }

// ListenUDP receives the datagrams for one address.
func (st *Stack) ListenUDP(at netip.AddrPort) (net.PacketConn, error) {
	return gonet.DialUDP(st.s, fullAddress(at), nil, protocol(at.Addr()))
}

// Dial connects to a port of the sandbox, from the gateway's address.
func (st *Stack) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	from := belljar.GatewayIPv4
	if to.Addr().Is6() {
		from = belljar.GatewayIPv6
	}
	return gonet.DialTCPWithBind(ctx, st.s, *fullAddress(netip.AddrPortFrom(from, 0)), *fullAddress(to), protocol(to.Addr()))
}

// Close ends every connection and waits for the stack's goroutines. Idempotent.
func (st *Stack) Close() {
	st.close.Do(func() {
		st.link.end()
		st.endHandshakes()
		st.s.Destroy()
	})
}

// endHandshakes ends what waits for the rest of a handshake: the stack aborts
// such connections without telling those who wait for them.
func (st *Stack) endHandshakes() {
	st.mu.Lock()
	st.closed = true
	n := len(st.waiting)
	st.mu.Unlock()
	for n > 0 {
		st.s.Close()
		st.mu.Lock()
		for q := range st.waiting {
			q.Notify(waiter.WritableEvents)
		}
		n = len(st.waiting)
		st.mu.Unlock()
		if n > 0 {
			<-time.After(time.Millisecond)
		}
	}
}

// handshake notes that somebody waits by q; false when the stack is closed.
func (st *Stack) handshake(q *waiter.Queue) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.closed {
		st.waiting[q] = struct{}{}
	}
	return !st.closed
}

func (st *Stack) handshakeDone(q *waiter.Queue) {
	st.mu.Lock()
	delete(st.waiting, q)
	st.mu.Unlock()
}

// A Request is a connection attempt that nobody has answered yet.
type Request struct {
	Src, Dst netip.AddrPort
	r        *tcp.ForwarderRequest
	st       *Stack
}

// Refuse answers with a reset: "connection refused" inside.
func (r *Request) Refuse() { r.r.Complete(true) }

// Accept completes the handshake. On error the attempt is over.
// Buffer is the most that the connection may hold in each direction.
func (r *Request) Accept(buffer int) (*Conn, error) {
	var wq waiter.Queue
	if !r.st.handshake(&wq) {
		r.r.Complete(true)
		return nil, net.ErrClosed
	}
	ep, e := r.r.CreateEndpoint(&wq)
	r.st.handshakeDone(&wq)
	if e != nil {
		r.r.Complete(true)
		return nil, errors.New(e.String())
	}
	r.r.Complete(false)
	if buffer < window {
		ep.SocketOptions().SetReceiveBufferSize(int64(buffer), true)
		ep.SocketOptions().SetSendBufferSize(int64(buffer), true)
	}
	ep.SocketOptions().SetKeepAlive(true)
	return &Conn{TCPConn: gonet.NewTCPConn(&wq, ep), ep: ep}, nil
}

// A Conn is an accepted connection from inside.
type Conn struct {
	*gonet.TCPConn
	ep tcpip.Endpoint
}

// Finish ends what is sent and closes the connection once the sandbox has taken
// all of it. When it does not, within limit or before ctx ends, the connection is
// reset: nobody can leave data behind by not reading it.
func (c *Conn) Finish(ctx context.Context, limit time.Duration) {
	_ = c.CloseWrite()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for pause := time.Millisecond; !c.taken(); pause = min(2*pause, 100*time.Millisecond) {
		select {
		case <-time.After(pause):
			continue
		case <-deadline.C:
		case <-ctx.Done():
		}
		c.Abort()
		break
	}
	_ = c.Close()
}

// taken says whether everything that was sent, its end too, has been acknowledged.
func (c *Conn) taken() bool {
	switch tcp.EndpointState(c.ep.State()) {
	case tcp.StateEstablished, tcp.StateCloseWait, tcp.StateFinWait1, tcp.StateLastAck, tcp.StateClosing:
		return false
	}
	return true
}

// Abort ends the connection with a reset.
func (c *Conn) Abort() { c.ep.Abort() }

func protocol(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func tcpipAddr(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func addr(a tcpip.Address) netip.Addr {
	n, _ := netip.AddrFromSlice(a.AsSlice())
	return n.Unmap()
}

func addrPort(a tcpip.Address, port uint16) netip.AddrPort { return netip.AddrPortFrom(addr(a), port) }

func fullAddress(a netip.AddrPort) *tcpip.FullAddress {
	return &tcpip.FullAddress{NIC: nic, Addr: tcpipAddr(a.Addr()), Port: a.Port()}
}
