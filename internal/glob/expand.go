package glob

import (
	"errors"
	"fmt"
	"strings"
)

// expand multiplies {a,b} out. The number of results is bounded while they are
// made, so a pattern cannot cost more than it may.
func expand(p string) ([]string, error) {
	e := &expander{text: p}
	out, err := e.sequence(0)
	if err != nil {
		return nil, err
	}
	if e.pos != len(p) {
		return nil, errors.New("the pattern has a } without its {")
	}
	return out, nil
}

type expander struct {
	text string
	pos  int
}

// maxNesting bounds the depth of braces, and so the recursion.
const maxNesting = 8

// sequence reads up to the end of the text or, inside braces, up to a comma or
// a closing brace, which it leaves.
func (e *expander) sequence(depth int) ([]string, error) {
	out := []string{""}
	for e.pos < len(e.text) {
		start := e.pos
		switch c := e.text[e.pos]; {
		case c == '\\':
			if e.pos+1 == len(e.text) {
				return nil, errors.New("the pattern ends in a backslash")
			}
			e.pos += 2
		case c == '[':
			if err := e.class(); err != nil {
				return nil, err
			}
		case c == '{':
			alts, err := e.braces(depth + 1)
			if err != nil {
				return nil, err
			}
			if out, err = multiply(out, alts); err != nil {
				return nil, err
			}
			continue
		case c == '}', c == ',' && depth > 0:
			return out, nil
		default:
			n := strings.IndexAny(e.text[e.pos:], `\[{},`)
			if n < 0 {
				n = len(e.text) - e.pos
			}
			e.pos += max(n, 1) // a comma outside of braces is itself
		}
		if len(out) == 1 && out[0] == "" {
			out[0] = e.text[start:e.pos]
			continue
		}
		for i := range out {
			out[i] += e.text[start:e.pos]
		}
	}
	return out, nil
}

// braces reads {a,b,…}.
func (e *expander) braces(depth int) ([]string, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("the pattern nests more than %d braces", maxNesting)
	}
	e.pos++
	var alts []string
	for {
		a, err := e.sequence(depth)
		if err != nil {
			return nil, err
		}
		if alts = append(alts, a...); len(alts) > MaxAlternatives {
			return nil, tooMany()
		}
		if e.pos == len(e.text) {
			return nil, errors.New("the pattern has a { without its }")
		}
		e.pos++
		if e.text[e.pos-1] == '}' {
			return alts, nil
		}
	}
}

// class skips [ ], in which braces and commas are members.
func (e *expander) class() error {
	i := e.pos + 1
	if i < len(e.text) && (e.text[i] == '!' || e.text[i] == '^') {
		i++
	}
	if i < len(e.text) && e.text[i] == ']' {
		i++
	}
	for ; i < len(e.text); i++ {
		switch e.text[i] {
		case '\\':
			i++
		case ']':
			e.pos = i + 1
			return nil
		}
	}
	return errors.New("the pattern has a [ without its ]")
}

func multiply(heads, tails []string) ([]string, error) {
	if len(heads)*len(tails) > MaxAlternatives {
		return nil, tooMany()
	}
	out := make([]string, 0, len(heads)*len(tails))
	for _, h := range heads {
		for _, t := range tails {
			out = append(out, h+t)
		}
	}
	return out, nil
}

func tooMany() error {
	return fmt.Errorf("the pattern has more than %d alternatives", MaxAlternatives)
}
