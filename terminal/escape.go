package terminal

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape returns s in a form that is safe to print on one line of a terminal:
// control characters (newline and tab too), bidi controls, zero-width and other
// invisible characters, line separators, unassigned and private code points and
// bytes that are not UTF-8 become visible as \n, \t, \r, \x1b, \u202e or
// \U000e0041. Printable text, backslashes too, is left as it is, so that escaping
// twice changes nothing.
func Escape(s string) string { return escape(s, false) }

// EscapeText is [Escape] for text of several lines: it keeps newline and tab.
func EscapeText(s string) string { return escape(s, true) }

func escape(s string, text bool) string {
	i := firstUnsafe(s, text)
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for {
		b.WriteString(s[:i])
		s = s[i:]
		if s == "" {
			return b.String()
		}
		r, n := utf8.DecodeRuneInString(s)
		writeEscaped(&b, r, s[:n])
		s = s[n:]
		i = firstUnsafe(s, text)
	}
}

// firstUnsafe is the index of the first rune or byte of s that must be escaped,
// or len(s).
func firstUnsafe(s string, text bool) int {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if (c < ' ' || c == 0x7f) && !(text && (c == '\n' || c == '\t')) {
				return i
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if (r == utf8.RuneError && n == 1) || !visible(r) {
			return i
		}
		i += n
	}
	return len(s)
}

// visible says whether a terminal shows r as itself. It is an allow-list: what
// this version of Unicode does not know is escaped.
func visible(r rune) bool {
	return unicode.IsGraphic(r) &&
		!unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Variation_Selector,
			unicode.Other_Default_Ignorable_Code_Point) && r != '\u2800' // a braille cell without dots
}

func writeEscaped(b *strings.Builder, r rune, raw string) {
	switch {
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\t':
		b.WriteString(`\t`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == utf8.RuneError && len(raw) == 1, r < utf8.RuneSelf:
		b.WriteString(`\x`)
		writeHex(b, uint64(raw[0]), 2)
	case r < 0x10000:
		b.WriteString(`\u`)
		writeHex(b, uint64(r), 4)
	default:
		b.WriteString(`\U`)
		writeHex(b, uint64(r), 8)
	}
}

func writeHex(b *strings.Builder, v uint64, width int) {
	h := strconv.FormatUint(v, 16)
	b.WriteString("00000000"[:width-len(h)])
	b.WriteString(h)
}

// EscapeJSON appends the JSON text js to dst with every character that [Escape]
// would escape written as \uXXXX: the value stays the same, and showing the text
// in a terminal is harmless. js must be valid JSON in UTF-8, as encoding/json
// makes it; newlines and tabs between values are kept.
func EscapeJSON(dst, js []byte) []byte {
	dst = slices.Grow(dst, len(js))
	for i := 0; i < len(js); {
		n := ordinary(js[i:])
		dst = append(dst, js[i:i+n]...)
		if i += n; i == len(js) {
			break
		}
		c := js[i]
		r, n := utf8.DecodeRune(js[i:])
		switch {
		case c != 0x7f && visible(r):
			dst = append(dst, js[i:i+n]...)
		case r >= 0x10000:
			r -= 0x10000
			dst = appendU(appendU(dst, 0xd800+(r>>10)), 0xdc00+(r&0x3ff))
		default:
			dst = appendU(dst, r)
		}
		i += n
	}
	return dst
}

// ordinary is how many bytes of b, from the first on, are ASCII that needs no escape in JSON.
func ordinary(b []byte) int {
	for i, c := range b {
		if c >= 0x7f {
			return i
		}
	}
	return len(b)
}

func appendU(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
