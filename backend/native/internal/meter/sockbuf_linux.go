package meter

import (
	"encoding/binary"
	"os"
	"time"

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

// sockets is a count of what sockets of the sandbox have in their buffers. Where there
// are many it goes on at the next call.
type sockets struct {
	sum   int64 // the last whole count, or what the present one has found if that is more
	part  int64
	step  int  // which of the lists is read
	asked bool // and is not at its end
}

// list is a list of sockets: each is told by size bytes and attributes, of which attr
// tells of memory.
type list struct {
	body []byte
	size int
	attr uint16
}

func lists() []list {
	local := make([]byte, 24)
	local[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(local[4:], ^uint32(0)) // every state
	binary.NativeEndian.PutUint32(local[12:], diagShowMemory)
	all := []list{{local, diagMsgSize, diagMemory}}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			inet := make([]byte, diagInetReqSize)
			inet[0], inet[1], inet[2] = family, protocol, 1<<(diagInetMemory-1)
			binary.NativeEndian.PutUint32(inet[4:], ^uint32(0))
			all = append(all, list{inet, diagInetMsgSize, diagInetMemory})
		}
	}
	return all
}

// count goes on counting until the deadline: diag is a diagnosis socket of the sandbox's
// network namespace. What the kernel does not tell counts nothing.
func (s *sockets) count(diag *os.File, deadline time.Time) {
	if diag == nil {
		return
	}
	fd := int(diag.Fd())
	wait := unix.NsecToTimeval(int64(filesBudget)) // the kernel answers at once or not at all
	if unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait) != nil {
		return
	}
	buf := make([]byte, 64<<10)
	for all := lists(); s.step < len(all); {
		bytes, more := s.piece(fd, all[s.step], buf)
		s.part += bytes
		if s.asked = more; !more {
			s.step++
		}
		if time.Now().After(deadline) {
			s.sum = max(s.sum, s.part)
			return
		}
	}
	*s = sockets{sum: s.part}
}

// piece reads one part of a list, for which it asks at its beginning.
func (s *sockets) piece(fd int, l list, buf []byte) (sum int64, more bool) {
	if !s.asked {
		req := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(l.body))
		req = append(req, l.body...)
		binary.NativeEndian.PutUint32(req, uint32(len(req)))
		binary.NativeEndian.PutUint16(req[4:], diagByFamily)
		binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
		if unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
			return 0, false
		}
	}
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return 0, false
	}
	return buffersIn(buf[:n], l.size, l.attr)
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
