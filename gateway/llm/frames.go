package llm

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
)

// What opcodes of frames mean (RFC 6455, section 5.2).
const (
	opMore  = 0
	opText  = 1
	opClose = 8
)

var (
	errFrame  = errors.New("the WebSocket does not speak as it was agreed to: frames in another form")
	errBinary = errors.New("a message that is no text")
)

// A frame is the head of a frame of a WebSocket.
type frame struct {
	last, masked bool
	op           byte
	size         uint64
	mask         [4]byte
}

// readFrame reads the head that b begins with; n is its length, 0 while it is not whole.
// Extensions, which change what frames hold, are not spoken.
func readFrame(b []byte) (f frame, n int, err error) {
	if len(b) < 2 {
		return f, 0, nil
	}
	f = frame{last: b[0]&0x80 != 0, op: b[0] & 15, masked: b[1]&0x80 != 0, size: uint64(b[1] & 0x7f)}
	n = 2
	switch f.size {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	if f.masked {
		n += 4
	}
	if len(b) < n {
		return f, 0, nil
	}
	switch f.size {
	case 126:
		f.size = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		f.size = binary.BigEndian.Uint64(b[2:])
	}
	if f.masked {
		copy(f.mask[:], b[n-4:n])
	}
	control := f.op >= opClose
	switch {
	case b[0]&0x70 != 0, f.op > 10, f.op > 2 && !control, control && (!f.last || f.size > 125):
		return f, n, errFrame
	}
	return f, n, nil
}

// appendFrame adds a frame with a payload to b. A mask, where there is one, is new.
func appendFrame(b []byte, op byte, payload []byte, masked bool) []byte {
	b = append(b, 0x80|op)
	bit := byte(0)
	if masked {
		bit = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, bit|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, bit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, bit|127), uint64(n))
	}
	if !masked {
		return append(b, payload...)
	}
	var mask [4]byte
	_, _ = rand.Read(mask[:])
	b = append(b, mask[:]...)
	from := len(b)
	b = append(b, payload...)
	for i := range b[from:] {
		b[from+i] ^= mask[i&3]
	}
	return b
}

// Client reads what a program sends on a WebSocket to a model.
type Client struct {
	// Message is given each message, whole, and returns what is sent instead; an error ends
	// the connection.
	Message func(text []byte) ([]byte, error)
	// Room is asked for room for a message of a size before it is held.
	Room func(size int) error

	head    []byte
	f       frame
	left    uint64 // of the frame's payload
	in      bool   // a frame's payload is read
	at      int    // in the mask
	open    bool   // a message is not whole yet
	message []byte
	control []byte // the payload of a control frame
}

// Next takes a piece of what is sent and returns what is to be sent on of it.
func (c *Client) Next(b []byte) (out []byte, err error) {
	for len(b) > 0 || c.in && c.left == 0 {
		if !c.in {
			n := min(14-len(c.head), len(b))
			had := len(c.head)
			c.head = append(c.head, b[:n]...)
			f, size, err := readFrame(c.head)
			switch {
			case err != nil:
				return out, err
			case size == 0:
				b = b[n:]
				continue
			}
			b = b[size-had:]
			if err := c.begin(f); err != nil {
				return out, err
			}
			continue
		}
		n := min(c.left, uint64(len(b)))
		if err := c.take(b[:n]); err != nil {
			return out, err
		}
		b, c.left = b[n:], c.left-n
		if c.left == 0 {
			if out, err = c.ended(out); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// begin begins a frame.
func (c *Client) begin(f frame) error {
	c.head, c.f, c.left, c.at, c.in = c.head[:0], f, f.size, 0, true
	switch {
	case !f.masked:
		return errFrame
	case f.op >= opClose:
		c.control = c.control[:0]
		return nil
	case (f.op == opMore) != c.open:
		return errFrame
	case f.op != opText && f.op != opMore:
		return errBinary
	case f.size > MaxBody || uint64(len(c.message))+f.size > MaxBody:
		return errors.New("a message that is larger than what is judged")
	}
	c.open = true
	return nil
}

// take takes a part of a frame's payload.
func (c *Client) take(b []byte) error {
	to := &c.control
	if c.f.op < opClose {
		to = &c.message
		if c.Room != nil {
			if err := c.Room(len(c.message) + len(b)); err != nil {
				return err
			}
		}
	}
	from := len(*to)
	*to = append(*to, b...)
	for i := range (*to)[from:] {
		(*to)[from+i] ^= c.f.mask[c.at&3]
		c.at++
	}
	return nil
}

// ended ends a frame.
func (c *Client) ended(out []byte) ([]byte, error) {
	c.in = false
	if c.f.op >= opClose {
		return appendFrame(out, c.f.op, c.control, true), nil
	}
	if !c.f.last {
		return out, nil
	}
	text, err := c.Message(c.message)
	c.open, c.message = false, nil
	if err != nil {
		return out, err
	}
	return appendFrame(out, opText, text, true), nil
}

// Server follows what a model's server sends on a WebSocket, which passes as it is.
type Server struct {
	// Text is given the pieces of messages, and End called behind each.
	Text func(b []byte)
	End  func()

	head []byte
	f    frame
	left uint64
	in   bool
}

// Write takes a piece of what is sent. It fails where that cannot be read.
func (s *Server) Write(b []byte) (int, error) {
	all := len(b)
	for len(b) > 0 || s.in && s.left == 0 {
		if !s.in {
			n := min(10-len(s.head), len(b))
			had := len(s.head)
			s.head = append(s.head, b[:n]...)
			f, size, err := readFrame(s.head)
			switch {
			case err != nil, len(s.head) > 1 && s.head[1]&0x80 != 0: // a server masks nothing
				return 0, errFrame
			case size == 0:
				b = b[n:]
				continue
			}
			b = b[size-had:]
			s.head, s.f, s.left, s.in = s.head[:0], f, f.size, true
			continue
		}
		n := min(s.left, uint64(len(b)))
		if s.f.op < opClose {
			s.Text(b[:n])
		}
		b, s.left = b[n:], s.left-n
		if s.left == 0 {
			s.in = false
			if s.f.last && s.f.op < opClose {
				s.End()
			}
		}
	}
	return all, nil
}

// Between says whether a frame may be put in now.
func (s *Server) Between() bool { return !s.in && len(s.head) == 0 }

// LastWords are the frames with which a server tells a text and ends the connection.
func LastWords(text string) []byte {
	b := appendFrame(nil, opText, []byte(text), false)
	return appendFrame(b, opClose, []byte{0x03, 0xf0}, false) // 1008: a policy
}
