package netstack

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	// ackDelay is how long an acknowledgement may wait for data that carries it; a kernel's
	// own TCP waits ten times as long.
	ackDelay = 4 * time.Millisecond
	// ackTrust is how many exchanges in a row a connection must have had in which waiting
	// would have been right.
	ackTrust = 2
	ackSlots = 512
	ackSize  = 80 // of a packet that acknowledges and says nothing else
)

// acks holds back acknowledgements of connections whose answers follow at once: the stack
// sends one for everything that it receives, which costs both ends as much as data does.
// What is held back goes with the next segment of its connection, or by itself after
// ackDelay. Only a connection that sends and receives by turns is held back; one that was
// held back in vain, or receives two pieces in a row, must earn it anew, so that a
// sender that waits for an acknowledgement does so once in a while only.
type acks struct {
	began time.Time
	write func(packet []byte)

	mu    sync.Mutex
	slots [ackSlots]ackSlot
	held  []uint16 // slots that hold something, or did
	armed bool     // the timer runs
}

// An ackSlot is what is known of one connection; those that share it take it from each
// other.
type ackSlot struct {
	key    ackKey
	trust  uint8
	n      uint8 // size of what is held; 0: nothing
	listed bool  // in held
	packet [ackSize]byte
	at     time.Duration // when it was held back, or sent; 0: data was sent since
}

// An ackKey tells connections of one guest apart.
type ackKey struct {
	from  [16]byte
	ports uint32
}

func (k *ackKey) slot() uint16 {
	x := k.ports ^ binary.NativeEndian.Uint32(k.from[12:])
	return uint16(x * 0x9e3779b1 >> 16 % ackSlots)
}

// segment reads a packet of the stack's own: the connection of a TCP segment, and whether
// it acknowledges and says nothing else.
func segment(b []byte) (key ackKey, only, ok bool) {
	var tcp []byte
	switch {
	case len(b) >= 20 && b[0] == 0x45 && b[9] == protoTCP:
		key.from[10], key.from[11] = 0xff, 0xff
		copy(key.from[12:], b[12:16])
		tcp = b[20:]
	case len(b) >= 40 && b[0]>>4 == 6 && b[6] == protoTCP:
		copy(key.from[:], b[8:24])
		tcp = b[40:]
	}
	if len(tcp) < header.TCPMinimumSize {
		return key, false, false
	}
	key.ports = binary.BigEndian.Uint32(tcp)
	if size := int(tcp[12]>>4) * 4; tcp[13] != byte(header.TCPFlagAck) || size != len(tcp) || len(b) > ackSize {
		return key, false, true
	}
	for o := tcp[header.TCPMinimumSize:]; len(o) > 0; {
		switch {
		case o[0] == header.TCPOptionNOP:
			o = o[1:]
		case o[0] == header.TCPOptionTS && len(o) >= header.TCPOptionTSLength:
			o = o[header.TCPOptionTSLength:]
		default:
			return key, false, true // it says more: what was received out of order
		}
	}
	return key, true, true
}

// pass says whether a packet is to be sent now, and what before it.
func (a *acks) pass(b []byte) (send bool, before []byte) {
	key, only, ok := segment(b)
	if !ok {
		return true, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	i := key.slot()
	s := &a.slots[i]
	if s.key != key {
		if s.n > 0 {
			before = bytes.Clone(s.packet[:s.n])
		}
		s.key, s.trust, s.n, s.at = key, 0, 0, 0
	}
	now := time.Since(a.began)
	if !only {
		if s.at != 0 && now-s.at < ackDelay {
			s.trust = min(s.trust+1, ackTrust)
		}
		s.n, s.at = 0, 0
		return true, before
	}
	waited := s.at != 0
	s.at = now
	if waited || s.trust < ackTrust {
		if waited {
			s.trust = 0
		}
		s.n = 0 // this one says it all
		return true, before
	}
	s.n = uint8(copy(s.packet[:], b))
	if !s.listed {
		s.listed = true
		a.held = append(a.held, i)
	}
	if !a.armed {
		a.armed = true
		time.AfterFunc(ackDelay, a.expire)
	}
	return false, before
}

// expire sends what has waited in vain.
func (a *acks) expire() {
	var late [][]byte
	a.mu.Lock()
	now, kept := time.Since(a.began), a.held[:0]
	for _, i := range a.held {
		s := &a.slots[i]
		if s.n > 0 && now-s.at < ackDelay/2 {
			kept = append(kept, i)
			continue
		}
		if s.n > 0 {
			late = append(late, bytes.Clone(s.packet[:s.n]))
			s.n, s.trust = 0, 0
		}
		s.listed = false
	}
	a.held = kept
	if a.armed = len(kept) > 0; a.armed {
		time.AfterFunc(ackDelay/2, a.expire)
	}
	a.mu.Unlock()
	for _, b := range late {
		a.write(b)
	}
}
