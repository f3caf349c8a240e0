package netstack

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/belljar-dev/belljar"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// smallPacket is the size up to which an incoming packet is copied out of the
// reading buffer; larger ones take the buffer with them.
const smallPacket = 8 << 10

// maxPieces bounds the pieces of one outgoing packet in one system call.
const maxPieces = 64

// link is the stack's end of a packet socket: one IP packet per message, behind a
// fixed link-layer header or none. Writes wait for room instead of dropping.
type link struct {
	file   *os.File
	header [2][]byte // of IPv4 and IPv6 packets; empty for none
	raw    syscall.RawConn
	accept func([]byte) bool // judges packets before the stack sees them; nil takes all
	done   sync.WaitGroup

	mu         sync.RWMutex
	mtu        uint32
	dispatcher stack.NetworkDispatcher
}

var _ stack.LinkEndpoint = (*link)(nil)

func newLink(from belljar.Link, accept func([]byte) bool) (*link, error) {
	f := from.File
	// A file opened from a blocking descriptor is not known to the runtime's
	// poller; one made from a non-blocking duplicate is.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), "link")
	// A larger buffer than the system allows is not an error: it is capped.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	l := &link{file: file, raw: raw, accept: accept, mtu: mtu(from)}
	if n := len(from.Header); n > 2 {
		l.header[0] = binary.BigEndian.AppendUint16(slices.Clone(from.Header[:n-2]), uint16(ipv4.ProtocolNumber))
		l.header[1] = binary.BigEndian.AppendUint16(slices.Clone(from.Header[:n-2]), uint16(ipv6.ProtocolNumber))
	}
	return l, nil
}

// Attach sets who gets what is read.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	l.dispatcher = d
	l.mu.Unlock()
}

// start begins to read.
func (l *link) start() { l.done.Go(l.read) }

// read delivers packets until the file is closed or the other end is gone.
func (l *link) read() {
	big := buffer.NewViewSize(1 << 16)
	defer func() { big.Release() }()
	for {
		n, err := l.readPacket(big.AsSlice())
		if err != nil {
			if errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.EINTR) {
				continue
			}
			return // closed by us, or io.EOF: the other end is gone
		}
		if n == 0 || l.accept != nil && !l.accept(big.AsSlice()[:n]) {
			continue
		}
		v := big
		if n <= smallPacket {
			v = buffer.NewViewWithData(big.AsSlice()[:n])
		} else {
			v.CapLength(n)
			big = buffer.NewViewSize(1 << 16)
		}
		l.deliver(v)
	}
}

// readPacket reads one packet into b and returns its size without the header; one
// that is too short is empty.
func (l *link) readPacket(b []byte) (int, error) {
	h := len(l.header[0])
	n, err := l.file.Read(b)
	if h == 0 || err != nil {
		return n, err
	}
	if n <= h {
		return 0, nil
	}
	return copy(b, b[h:n]), nil
}

func (l *link) deliver(v *buffer.View) {
	proto := ipv4.ProtocolNumber
	if v.AsSlice()[0]>>4 == 6 {
		proto = ipv6.ProtocolNumber
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
	defer pkt.DecRef()
	l.mu.RLock()
	d := l.dispatcher
	l.mu.RUnlock()
	if d != nil {
		d.DeliverNetworkPacket(proto, pkt)
	}
}

// WritePackets sends each packet as one message and waits for room.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, pkt := range pkts.AsSlice() {
		if err := l.write(pkt.AsSlices()); err != nil {
			return n, &tcpip.ErrClosedForSend{}
		}
		n++
	}
	return n, nil
}

func (l *link) write(pieces [][]byte) error {
	if len(pieces) > 0 && len(pieces[0]) > 0 && len(l.header[0]) > 0 {
		h := l.header[0]
		if pieces[0][0]>>4 == 6 {
			h = l.header[1]
		}
		pieces = slices.Insert(pieces, 0, h)
	}
	if len(pieces) > maxPieces {
		var all []byte
		for _, p := range pieces {
			all = append(all, p...)
		}
		pieces = [][]byte{all}
	}
	var werr error
	err := l.raw.Write(func(fd uintptr) bool {
		for {
			_, werr = unix.Writev(int(fd), pieces)
			if werr != unix.EINTR {
				return werr != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return err
	}
	if werr == unix.ENOBUFS || werr == unix.EMSGSIZE {
		return nil // one packet lost; TCP sends it again
	}
	return werr
}

// Close ends reading and writing.
func (l *link) Close() { _ = l.file.Close() }

// end closes the link and waits for its reader. It comes before the stack is
// destroyed, which would wait under a lock that the reader may need.
func (l *link) end() {
	l.Close()
	l.done.Wait()
}

// Wait returns at once: see end.
func (l *link) Wait() {}

// MTU is the largest packet.
func (l *link) MTU() uint32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mtu
}

// SetMTU changes the largest packet.
func (l *link) SetMTU(m uint32) {
	l.mu.Lock()
	l.mtu = m
	l.mu.Unlock()
}

// IsAttached says whether the stack listens.
func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}

// Capabilities: none; checksums of what comes from inside are verified.
func (l *link) Capabilities() stack.LinkEndpointCapabilities { return 0 }

// MaxHeaderLength is zero: packets carry no link header.
func (l *link) MaxHeaderLength() uint16 { return 0 }

// LinkAddress is empty: nothing is resolved on this link.
func (l *link) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress does nothing.
func (l *link) SetLinkAddress(tcpip.LinkAddress) {}

// ARPHardwareType is none.
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader does nothing.
func (l *link) AddHeader(*stack.PacketBuffer) {}

// ParseHeader does nothing.
func (l *link) ParseHeader(*stack.PacketBuffer) bool { return true }

// SetOnCloseAction does nothing.
func (l *link) SetOnCloseAction(func()) {}
