package llm

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDepth = 200  // of values in values
	maxKeys  = 4096 // of one object
)

// A value is one JSON value that was checked, without blanks around it.
type value []byte

// A field is a key of an object with its value.
type field struct {
	key string
	value
}

// parse checks a whole text.
func parse(b []byte) (value, error) {
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		return nil, errors.New("it begins with a byte order mark")
	case !utf8.Valid(b):
		return nil, errors.New("it is not UTF-8")
	}
	start := blanks(b, 0)
	c := checker{b: b}
	end, err := c.value(start, 0)
	if err != nil {
		return nil, err
	}
	if rest := blanks(b, end); rest != len(b) {
		return nil, fmt.Errorf("something follows the JSON value, at byte %d", rest)
	}
	return value(b[start:end]), nil
}

func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// A checker goes over a text once.
type checker struct {
	b    []byte
	keys []string // of the objects that are open
}

func (c *checker) fault(i int, what string) error {
	return fmt.Errorf("it is no JSON: %s at byte %d", what, i)
}

// value checks the value that begins at i and returns where it ends.
func (c *checker) value(i, depth int) (int, error) {
	if i >= len(c.b) {
		return 0, c.fault(i, "it ends")
	}
	if depth > maxDepth {
		return 0, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	switch b := c.b[i]; {
	case b == '{':
		return c.object(i+1, depth)
	case b == '[':
		return c.array(i+1, depth)
	case b == '"':
		return c.text(i)
	case b == '-' || b >= '0' && b <= '9':
		return c.number(i)
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(c.b[i:], []byte(word)) {
			return i + len(word), nil
		}
	}
	return 0, c.fault(i, "no value")
}

func (c *checker) object(i, depth int) (int, error) {
	begin := len(c.keys)
	defer func() { c.keys = c.keys[:begin] }()
	var seen map[string]bool
	i = blanks(c.b, i)
	if i < len(c.b) && c.b[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(c.b) || c.b[i] != '"' {
			return 0, c.fault(i, "no key")
		}
		end, err := c.text(i)
		if err != nil {
			return 0, err
		}
		if seen, err = c.fresh(text(c.b[i:end]), begin, seen); err != nil {
			return 0, err
		}
		if i = blanks(c.b, end); i >= len(c.b) || c.b[i] != ':' {
			return 0, c.fault(i, "no colon")
		}
		if end, err = c.value(blanks(c.b, i+1), depth+1); err != nil {
			return 0, err
		}
		i = blanks(c.b, end)
		switch {
		case i < len(c.b) && c.b[i] == '}':
			return i + 1, nil
		case i >= len(c.b) || c.b[i] != ',':
			return 0, c.fault(i, "no comma")
		}
		i = blanks(c.b, i+1)
	}
}

// fresh notes a key of the object whose keys begin at begin, and refuses it the second time.
func (c *checker) fresh(key string, begin int, seen map[string]bool) (map[string]bool, error) {
	const few = 16
	n := len(c.keys) - begin
	twice := seen[key]
	if seen == nil {
		for _, k := range c.keys[begin:] {
			twice = twice || k == key
		}
	}
	switch {
	case twice:
		return nil, fmt.Errorf("an object has the key %s twice", shortened(key))
	case n >= maxKeys:
		return nil, fmt.Errorf("an object has more than %d keys", maxKeys)
	case n == few:
		seen = make(map[string]bool, 2*few)
		for _, k := range c.keys[begin:] {
			seen[k] = true
		}
	}
	if seen != nil {
		seen[key] = true
	}
	c.keys = append(c.keys, key)
	return seen, nil
}

func (c *checker) array(i, depth int) (int, error) {
	i = blanks(c.b, i)
	if i < len(c.b) && c.b[i] == ']' {
		return i + 1, nil
	}
	for {
		end, err := c.value(i, depth+1)
		if err != nil {
			return 0, err
		}
		i = blanks(c.b, end)
		switch {
		case i < len(c.b) && c.b[i] == ']':
			return i + 1, nil
		case i >= len(c.b) || c.b[i] != ',':
			return 0, c.fault(i, "no comma")
		}
		i = blanks(c.b, i+1)
	}
}

// text checks the string that begins at i.
func (c *checker) text(i int) (int, error) {
	for j := i + 1; j < len(c.b); j++ {
		b := c.b[j]
		if !special[b] {
			continue
		}
		switch {
		case b == '"':
			return j + 1, nil
		case b < 0x20:
			return 0, c.fault(j, "a control character")
		}
		if j++; j >= len(c.b) {
			break
		}
		switch c.b[j] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if j+4 >= len(c.b) || hex4(c.b[j+1:j+5]) < 0 {
				return 0, c.fault(j, "a malformed escape")
			}
			j += 4
		default:
			return 0, c.fault(j, "an unknown escape")
		}
	}
	return 0, c.fault(len(c.b), "it ends")
}

