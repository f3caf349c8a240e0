package urlpath

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
)

// MaxParams is how many parameters a query may have that is judged: servers leave those
// beyond some number out, or the whole query.
const MaxParams = 256

// The ways in which a query is refused that is judged.
var (
	ErrSemicolon = errors.New("it has a semicolon, which separates parameters for some servers")
	ErrQueryCode = errors.New("its percent-encoding is invalid")
	ErrQueryUTF8 = errors.New("it decodes to what is not UTF-8")
	ErrQueryByte = errors.New("it has an encoded control byte")
	ErrNameless  = errors.New("it has a parameter without a name")
	ErrNested    = errors.New("it is another one when it is decoded twice")
	ErrParams    = errors.New("it has too many parameters")
)

// ParseQuery reads a query in the one way in which all servers read it, and writes it so:
// "&" separates parameters, the first "=" ends a name, "+" is a blank, names and values are
// UTF-8 in percent-encoding. What some servers read otherwise is an error. In what is
// written, empty parameters are left out, blanks and what need not be encoded are spelled
// in one way; it reads as what it was made of, and is its own canonical form.
func ParseQuery(raw string) (params []belljar.Param, canonical string, err error) {
	if len(raw) > MaxLen {
		return nil, "", ErrLong
	}
	var b strings.Builder
	b.Grow(len(raw))
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		if len(params) == MaxParams {
			return nil, "", ErrParams
		}
		name, value, assigned := strings.Cut(part, "=")
		if len(params) > 0 {
			b.WriteByte('&')
		}
		var p belljar.Param
		if p.Name, err = decodeField(&b, name); err != nil {
			return nil, "", err
		}
		if assigned {
			b.WriteByte('=')
			if p.Value, err = decodeField(&b, value); err != nil {
				return nil, "", err
			}
		}
		switch {
		case p.Name == "":
			return nil, "", ErrNameless
		case encodedAgain(p.Name, "&;#=+"), encodedAgain(p.Value, "&;#"):
			return nil, "", ErrNested
		}
		params = append(params, p)
	}
	return params, b.String(), nil
}

// decodeField decodes a name or a value, and writes it in its one spelling.
func decodeField(b *strings.Builder, s string) (string, error) {
	if plainField(s) {
		b.WriteString(s)
		return s, nil
	}
	text := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == ';':
			return "", ErrSemicolon
		case c <= ' ' || c >= 0x7f || c == '#':
			return "", ErrByte
		case c == '+':
			c = ' '
			escape(b, c)
		case c != '%':
			queryLiteral(b, c)
		case i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]):
			return "", ErrQueryCode
		default:
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
			if unreserved(c) {
				b.WriteByte(c)
			} else {
				escape(b, c)
			}
		}
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return "", ErrQueryByte
		}
		text = append(text, c)
	}
	if !utf8.Valid(text) {
		return "", ErrQueryUTF8
	}
	return string(text), nil
}

// plainField says whether s is made of unreserved characters only.
func plainField(s string) bool {
	for i := range len(s) {
		if !unreserved(s[i]) {
			return false
		}
	}
	return true
}

// queryLiteral writes a character that was not encoded, and means itself.
func queryLiteral(b *strings.Builder, c byte) {
	if unreserved(c) || strings.IndexByte("!$'()*,/:=?@", c) >= 0 {
		b.WriteByte(c)
		return
	}
	escape(b, c)
}

// encodedAgain says whether a server that decodes more than once finds one of marks, or a
// control byte, that is not there for one that does not.
func encodedAgain(once, marks string) bool {
	if !strings.Contains(once, "%") {
		return false
	}
	s, ok := deepest(once)
	if !ok {
		return true
	}
	odd := func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(marks, r) }
	count := func(s string) (n int) {
		for _, r := range s {
			if odd(r) {
				n++
			}
		}
		return n
	}
	return count(s) != count(once)
}
