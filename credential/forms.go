package credential

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
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

// A masked form is one form of a text and, of the same length, of what replaces it.
type masked struct{ form, mask []byte }

// jsonForms are how JSON that is all ASCII has a text with other characters, also in JSON
// once more: its escapes are of characters, not of bytes. None where there are no such
// characters.
func jsonForms(text, mask []byte) (forms []masked) {
	if utf8.RuneCount(text) == len(text) || !utf8.Valid(text) {
		return nil
	}
	for level := 1; level <= 2; level++ {
		for _, format := range []string{"u%04x", "u%04X"} {
			forms = append(forms, jsonForm(text, mask, level, format))
		}
	}
	return forms
}

func jsonForm(text, mask []byte, level int, format string) (m masked) {
	for i, r := range string(text) {
		var c byte
		if mask != nil {
			c = mask[i]
		}
		if r < utf8.RuneSelf {
			if e := inJSON(string(r), level); len(e) > 1 { // stays, as in respell
				m.form, m.mask = append(m.form, e...), append(m.mask, e...)
			} else {
				m.form, m.mask = append(m.form, byte(r)), append(m.mask, c)
			}
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			m.form = fmt.Appendf(append(m.form, inJSON(`\`, level-1)...), format, u)
			m.mask = fmt.Appendf(append(m.mask, inJSON(`\`, level-1)...), format, c)
		}
	}
	if mask == nil {
		m.mask = nil
	}
	return m
}

// inJSON is a quote or a backslash as a string of JSON has it, at that level of nesting.
func inJSON(s string, level int) string {
	for range level {
		s = strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`)
	}
	return s
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
const (
	maxUnit    = maxSlashes + 5 // u0073
	maxSlashes = 8              // one backslash in JSON in JSON in JSON
)

// unit reads the escape that b begins with: percent-encoding, and the escapes of JSON
// and of string literals, also with the backslash doubled up to three times. It returns the byte and the
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
	for n < maxSlashes && n < len(b) && b[n] == '\\' {
		n++
	}
	if n == len(b) {
		return 0, 0, true
	}
	switch b[n] {
	case '/', '"', '\'':
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

// deepUnit reads what is percent-encoded twice: %252F.
func deepUnit(b []byte) (c byte, n int, more bool) {
	const percent = "%25"
	if len(b) < len(percent) {
		return 0, 0, string(b) == percent[:len(b)]
	}
	if string(b[:len(percent)]) != percent {
		return 0, 0, false
	}
	c, ok, more := hexByte(b[len(percent):])
	if !ok {
		return 0, 0, more
	}
	return c, len(percent) + 2, false
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
// the length of what matched, 0 when it does not; more says that b ended before it was
// clear whether that is all.
func matchUnits(b, text []byte) (n int, more bool) {
	for _, want := range text {
		l, short := spelled(b[n:], want)
		if more = more || short; l == 0 {
			return 0, short
		}
		n += l
	}
	return n, more
}

// spelled is the length of what c is spelled with at the beginning of b, 0 when something
// else stands there; more says that b is too short to tell.
func spelled(b []byte, c byte) (n int, more bool) {
	if len(b) > 0 && b[0] != '%' && b[0] != '\\' {
		if b[0] == c {
			return 1, false
		}
		return 0, false
	}
	got, n, more := unit(b)
	if n > 0 && got == c {
		return n, more
	}
	got, n, deep := deepUnit(b)
	more = more || deep
	switch {
	case n > 0 && got == c:
		return n, more
	case len(b) > 0 && b[0] == c: // that is no escape, or one of something else by chance
		return 1, more
	}
	return 0, more
}

// respell writes with over what matchUnits found of text, each character in the spelling
// that stands there. What can be spelled in its own way only (\/) stays.
func respell(b, text, with []byte) {
	for i, c := range with {
		n, _ := spelled(b, text[i])
		switch {
		case n == 1:
			b[0] = c
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
