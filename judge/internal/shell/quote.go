package shell

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// ANSI decodes the text of $'…' as bash does. What it does not know, and bytes that
// stand for unknown text, become [Any].
func ANSI(s string) string {
	if !strings.Contains(s, "\\") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if c, ok := plainEscapes[s[i]]; ok {
			put(&b, rune(c), true)
			continue
		}
		switch s[i] {
		case 'x':
			i = number(&b, s, i, digits{16, 1, 2, true})
		case 'u':
			i = number(&b, s, i, digits{16, 1, 4, false})
		case 'U':
			i = number(&b, s, i, digits{16, 1, 8, false})
		case '0', '1', '2', '3', '4', '5', '6', '7':
			i = number(&b, s, i, digits{8, 0, 3, true})
		case 'c':
			b.WriteByte(Any)
			i++
		default:
			b.WriteByte('\\')
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

var plainEscapes = map[byte]byte{
	'a': 7, 'b': 8, 'e': 27, 'E': 27, 'f': 12, 'n': '\n', 'r': '\r', 't': '\t', 'v': 11, '\\': '\\', '\'': '\'', '"': '"', '?': '?',
}

type digits struct {
	base, skip, most int
	bytes            bool
}

// number decodes a numeric escape whose letter is at i, and returns the last index used.
func number(b *strings.Builder, s string, i int, d digits) int {
	start := i + d.skip
	end := start
	for end < len(s) && end-start < d.most && isDigit(s[end], d.base) {
		end++
	}
	n, err := strconv.ParseUint(s[start:end], d.base, 32)
	if err != nil {
		b.WriteByte('\\')
		b.WriteByte(s[i])
		return i
	}
	put(b, rune(n), d.bytes)
	return end - 1
}

func put(b *strings.Builder, r rune, asByte bool) {
	switch {
	case r == 0 || r >= Star && r <= Net || asByte && r >= utf8.RuneSelf || !utf8.ValidRune(r):
		b.WriteByte(Any)
	default:
		b.WriteRune(r)
	}
}

func isDigit(c byte, base int) bool {
	if base == 8 {
		return '0' <= c && c <= '7'
	}
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
