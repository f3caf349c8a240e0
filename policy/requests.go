package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Bounds of one rule: a request is matched with each of its patterns, in time that
// grows with the pattern's length.
const (
	maxMethods = 32
	maxPaths   = 64
	maxPattern = 512
)

// knownMethods are those that people mean; others may be named as well.
func knownMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "PURGE", "QUERY"}
}

// parseMethod reads a method: an upper-case token.
func parseMethod(s string) (suggestion string, err error) {
	known := knownMethods()
	switch {
	case s == "" || len(s) > 32 || strings.ContainsFunc(s, func(r rune) bool { return !tokenRune(r) }):
		return "", fmt.Errorf("%q is not a method", s)
	case s == "CONNECT" || s == "TRACE":
		return "", fmt.Errorf("%s asks for a tunnel or an echo, which no rule can allow", s)
	case slices.Contains(known, s):
		return "", nil
	case slices.Contains(known, strings.ToUpper(s)):
		return "write " + strings.ToUpper(s), errors.New("methods are upper-case")
	case strings.ToUpper(s) != s:
		return "", fmt.Errorf("%q: methods are upper-case", s)
	}
	if c := nearestMethod(s); c != "" {
		return fmt.Sprintf("did you mean %q?", c), fmt.Errorf("no method is called %s", s)
	}
	return "", nil
}

// tokenRune says whether r may stand in a token of RFC 9110.
func tokenRune(r rune) bool {
	return r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9' || r < 0x80 && strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// parsePathPattern reads a pattern of paths. Requests are judged in canonical form, so
// that a pattern in any other form would never match: it is refused.
func parsePathPattern(s string) (suggestion string, err error) {
	switch {
	case s == "":
		return "", errors.New("the path is empty")
	case len(s) > maxPattern:
		return "", fmt.Errorf("the path has more than %d bytes", maxPattern)
	case s[0] != '/':
		return "write /" + strings.TrimLeft(s, "/"), fmt.Errorf("%q does not begin with a slash", s)
	case strings.ContainsAny(s, "?#"):
		rest, _, _ := strings.Cut(s, "?")
		rest, _, _ = strings.Cut(rest, "#")
		return "write " + rest, fmt.Errorf("%q: a path has neither ? nor #; query says what a query may have", s)
	}
	for segment := range strings.SplitSeq(s[1:], "/") {
		if segment == "." || segment == ".." {
			return "", fmt.Errorf("%q has a %s in it, which no canonical path has", s, segment)
		}
	}
	if strings.Contains(s, "//") {
		return "write " + collapse(s), fmt.Errorf("%q has an empty part, which no canonical path has", s)
	}
	canonical, err := canonicalEscapes(s)
	if err == nil && canonical != s {
		return "write " + canonical, fmt.Errorf("%q is not in canonical form", s)
	}
	return "", err
}

func collapse(s string) string {
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	return s
}

// canonicalEscapes normalises the percent-encoding of a path: upper-case digits, and
// nothing encoded that need not be. Encoded slashes, backslashes and controls, which
// servers read differently, are refused.
func canonicalEscapes(s string) (string, error) {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
				return "", fmt.Errorf("%q has a %% that begins no escape: write %%25 for the sign", s)
			}
			v := byte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
			switch {
			case v == '/' || v == '\\' || v < 0x20 || v == 0x7f:
				return "", fmt.Errorf("%q: an encoded slash, backslash or control character is never allowed", s)
			case v < 0x80 && (v|0x20 >= 'a' && v|0x20 <= 'z' || v >= '0' && v <= '9' || strings.IndexByte("-._~", v) >= 0):
				b.WriteByte(v)
			default:
				b.WriteByte('%')
				b.WriteByte(hex[v>>4])
				b.WriteByte(hex[v&15])
			}
		case c <= 0x20 || c >= 0x7f || strings.IndexByte("\"<>[\\]^`{|}", c) >= 0:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// unhex is the value of a hexadecimal digit, or negative.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// methods decodes the methods of a rule, in canonical form: sorted, HEAD left out where
// GET stands for it.
func (d *decoder) methods(p pair, path string) []string {
	l := decodeList(d, p, path, "methods", func(n ast.Node, key string) (string, bool) {
		return checked(d, n, key, parseMethod)
	})
	return canonicalMethods(d.bounded(p, l, path, "methods", maxMethods))
}

// requestPaths decodes the path patterns of a rule, sorted.
func (d *decoder) requestPaths(p pair, path string) []string {
	l := decodeList(d, p, path, "paths", func(n ast.Node, key string) (string, bool) {
		return checked(d, n, key, parsePathPattern)
	})
	paths := d.bounded(p, l, path, "paths", maxPaths)
	slices.Sort(paths)
	return slices.Compact(paths)
}

func checked(d *decoder, n ast.Node, key string, parse func(string) (string, error)) (string, bool) {
	s, ok := d.text(n, key)
	if !ok {
		return "", false
	}
	suggestion, err := parse(s)
	if err != nil {
		d.add(d.at(n), key, suggestion, "%s", err)
	}
	return s, err == nil
}

// bounded are the values of a list that must have some, and not too many.
func (d *decoder) bounded(p pair, l list[string], path, of string, most int) []string {
	if l.clears() {
		d.add(p.key, path, "leave it out to allow all", "no %s: it would allow nothing", of)
	}
	if len(l.items) > most {
		d.add(p.key, path, "", "more than %d %s in one rule", most, of)
		return nil
	}
	var values []string
	for _, i := range l.items {
		values = append(values, i.value)
	}
	return values
}

func canonicalMethods(l []string) []string {
	if slices.Contains(l, "GET") {
		l = slices.DeleteFunc(l, func(m string) bool { return m == "HEAD" })
	}
	slices.Sort(l)
	return slices.Compact(l)
}

// nearestMethod is the method that s was probably meant to be, or empty.
func nearestMethod(s string) string {
	var low []string
	for _, m := range knownMethods() {
		low = append(low, strings.ToLower(m))
	}
	return strings.ToUpper(nearest(strings.ToLower(s), low))
}
