package meter

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// The part of the kernel's socket diagnosis that is used: sock_diag(7).
const (
	diagByFamily   = 20
	diagShowMemory = 0x20 // UDIAG_SHOW_MEMINFO
	diagMemory     = 5    // UNIX_DIAG_MEMINFO
	diagMsgSize    = 16   // struct unix_diag_msg

	diagInetMemory  = 7  // INET_DIAG_SKMEMINFO
	diagInetMsgSize = 72 // struct inet_diag_msg
	diagInetReqSize = 56 // struct inet_diag_req_v2
)

// socketBuffers is what sockets of the sandbox have in their buffers: diag is a
// diagnosis socket of its network namespace. What the kernel does not tell counts
// nothing.
func socketBuffers(diag *os.File) int64 {
	if diag == nil {
		return 0
	}
	fd := int(diag.Fd())
	wait := unix.Timeval{Sec: 1} // the kernel answers at once or not at all
	if unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait) != nil {
		return 0
	}
	local := make([]byte, 24)
	local[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(local[4:], ^uint32(0)) // every state
	binary.NativeEndian.PutUint32(local[12:], diagShowMemory)
	sum := dump(fd, local, diagMsgSize, diagMemory)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			inet := make([]byte, diagInetReqSize)
			inet[0], inet[1], inet[2] = family, protocol, 1<<(diagInetMemory-1)
			binary.NativeEndian.PutUint32(inet[4:], ^uint32(0))
			sum += dump(fd, inet, diagInetMsgSize, diagInetMemory)
		}
	}
	return sum
}

// dump asks about the sockets of one family and sums what they have: each is told by
// msgSize bytes and attributes, of which attr tells of memory.
func dump(fd int, body []byte, msgSize int, attr uint16) int64 {
	req := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	req = append(req, body...)
	binary.NativeEndian.PutUint32(req, uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], diagByFamily)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return 0
	}
	var sum int64
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return sum
		}
		bytes, more := buffersIn(buf[:n], msgSize, attr)
		sum += bytes
		if !more {
			return sum
		}
	}
}

// buffersIn sums one part of the answer and says whether there is more.
func buffersIn(b []byte, msgSize int, attr uint16) (sum int64, more bool) {
	for len(b) >= unix.SizeofNlMsghdr {
		size, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
		if kind != diagByFamily || size < unix.SizeofNlMsghdr+msgSize || size > len(b) {
			return sum, false // the end, or an error
		}
		sum += memoryOf(b[unix.SizeofNlMsghdr+msgSize:size], attr)
		b = b[min((size+3)&^3, len(b)):]
	}
	return sum, true
}

// memoryOf finds what is allocated for reading and for writing among attributes.
func memoryOf(b []byte, attr uint16) int64 {
	for len(b) >= unix.SizeofRtAttr {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < unix.SizeofRtAttr || size > len(b) {
			return 0
		}
		if v := b[unix.SizeofRtAttr:size]; kind == attr && len(v) >= 12 {
			return int64(binary.NativeEndian.Uint32(v)) + int64(binary.NativeEndian.Uint32(v[8:]))
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return 0
}
