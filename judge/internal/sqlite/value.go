package sqlite

import "encoding/binary"

// A Value is one of a row: a number, or bytes. What is neither (nothing, a floating point
// number) is empty.
type Value struct {
	Int  int64
	Text []byte // of a text or a blob
}

// maxColumns is what SQLite itself has at most.
const maxColumns = 32767

// values takes a row apart.
func values(b []byte) ([]Value, error) {
	head, n := varint(b)
	if n == 0 || head < uint64(n) || head > uint64(len(b)) {
		return nil, errForm
	}
	types, body := b[n:head], b[head:]
	var row []Value
	for len(types) > 0 {
		t, n := varint(types)
		if types = types[n:]; n == 0 || len(row) == maxColumns {
			return nil, errForm
		}
		size := width(t)
		if size > uint64(len(body)) {
			return nil, errForm
		}
		row = append(row, value(t, body[:size]))
		body = body[size:]
	}
	return row, nil
}

// width is how many bytes a value of type t has.
func width(t uint64) uint64 {
	switch {
	case t >= 12:
		return (t - 12) / 2
	case t == 7:
		return 8
	}
	return []uint64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0}[t]
}

func value(t uint64, b []byte) Value {
	switch {
	case t >= 12:
		return Value{Text: b}
	case t == 9:
		return Value{Int: 1}
	case len(b) == 0 || t == 7:
		return Value{}
	}
	n := int64(int8(b[0]))
	for _, c := range b[1:] {
		n = n<<8 | int64(c)
	}
	return Value{Int: n}
}

// varint is the number that b begins with, and how many bytes it has; none: b is too short.
func varint(b []byte) (v uint64, n int) {
	for i, c := range b[:min(len(b), 9)] {
		if i == 8 {
			return v<<8 | uint64(c), 9
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// sums goes on with the two sums of a log over b, whose length is a multiple of 8.
func sums(order binary.ByteOrder, s [2]uint32, b []byte) [2]uint32 {
	for ; len(b) >= 8; b = b[8:] {
		s[0] += order.Uint32(b) + s[1]
		s[1] += order.Uint32(b[4:]) + s[0]
	}
	return s
}
