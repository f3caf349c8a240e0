package gvisor

import (
	"net/netip"
	"slices"
	"sync/atomic"
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/socket"
	"gvisor.dev/gvisor/pkg/sentry/socket/netstack"
	"gvisor.dev/gvisor/pkg/sentry/vfs"
	"gvisor.dev/gvisor/pkg/syserr"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/belljar-dev/belljar"
)

// This file makes connections to a port of the loopback that a localhost rule names
// short: the sentry connects them to the gateway itself. The helper's listener, which
// takes the same connections, carries every byte through the sentry twice and through
// a process inside; it remains for what cannot go the short way, such as a socket
// that is bound to the loopback's address. Who is connected where is decided by the
// gateway either way.

// socketFamilies are gVisor's socket providers. It has no other way to come before
// them; where a later version has none of this name, the map is nil and every
// connection goes by the helper.
//
//go:linkname socketFamilies gvisor.dev/gvisor/pkg/sentry/socket.families
var socketFamilies map[int][]socket.Provider

// shortenLocalhost has sockets made for connections to the ports go the short way. It
// is called before the sentry runs.
func shortenLocalhost(ports []uint16) {
	if len(ports) == 0 {
		return
	}
	for family, proto := range map[int]tcpip.NetworkProtocolNumber{unix.AF_INET: ipv4.ProtocolNumber, unix.AF_INET6: ipv6.ProtocolNumber} {
		if before := socketFamilies[family]; len(before) > 0 {
			socketFamilies[family] = append([]socket.Provider{&localhostProvider{family: family, proto: proto, ports: ports}}, before...)
		}
	}
}

// A localhostProvider makes the TCP sockets of the sandbox's own network namespace.
// All others are made by the provider after it.
type localhostProvider struct {
	family int
	proto  tcpip.NetworkProtocolNumber
	ports  []uint16
}

var _ socket.Provider = (*localhostProvider)(nil)

// Socket implements socket.Provider.
func (p *localhostProvider) Socket(t *kernel.Task, kind linux.SockType, protocol int) (*vfs.FileDescription, *syserr.Error) {
	if kind != linux.SOCK_STREAM || protocol != 0 && protocol != unix.IPPROTO_TCP {
		return nil, nil
	}
	if t.NetworkNamespace() != t.Kernel().RootNetworkNamespace() {
		return nil, nil // its loopback is another one
	}
	s, ok := t.NetworkContext().(*netstack.Stack)
	if !ok {
		return nil, nil
	}
	queue := &waiter.Queue{}
	ep, err := s.Stack.NewEndpoint(tcp.ProtocolNumber, p.proto, queue)
	if err != nil {
		return nil, syserr.TranslateNetstackError(err)
	}
	ep.SetOwner(t)
	return netstack.New(t, p.family, kind, int(tcp.ProtocolNumber), queue, &localhostEndpoint{Endpoint: ep, ports: p.ports})
}

// Pair implements socket.Provider.
func (*localhostProvider) Pair(*kernel.Task, linux.SockType, int) (*vfs.FileDescription, *vfs.FileDescription, *syserr.Error) {
	return nil, nil, nil
}

// A localhostEndpoint is a TCP endpoint whose connection to a port of the loopback is
// one to the gateway. It shows the addresses that the program expects.
type localhostEndpoint struct {
	tcpip.Endpoint
	ports []uint16
	short atomic.Bool // connected, or about to be, to the gateway
}

// Connect implements tcpip.Endpoint.
func (e *localhostEndpoint) Connect(to tcpip.FullAddress) tcpip.Error {
	way, ok := shortWay(to, e.ports)
	if !ok {
		return e.Endpoint.Connect(to)
	}
	fresh := e.idle()
	if !fresh && !e.short.Load() {
		return e.Endpoint.Connect(to) // it goes the long way, or is no client
	}
	e.short.Store(true)
	err := e.Endpoint.Connect(way)
	if err != nil && fresh && e.idle() {
		e.short.Store(false) // there is no way from where it is bound
		return e.Endpoint.Connect(to)
	}
	return err
}

// idle says whether no connection was attempted yet.
func (e *localhostEndpoint) idle() bool {
	s := tcp.EndpointState(e.State())
	return s == tcp.StateInitial || s == tcp.StateBound
}

// Disconnect implements tcpip.Endpoint.
func (e *localhostEndpoint) Disconnect() tcpip.Error {
	err := e.Endpoint.Disconnect()
	if err == nil {
		e.short.Store(false)
	}
	return err
}

// GetLocalAddress implements tcpip.Endpoint.
func (e *localhostEndpoint) GetLocalAddress() (tcpip.FullAddress, tcpip.Error) {
	return e.shown(e.Endpoint.GetLocalAddress())
}

// GetRemoteAddress implements tcpip.Endpoint.
func (e *localhostEndpoint) GetRemoteAddress() (tcpip.FullAddress, tcpip.Error) {
	return e.shown(e.Endpoint.GetRemoteAddress())
}

// shown is an address of the short way as one of the loopback.
func (e *localhostEndpoint) shown(a tcpip.FullAddress, err tcpip.Error) (tcpip.FullAddress, tcpip.Error) {
	if err == nil && e.short.Load() {
		if ip, ok := netip.AddrFromSlice(a.Addr.AsSlice()); ok {
			a.Addr, a.NIC = likeness(ip, loopback4, netip.IPv6Loopback()), 0
		}
	}
	return a, err
}

var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// shortWay is where a connection to a is made instead; false for the same place.
func shortWay(a tcpip.FullAddress, ports []uint16) (tcpip.FullAddress, bool) {
	ip, ok := netip.AddrFromSlice(a.Addr.AsSlice())
	if !ok || ip.Unmap() != loopback4 && ip != netip.IPv6Loopback() || !slices.Contains(ports, a.Port) {
		return a, false
	}
	return tcpip.FullAddress{Addr: likeness(ip, belljar.LocalhostIPv4, belljar.LocalhostIPv6), Port: a.Port}, true
}

// likeness is v4 or v6, in the form that ip has.
func likeness(ip, v4, v6 netip.Addr) tcpip.Address {
	switch {
	case ip.Is4():
		return tcpip.AddrFrom4(v4.As4())
	case ip.Is4In6():
		return tcpip.AddrFrom16(v4.As16())
	}
	return tcpip.AddrFrom16(v6.As16())
}
