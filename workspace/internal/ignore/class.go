package ignore

import (
	"regexp"
	"strings"
)

// maxPart bounds a part with character classes: no name is as long.
const maxPart = 1024

func newPart(text string) part {
	p := part{text: text}
	if !strings.Contains(text, "[") {
		return p
	}
	p.none = true
	if len(text) > maxPart {
		return p
	}
	if re, ok := nameRegexp(text); ok {
		if c, err := regexp.Compile(re); err == nil {
			p.re, p.none = c, false
		}
	}
	return p
}

// nameRegexp writes a part of a pattern with character classes as a regular expression;
// not ok for one that git takes to match nothing.
func nameRegexp(part string) (string, bool) {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	rs := []rune(part)
	for i := 0; i < len(rs); i++ {
		switch rs[i] {
		case '*':
			b.WriteString(`.*`)
		case '?':
			b.WriteString(`.`)
		case '\\':
			if i++; i == len(rs) {
				return "", false
			}
			b.WriteString(regexp.QuoteMeta(string(rs[i])))
		case '[':
			class, n := classRegexp(rs[i+1:])
			if n == 0 {
				return "", false
			}
			b.WriteString(class)
			i += n
		default:
			b.WriteString(regexp.QuoteMeta(string(rs[i])))
		}
	}
	b.WriteString(`\z`)
	return b.String(), true
}

// classRegexp writes what follows an opening bracket, n runes up to the closing one; 0
// without one.
func classRegexp(rs []rune) (class string, n int) {
	var b strings.Builder
	b.WriteByte('[')
	i := 0
	if len(rs) > 0 && (rs[0] == '!' || rs[0] == '^') {
		b.WriteByte('^')
		i++
	}
	quoted := func(r rune) {
		if r < 0x80 && !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9') {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	for first := true; i < len(rs); first = false {
		switch {
		case rs[i] == ']' && !first:
			b.WriteByte(']')
			return b.String(), i + 1
		case rs[i] == '[' && i+1 < len(rs) && rs[i+1] == ':':
			named := string(rs[i:min(len(rs), i+len("[:xdigit:]"))])
			end := strings.Index(named, ":]")
			if end < 2 || !isLetters(named[2:end]) {
				quoted('[')
				i++
				continue
			}
			b.WriteString(named[:end+2])
			i += end + 2
			continue
		case rs[i] == '-' && !first && i+1 < len(rs) && rs[i+1] != ']':
			b.WriteByte('-')
			if i++; rs[i] == '\\' && i+1 < len(rs) {
				i++
			}
		case rs[i] == '\\':
			if i++; i == len(rs) {
				return "", 0
			}
		}
		quoted(rs[i])
		i++
	}
	return "", 0
}

func isLetters(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}
