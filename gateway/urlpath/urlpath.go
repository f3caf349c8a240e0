// Package urlpath gives the path of a request its one spelling, so that what a rule
// judges is what the server reads.
//
//	t, err := urlpath.Parse("/v1/%6dessages?beta=1")
//	t.Path == "/v1/messages", t.Query == "beta=1"
//
// # Model
//
// In the canonical form unreserved characters (RFC 3986) stand for themselves,
// everything else that is not allowed in a path, and "*", is percent-encoded with
// upper-case digits; what is encoded and has a meaning of its own stays encoded. What
// two servers read in two ways is an error: dot segments however they are written,
// backslashes, control bytes, overlong UTF-8, invalid escapes. The form is a fixed
// point: the canonical form of a canonical path is itself.
//
// # Limitations
//
// An encoded slash is kept and told ([Target.Slash]): some servers read it as a slash.
// So are empty segments ([Target.Merged]) and what is encoded twice ([Target.Nested]).
package urlpath

import (
	"errors"
	"strings"
)

const (
	// MaxLen bounds a target, with its query.
	MaxLen = 32 << 10
	// MaxPath bounds its path.
	MaxPath = 8 << 10

	maxNested = 4 // how often a path is decoded to see what comes out
)

// A Target is what a request asks for.
type Target struct {
	Path     string // canonical; "*" for the server as a whole
	Query    string // as it was sent, without the question mark
	HasQuery bool   // there was a question mark
	// Slash says that an encoded slash is in the path; Nested that what is encoded twice
	// or more is, in the end, a slash, a backslash, a control byte or a dot segment.
	Slash, Nested bool
}

// The ways in which a target is refused.
var (
	ErrLong    = errors.New("the request's target is too long")
	ErrForm    = errors.New("the request's target does not begin with a slash")
	ErrByte    = errors.New("a control, blank or non-ASCII byte in the request's target")
	ErrEscape  = errors.New("an invalid percent-encoding in the request's path")
	ErrDots    = errors.New("a dot segment in the request's path")
	ErrSlashes = errors.New("a backslash in the request's path")
	ErrControl = errors.New("an encoded control byte in the request's path")
	ErrUTF8    = errors.New("overlong UTF-8 in the request's path")
	ErrMark    = errors.New("a fragment in the request's target")
)

// Parse reads a target in origin form ("/path?query") or "*".
func Parse(raw string) (Target, error) {
	var t Target
	if len(raw) > MaxLen {
		return t, ErrLong
	}
	for i := range len(raw) {
		switch c := raw[i]; {
		case c <= ' ' || c >= 0x7f:
			return t, ErrByte
		case c == '#':
			return t, ErrMark
		}
	}
	path := raw
	path, t.Query, t.HasQuery = strings.Cut(raw, "?")
	if path == "*" && !t.HasQuery {
		t.Path = path
		return t, nil
	}
	if !strings.HasPrefix(path, "/") {
		return t, ErrForm
	}
	if len(path) > MaxPath {
		return Target{}, ErrLong
	}
	var err error
	t.Path, err = canonical(path, &t)
	if err != nil {
		return Target{}, err
	}
	if len(t.Path) > MaxPath || len(t.String()) > MaxLen { // escapes have made it longer
		return Target{}, ErrLong
	}
	t.Nested = nested(t.Path)
	return t, nil
}

// String is the target as it is written.
func (t Target) String() string {
	if t.HasQuery {
		return t.Path + "?" + t.Query
	}
	return t.Path
}

// Merged is the path without its empty segments, as some servers read it.
func (t Target) Merged() string {
	p := t.Path
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}

// Queries says whether some servers find parameters in the path: behind a semicolon, or a
// question mark that is encoded, however often.
func (t Target) Queries() bool {
	s := t.Path
	for range maxNested + 1 {
		if strings.ContainsAny(s, "?;") {
			return true
		}
		s = unescape(s)
	}
	return strings.ContainsAny(s, "?;")
}

// Unescape is the path decoded.
func (t Target) Unescape() string { return unescape(t.Path) }

// unescape decodes what is encoded; the rest stays.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String()
}

// deepest decodes s as often as any server does; false where that is not often enough:
// nobody has a reason to encode that often.
func deepest(s string) (string, bool) {
	for range maxNested {
		s = unescape(s)
	}
	return s, unescape(s) == s
}

// nested looks for what a server that decodes more than once would find.
func nested(path string) bool {
	if !strings.Contains(path, "%25") {
		return false
	}
	once := unescape(path)
	s, ok := deepest(once)
	return !ok || strings.Count(s, "/") != strings.Count(once, "/") || dots(s) != nil ||
		strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
}

// canonical rewrites a path that holds visible ASCII only.
func canonical(path string, t *Target) (string, error) {
	if plain(path) {
		return path, dots(path)
	}
	var b strings.Builder
	b.Grow(len(path) + 16)
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '\\':
			return "", ErrSlashes
		case c != '%':
			literal(&b, c)
			continue
		case i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]):
			return "", ErrEscape
		}
		c = unhex(path[i+1])<<4 | unhex(path[i+2])
		i += 2
		switch {
		case c < ' ' || c == 0x7f:
			return "", ErrControl
		case c == '\\':
			return "", ErrSlashes
		case c == 0xc0 || c == 0xc1:
			return "", ErrUTF8
		case (c == 0xe0 || c == 0xf0) && overlong(c, path[i+1:]):
			return "", ErrUTF8
		case c == '/':
			t.Slash = true
		}
		if unreserved(c) {
			b.WriteByte(c)
		} else {
			escape(&b, c)
		}
	}
	p := b.String()
	return p, dots(p)
}

// plain says whether a path is made of unreserved characters and slashes only.
func plain(p string) bool {
	for i := range len(p) {
		if c := p[i]; c != '/' && !unreserved(c) {
			return false
		}
	}
	return true
}

// literal writes a character that was not encoded.
func literal(b *strings.Builder, c byte) {
	if unreserved(c) || strings.IndexByte("/!$&'()+,;=:@", c) >= 0 {
		b.WriteByte(c)
		return
	}
	escape(b, c)
}

func escape(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}

// overlong says whether first and the encoded byte behind it begin a character that
// has a shorter form.
func overlong(first byte, rest string) bool {
	if len(rest) < 3 || rest[0] != '%' || !isHex(rest[1]) || !isHex(rest[2]) {
		return false
	}
	second := unhex(rest[1])<<4 | unhex(rest[2])
	return first == 0xe0 && second >= 0x80 && second < 0xa0 || first == 0xf0 && second >= 0x80 && second < 0x90
}

// dots looks for "." and ".." as a segment, also where parameters follow, which some
// servers cut off, and where encoded slashes make the segment.
func dots(path string) error {
	for seg := range strings.SplitSeq(path, "/") {
		for strings.Contains(seg, "%") {
			part, rest, cut := strings.Cut(seg, "%2F")
			if !cut {
				break
			}
			if isDots(part) {
				return ErrDots
			}
			seg = rest
		}
		if isDots(seg) {
			return ErrDots
		}
	}
	return nil
}

func isDots(seg string) bool {
	seg, _, _ = strings.Cut(seg, ";")
	seg, _, _ = strings.Cut(seg, "%3B")
	for strings.HasSuffix(seg, "%20") || strings.HasSuffix(seg, " ") { // some systems drop it
		seg = strings.TrimSuffix(strings.TrimSuffix(seg, "%20"), " ")
	}
	return seg == "." || seg == ".."
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
