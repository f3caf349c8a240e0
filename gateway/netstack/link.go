package netstack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

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

// smallPiece is the size up to which an outgoing packet is put together first.
const smallPiece = 4 << 10

// maxHeader is the largest header of a link.
const maxHeader = 64

// link is the stack's end of a packet socket: one IP packet per message, behind a
// fixed link-layer header or none. Writes wait for room instead of dropping.
type link struct {
	file   *os.File
	header [2][]byte // of IPv4 and IPv6 packets; empty for none
	raw    syscall.RawConn
	accept func([]byte) bool // judges packets before the stack sees them; nil takes all
	done   sync.WaitGroup
	closed atomic.Bool

	unchecked bool // see belljar.Link

	acks acks
	free sync.Pool // of *outgoing

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
	l := &link{file: file, raw: raw, accept: accept, mtu: mtu(from), unchecked: from.Unchecked}
	l.acks = acks{began: time.Now(), write: func(b []byte) { _ = l.write(b) }}
	if len(from.Header) > maxHeader {
		return nil, errors.Join(fmt.Errorf("a header of %d bytes", len(from.Header)), file.Close())
	}
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

// read delivers packets until the link is closed or the other end is gone. It holds the
// descriptor as long, so that nothing is to be prepared for each packet.
func (l *link) read() {
	in := incoming{big: buffer.NewViewSize(1 << 16)}
	defer func() { in.big.Release() }()
	_ = l.raw.Read(func(fd uintptr) bool {
		for !l.closed.Load() {
			n, errno := l.receive(fd, &in)
			switch errno {
			case 0:
			case unix.EINTR, unix.ENOBUFS:
				continue
			case unix.EAGAIN:
				return false
			default:
				return true
			}
			if n < 0 {
				return true // the other end is gone
			}
			l.take(&in, n)
		}
		return true
	})
}

// incoming is where a packet is read to.
type incoming struct {
	header [maxHeader]byte
	big    *buffer.View
	iov    [2]unix.Iovec
}

// receive reads one packet and returns its size without the header; one that is too short
// is empty. The size is negative at the end.
func (l *link) receive(fd uintptr, in *incoming) (int, unix.Errno) {
	h := len(l.header[0])
	iov := in.iov[:0]
	if h > 0 {
		iov = append(iov, piece(in.header[:h]))
	}
	n, errno := readv(fd, append(iov, piece(in.big.AsSlice())))
	if errno != 0 {
		return 0, errno
	}
	if n == 0 {
		return -1, 0
	}
	return max(n-h, 0), 0
}

func piece(b []byte) unix.Iovec {
	v := unix.Iovec{Base: unsafe.SliceData(b)}
	v.SetLen(len(b))
	return v
}

// take judges and delivers a packet of n bytes.
func (l *link) take(in *incoming, n int) {
	if n == 0 || l.accept != nil && !l.accept(in.big.AsSlice()[:n]) {
		return
	}
	v := in.big
	if n <= smallPacket {
		v = buffer.NewViewWithData(v.AsSlice()[:n])
	} else {
		v.CapLength(n)
		in.big = buffer.NewViewSize(1 << 16)
	}
	l.deliver(v)
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
		if err := l.send(pkt); err != nil {
			return n, &tcpip.ErrClosedForSend{}
		}
		n++
	}
	return n, nil
}

// send sends a packet of the stack. A small one is sent in one piece.
func (l *link) send(pkt *stack.PacketBuffer) error {
	o := l.outgoing()
	defer l.free.Put(o)
	small := pkt.Size() <= smallPiece
	views, skip := pkt.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		cut := min(skip, len(b))
		b, skip = b[cut:], skip-cut
		switch {
		case len(b) == 0:
		case small || len(o.iov) == cap(o.iov):
			o.all = append(o.all, b...)
		default:
			o.iov = append(o.iov, piece(b))
		}
	}
	if !small && len(o.all) > 0 { // more pieces than there is room for
		o.iov, o.all = o.space[:1], bytes.Join(pkt.AsSlices(), nil)
	}
	if small {
		now, before := l.acks.pass(o.all)
		if before != nil {
			if err := l.write(before); err != nil {
				return err
			}
		}
		if !now {
			return nil
		}
	}
	if len(o.all) > 0 {
		o.iov = append(o.iov, piece(o.all))
	}
	return o.put()
}

// write sends one packet.
func (l *link) write(packet []byte) error {
	if len(packet) == 0 {
		return nil
	}
	o := l.outgoing()
	defer l.free.Put(o)
	o.iov = append(o.iov, piece(packet))
	return o.put()
}

// outgoing is a packet that is being sent.
type outgoing struct {
	l     *link
	space [maxPieces + 1]unix.Iovec
	iov   []unix.Iovec // of space; the first is for the header
	all   []byte       // the packet, where it is sent in one piece
	errno unix.Errno
	// try and wait are methods, made once: each would be an allocation.
	try  func(fd uintptr)
	wait func(fd uintptr) bool
}

func (l *link) outgoing() *outgoing {
	o, ok := l.free.Get().(*outgoing)
	if !ok {
		o = &outgoing{l: l, all: make([]byte, 0, smallPiece)}
		o.try = func(fd uintptr) { o.wait(fd) }
		o.wait = func(fd uintptr) bool {
			for {
				if o.errno = writev(fd, o.iov); o.errno != unix.EINTR {
					return o.errno != unix.EAGAIN
				}
			}
		}
	}
	o.iov, o.all = o.space[:1], o.all[:0]
	return o
}

// put sends it, and waits for room.
func (o *outgoing) put() error {
	l, pieces := o.l, o.iov
	switch h := l.header[0]; {
	case len(h) == 0:
		o.iov = pieces[1:]
	case *pieces[1].Base>>4 == 6:
		h = l.header[1]
		fallthrough
	default:
		pieces[0] = piece(h)
	}
	err := l.raw.Control(o.try)
	if err == nil && o.errno == unix.EAGAIN {
		err = l.raw.Write(o.wait)
	}
	clear(pieces) // nothing is kept that they point to
	switch {
	case err != nil:
		return err
	case o.errno == 0, o.errno == unix.ENOBUFS, o.errno == unix.EMSGSIZE:
		return nil // one packet lost, at most; TCP sends it again
	}
	return o.errno
}

// Close ends reading and writing.
func (l *link) Close() {
	l.closed.Store(true)
	_ = l.file.Close()
}

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

// Capabilities: checksums of what comes from inside are not looked at. Nothing on a link
// flips bits, and whoever sends from inside can make them right.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	if l.unchecked {
		return stack.CapabilityRXChecksumOffload | stack.CapabilityTXChecksumOffload
	}
	return stack.CapabilityRXChecksumOffload
}

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
