package credential

import "encoding/binary"

// frames follows the frames of a WebSocket (RFC 6455, section 5.2). A value cannot go on
// behind the end of one, since the head of the next is in between, so nothing waits there.
// Of a stream that is none it says nothing of use, and harms nothing.
type frames struct {
	head []byte // of a frame, not complete yet
	left uint64 // bytes of its payload that are to come
}

// ends says whether a frame ends with b.
func (f *frames) ends(b []byte) bool {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(f.left, uint64(len(b)))
			f.left, b = f.left-n, b[n:]
			continue
		}
		f.head, b = append(f.head, b[0]), b[1:]
		if n, payload := frameHead(f.head); n == len(f.head) {
			f.head, f.left = f.head[:0], payload
		}
	}
	return f.left == 0 && len(f.head) == 0
}

// frameHead is how long the head is that b begins, and once b is that long, how long the
// payload.
func frameHead(b []byte) (n int, payload uint64) {
	if len(b) < 2 {
		return 2, 0
	}
	n, size := 2, 0
	switch payload = uint64(b[1] & 0x7f); payload {
	case 126:
		size = 2
	case 127:
		size = 8
	}
	if n += size; len(b) < n {
		return n, 0
	}
	switch size {
	case 2:
		payload = uint64(binary.BigEndian.Uint16(b[2:]))
	case 8:
		payload = binary.BigEndian.Uint64(b[2:])
	}
	if b[1]&0x80 != 0 {
		n += 4 // a mask
	}
	return n, payload
}
