package glob

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A segment matches one folded name. The common forms (a whole name, a prefix, a
// suffix) are compared as strings; the rest is tokens.
type segment struct {
	kind   segmentKind
	lit    string
	tokens []token
}

type segmentKind uint8

const (
	segLiteral segmentKind = iota
	segPrefix              // lit*
	segSuffix              // *lit
	segGeneral
)

type token struct {
	kind tokenKind
	r    rune
	set  *class
}

type tokenKind uint8

const (
	tokRune tokenKind = iota
	tokAny
	tokClass
	tokStar
)

type class struct {
	negated bool
	ranges  [][2]rune
}

func compileSegment(p string) (segment, error) {
	if !strings.ContainsAny(p, `\*?[`) { // most patterns are names
		return segment{kind: segLiteral, lit: Fold(p)}, nil
	}
	ts, err := tokenize(p)
	if err != nil {
		return segment{}, err
	}
	stars, others := 0, 0
	var lit strings.Builder
	for _, t := range ts {
		switch t.kind {
		case tokStar:
			stars++
		case tokRune:
			lit.WriteRune(t.r)
		default:
			others++
		}
	}
	s := segment{kind: segGeneral, lit: lit.String(), tokens: ts}
	switch {
	case others > 0 || stars > 1:
	case stars == 0:
		s.kind = segLiteral
	case ts[len(ts)-1].kind == tokStar:
		s.kind = segPrefix
	case ts[0].kind == tokStar:
		s.kind = segSuffix
	}
	return s, nil
}

// tokenize reads the text of a component; literal runs are folded.
func tokenize(p string) ([]token, error) {
	ts := make([]token, 0, len(p))
	var run strings.Builder
	flush := func() {
		for _, r := range Fold(run.String()) {
			ts = append(ts, token{kind: tokRune, r: r})
		}
		run.Reset()
	}
	for i := 0; i < len(p); {
		r, n := utf8.DecodeRuneInString(p[i:])
		switch r {
		case '\\':
			r, n = utf8.DecodeRuneInString(p[i+1:])
			run.WriteRune(r)
			n++
		case '*':
			flush()
			if k := len(ts); k == 0 || ts[k-1].kind != tokStar {
				ts = append(ts, token{kind: tokStar})
			}
		case '?':
			flush()
			ts = append(ts, token{kind: tokAny})
		case '[':
			flush()
			c, size, err := parseClass(p[i:])
			if err != nil {
				return nil, err
			}
			ts = append(ts, token{kind: tokClass, set: c})
			n = size
		default:
			run.WriteRune(r)
		}
		i += n
	}
	flush()
	if len(ts) == 0 {
		return nil, errors.New("the pattern has a component of ignored characters only")
	}
	return ts, nil
}

// parseClass reads [ ] at the start of p and returns its length.
func parseClass(p string) (*class, int, error) {
	c := &class{}
	i := 1
	if i < len(p) && (p[i] == '!' || p[i] == '^') {
		c.negated = true
		i++
	}
	next := func() (rune, error) {
		if i < len(p) && p[i] == '\\' {
			i++
		}
		if i >= len(p) {
			return 0, errors.New("the pattern has a [ without its ]")
		}
		r, n := utf8.DecodeRuneInString(p[i:])
		i += n
		return r, nil
	}
	for first := true; ; first = false {
		if i < len(p) && p[i] == ']' && !first {
			return c, i + 1, nil
		}
		lo, err := next()
		if err != nil {
			return nil, 0, err
		}
		hi := lo
		if i+1 < len(p) && p[i] == '-' && p[i+1] != ']' {
			i++
			if hi, err = next(); err != nil {
				return nil, 0, err
			}
		}
		if hi < lo {
			return nil, 0, errors.New("the pattern has a range that ends before it begins")
		}
		c.ranges = append(c.ranges, [2]rune{lo, hi})
	}
}

// has says whether the folded rune r, in any case, is in the class.
func (c *class) has(r rune) bool {
	for f := r; ; {
		for _, x := range c.ranges {
			if f >= x[0] && f <= x[1] {
				return !c.negated
			}
		}
		if f = unicode.SimpleFold(f); f == r {
			return c.negated
		}
	}
}

// tail is the literal end that every match has.
func (s *segment) tail() string {
	if s.kind == segLiteral {
		return s.lit
	}
	i := len(s.tokens)
	for i > 0 && s.tokens[i-1].kind == tokRune {
		i--
	}
	var b strings.Builder
	for _, t := range s.tokens[i:] {
		b.WriteRune(t.r)
	}
	return b.String()
}

func (s *segment) match(name string) bool {
	switch s.kind {
	case segLiteral:
		return name == s.lit
	case segPrefix:
		return strings.HasPrefix(name, s.lit)
	case segSuffix:
		return strings.HasSuffix(name, s.lit)
	}
	return matchTokens(s.tokens, name)
}

// matchTokens goes back only to the last star, which is enough because a later
// star can take over whatever an earlier one would have. Cost: at most
// len(ts)*len(name).
func matchTokens(ts []token, name string) bool {
	t, i := 0, 0
	starT, starI := -1, 0
	for i < len(name) {
		r, n := utf8.DecodeRuneInString(name[i:])
		switch {
		case t < len(ts) && ts[t].kind == tokStar:
			starT, starI = t, i
			t++
			continue
		case t < len(ts) && ts[t].one(r):
			t++
			i += n
			continue
		case starT < 0:
			return false
		}
		_, n = utf8.DecodeRuneInString(name[starI:])
		starI += n
		t, i = starT+1, starI
	}
	for t < len(ts) && ts[t].kind == tokStar {
		t++
	}
	return t == len(ts)
}

func (t *token) one(r rune) bool {
	switch t.kind {
	case tokRune:
		return r == t.r
	case tokAny:
		return true
	case tokClass:
		return t.set.has(r)
	}
	return false
}