// special are the bytes of a string that are looked at.
var special = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

func hex4(b []byte) rune {
	n, err := strconv.ParseUint(string(b), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

func (c *checker) number(i int) (int, error) {
	digits := func(j int) int {
		for j < len(c.b) && c.b[j] >= '0' && c.b[j] <= '9' {
			j++
		}
		return j
	}
	j := i
	if c.b[j] == '-' {
		j++
	}
	end := digits(j)
	if end == j || c.b[j] == '0' && end > j+1 {
		return 0, c.fault(i, "a malformed number")
	}
	if end < len(c.b) && c.b[end] == '.' {
		j, end = end+1, digits(end+1)
		if end == j {
			return 0, c.fault(i, "a malformed number")
		}
	}
	if end < len(c.b) && c.b[end]|0x20 == 'e' {
		j = end + 1
		if j < len(c.b) && (c.b[j] == '+' || c.b[j] == '-') {
			j++
		}
		if end = digits(j); end == j {
			return 0, c.fault(i, "a malformed number")
		}
	}
	return end, nil
}

// text is what a checked string says. A lone half of a surrogate pair is U+FFFD.
func text(raw []byte) string {
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var s strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			s.WriteByte(raw[i])
			continue
		}
		i++
		if raw[i] != 'u' {
			s.WriteByte(map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', '"': '"', '\\': '\\', '/': '/'}[raw[i]])
			continue
		}
		r := hex4(raw[i+1 : i+5])
		i += 4
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			if i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
				low = hex4(raw[i+3 : i+7])
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				i += 6
			}
		}
		s.WriteRune(r)
	}
	return s.String()
}

// skip is where the checked value that begins at i ends.
func skip(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipText(b, i)
	case '{', '[':
	default:
		for i < len(b) && strings.IndexByte(",]} \n\r\t", b[i]) < 0 {
			i++
		}
		return i
	}
	for depth := 0; ; i++ {
		switch b[i] {
		case '"':
			i = skipText(b, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

func skipText(b []byte, i int) int {
	for i++; ; i++ {
		switch c := b[i]; {
		case !special[c]:
		case c == '"':
			return i + 1
		default:
			i++
		}
	}
}

func (v value) is(kind byte) bool { return len(v) > 0 && v[0] == kind }
func (v value) null() bool        { return len(v) == 0 || v[0] == 'n' }

// text is what a string says; ok is false of anything else.
func (v value) text() (string, bool) {
	if !v.is('"') {
		return "", false
	}
	return text(v), true
}

// count is a whole number that is not negative.
func (v value) count() (int64, bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil && n >= 0
}

// fields lists an object's.
func (v value) fields() (all []field) {
	if !v.is('{') {
		return nil
	}
	for i := blanks(v, 1); v[i] != '}'; {
		end := skipText(v, i)
		key := text(v[i:end])
		i = blanks(v, blanks(v, end)+1)
		end = skip(v, i)
		all = append(all, field{key, v[i:end]})
		if i = blanks(v, end); v[i] == ',' {
			i = blanks(v, i+1)
		}
	}
	return all
}

// each calls f with every item of an array until it fails.
func (v value) each(f func(value) error) error {
	for i := blanks(v, 1); v[i] != ']'; {
		end := skip(v, i)
		if err := f(v[i:end]); err != nil {
			return err
		}
		if i = blanks(v, end); v[i] == ',' {
			i = blanks(v, i+1)
		}
	}
	return nil
}

// An object is one that is judged.
type object []field

// judged is an object whose keys of the given names are read in one way only.
func (v value) judged(what string, names ...string) (object, error) {
	if !v.is('{') {
		return nil, fmt.Errorf("%s is no object", what)
	}
	o := object(v.fields())
	exact := make(map[string]bool, len(names))
	plain := make(map[string]bool, len(names))
	for _, n := range names {
		exact[n], plain[plainKey(n)] = true, true
	}
	seen := make(map[string]string, len(o))
	for _, f := range o {
		k := plainKey(f.key)
		if other, twice := seen[k]; twice {
			return nil, fmt.Errorf("%s has the keys %s and %s, which some servers take for one", what, shortened(other), shortened(f.key))
		}
		seen[k] = f.key
		if plain[k] && !exact[f.key] {
			return nil, fmt.Errorf("%s has a key that is spelled in an unusual way: %s", what, shortened(f.key))
		}
	}
	return o, nil
}

// get is the value of the first of the names that is there and not null.
func (o object) get(names ...string) value {
	for _, f := range o {
		for _, n := range names {
			if f.key == n && !f.null() {
				return f.value
			}
		}
	}
	return nil
}

// plainKey is a key without case, underscores and dashes.
func plainKey(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}

// shortened is a text from inside as an error may have it.
func shortened(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return strconv.QuoteToASCII(s)
}
