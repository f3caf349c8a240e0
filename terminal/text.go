package terminal

import "unicode/utf8"

// text passes text up to and including the next byte that is special, and
// returns how much it took; -1 when p is the beginning of a character.
func (f *Filter) text(p []byte) int {
	n := 0
	for n < len(p) && plain[p[n]] {
		n++
	}
	f.out = append(f.out, p[:n]...)
	if n > 0 || len(p) == 0 {
		return n
	}
	c := p[0]
	switch {
	case c == esc:
		f.state = escape1
		f.seq = f.seq[:0]
		return 1
	case c < utf8.RuneSelf:
		f.control(c)
		return 1
	case !utf8.FullRune(p):
		return -1
	}
	r, n := utf8.DecodeRune(p)
	switch {
	case r == utf8.RuneError && n == 1:
		f.out = append(f.out, "\uFFFD"...)
	case r < 0xa0:
		f.drop("C1 control")
	default:
		f.out = append(f.out, p[:n]...)
	}
	return n
}

// plain are the bytes of text that need no look: printable ASCII and the format
// effectors.
var plain = func() (t [256]bool) {
	for c := ' '; c < del; c++ {
		t[c] = true
	}
	for _, c := range "\a\b\t\n\v\f\r" {
		t[c] = true
	}
	return t
}()

// control handles a control character outside of strings.
func (f *Filter) control(c byte) {
	switch c {
	case 0x0e: // shift out: the other character set
		f.changed.charset = true
		f.out = append(f.out, c)
	case bel, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0f:
		f.out = append(f.out, c)
	case enq:
		f.drop("answer-back (ENQ)")
	case 0, del, can, sub: // no effect on a screen
	default:
		f.drop("control character")
	}
}
