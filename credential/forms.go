package credential

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
)

// fixedForms are the forms in which a text stands as one run of bytes that depends on
// the text alone: itself, hexadecimal, and what of base64 does not depend on the bytes
// before and after it. The forms of two texts of one length have the same order and
// the same lengths.
func fixedForms(text []byte) [][]byte {
	lower := hex.AppendEncode(nil, text)
	forms := [][]byte{bytes.Clone(text), lower, bytes.ToUpper(lower)}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			forms = append(forms, base64Core(enc, text, before))
		}
	}
	return forms
}

// base64Core is the part of an encoding in which text follows so many bytes (modulo 3)
// that is the same whatever stands before and after.
func base64Core(enc *base64.Encoding, text []byte, before int) []byte {
	padded := make([]byte, before+len(text))
	copy(padded[before:], text)
	out := make([]byte, enc.EncodedLen(len(padded)))
	enc.Encode(out, padded)
	clear(padded)
	// Characters of six bits: those that hold a bit of what is before are left out,
	// and the last one when it has room for bits of what comes after.
	from := (before*8 + 5) / 6
	to := len(padded) * 8 / 6
	return out[min(from, to):to]
}

// A unit is one character of a text as it stands in an escaped form of it.
const maxUnit = 9 // \\\\u0073

// unit reads the escape that b begins with: percent-encoding, and the escapes of JSON
// and of string literals, also with the backslash doubled. It returns the byte and the
// length, 0 when b begins with none. more says that b is too short to tell.
func unit(b []byte) (c byte, n int, more bool) {
	switch {
	case len(b) == 0:
		return 0, 0, true
	case b[0] == '%':
		c, ok, more := hexByte(b[1:])
		if !ok {
			return 0, 0, more
		}
		return c, 3, false
	case b[0] != '\\':
		return 0, 0, false
	}
	n = 1
	for n < 4 && n < len(b) && b[n] == '\\' {
		n++
	}
	if n == len(b) {
		return 0, 0, true
	}
	switch b[n] {
	case '/', '"':
		return b[n], n + 1, false
	case 'x':
		n++
	case 'u':
		for range 2 {
			n++
			if n == len(b) {
				return 0, 0, true
			}
			if b[n] != '0' {
				return 0, 0, false
			}
		}
		n++
	default:
		if n > 1 {
			return '\\', n, false
		}
		return 0, 0, false
	}
	c, ok, more := hexByte(b[n:])
	if !ok {
		return 0, 0, more
	}
	return c, n + 2, false
}

// hexByte reads two hexadecimal digits.
func hexByte(b []byte) (c byte, ok, more bool) {
	for i := range 2 {
		if i == len(b) {
			return 0, false, true
		}
		d := hexDigits[b[i]]
		if d > 15 {
			return 0, false, false
		}
		c = c<<4 | d
	}
	return c, true, false
}

// hexDigits is the value of each hexadecimal digit, 255 of what is none.
var hexDigits = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()

// matchUnits compares b with text, each of whose characters may be escaped. It returns
// the length of what matched, 0 when it does not; more says that b ended before either
// was clear.
func matchUnits(b, text []byte) (n int, more bool) {
	for _, want := range text {
		if n < len(b) && b[n] != '%' && b[n] != '\\' {
			if b[n] != want {
				return 0, false
			}
			n++
			continue
		}
		c, l, short := unit(b[n:])
		switch {
		case l > 0 && c == want:
			n += l
		case n < len(b) && b[n] == want && (want != '%' && want != '\\' || l == 0):
			if short { // it may be the beginning of an escape of the same character
				return 0, true
			}
			n++
		default:
			return 0, short
		}
	}
	return n, false
}

// respell writes text over what matchUnits found, each character in the spelling that
// stands there. What can be spelled in its own way only (\/) stays.
func respell(b, text []byte) {
	for _, c := range text {
		_, n, _ := unit(b)
		switch {
		case n == 0:
			b[0] = c
			n = 1
		case b[n-2] != '\\':
			digits := "0123456789abcdef"
			if d := b[n-2 : n]; bytes.ContainsAny(d, "ABCDEF") || b[0] == '%' && !bytes.ContainsAny(d, "abcdef") {
				digits = "0123456789ABCDEF"
			}
			b[n-2], b[n-1] = digits[c>>4], digits[c&15]
		}
		b = b[n:]
	}
}
