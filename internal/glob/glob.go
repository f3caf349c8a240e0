// Package glob matches file names against patterns of the kind that policy
// files use: "*.pem", "deploy/**", "/secrets/{a,b}.json".
//
// A pattern is a sequence of components separated by slashes:
//
//   - any run of characters but a slash, also an empty one
//     ?       one character
//     [a-z]   one of these; [!a-z] or [^a-z] one of all others
//     {a,b}   either; may nest and may hold slashes
//     **      as a whole component: any number of components, also none; as the
//     last component at least one, so that "a/**" is what is below a
//     \c      the character c itself
//
// A pattern without a slash (but for a trailing one) matches at any depth. Every
// other pattern is relative to the root; a leading slash says so explicitly.
//
// Matching is made for judging hostile names: it compares folded forms (see
// [Fold]), takes time linear in the name for a given pattern, and bounds what a
// pattern may cost when it is compiled.
//
// A [Glob] matches whole paths. A [Set] matches many patterns incrementally: a
// [State] belongs to a directory, and a verdict about a name in it costs one
// step, whatever the depth. Both agree on every path; a test holds them to it.
//
// # Limitations
//
// There is no negation between patterns and no pattern that depends on the type
// of a file: a trailing slash is accepted and ignored. "?" and classes see the
// folded, composed form of a name.
package glob

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds of a pattern. A pattern beyond one of them does not compile.
const (
	MaxLength       = 1024 // bytes
	MaxAlternatives = 64   // after {a,b} has been multiplied out
	maxComponents   = 60   // of one alternative; positions fit in a word
)

// A Glob is a compiled pattern. It is immutable and safe for concurrent use.
type Glob struct {
	text string
	alts [][]component
}

// A component matches one path component, or is "**".
type component struct {
	deep bool // "**"
	seg  segment
}

// Compile parses a pattern. An error says what is wrong with it, without
// repeating the pattern.
func Compile(pattern string) (*Glob, error) {
	switch {
	case pattern == "":
		return nil, errors.New("the pattern is empty")
	case len(pattern) > MaxLength:
		return nil, fmt.Errorf("the pattern is longer than %d bytes", MaxLength)
	case !utf8.ValidString(pattern):
		return nil, errors.New("the pattern is not valid UTF-8")
	case strings.IndexByte(pattern, 0) >= 0:
		return nil, errors.New("the pattern holds a NUL byte")
	}
	texts, err := expand(pattern)
	if err != nil {
		return nil, err
	}
	g := &Glob{text: pattern}
	for _, t := range texts {
		cs, err := components(t)
		if err != nil {
			return nil, err
		}
		g.alts = append(g.alts, cs)
	}
	return g, nil
}

// String is the pattern as it was written.
func (g *Glob) String() string { return g.text }

// Match says whether the whole of slashPath matches. The path is relative to the
// root of the patterns; a leading slash and empty components are ignored. A
// pattern that matches a directory says nothing of what is below it.
func (g *Glob) Match(slashPath string) bool {
	sets := make([]uint64, len(g.alts))
	for i, a := range g.alts {
		sets[i] = closure(a, 1)
	}
	matched := false
	for name := range strings.SplitSeq(slashPath, "/") {
		if name == "" {
			continue
		}
		name = Fold(name)
		matched = false
		for i, a := range g.alts {
			next, acc := step(a, sets[i], name)
			sets[i] = next
			matched = matched || acc
		}
	}
	return matched
}

// step moves one alternative over one folded name. It returns the positions that
// may go on and whether the path up to this name matches.
func step(a []component, set uint64, name string) (next uint64, accept bool) {
	for i := range a {
		if set&(1<<i) == 0 {
			continue
		}
		switch {
		case a[i].deep:
			next |= 1 << i
			accept = accept || i == len(a)-1
		case a[i].seg.match(name):
			next |= 1 << (i + 1)
			accept = accept || i == len(a)-1
		}
	}
	return closure(a, next) &^ (1 << len(a)), accept
}

// closure adds the positions that are reached without a name: behind a "**" that
// matches nothing. A last "**" needs a name, so nothing lies behind it.
func closure(a []component, set uint64) uint64 {
	for i := range a {
		if set&(1<<i) != 0 && a[i].deep && i < len(a)-1 {
			set |= 1 << (i + 1)
		}
	}
	return set
}

// components splits one alternative, without braces, at its slashes.
func components(t string) ([]component, error) {
	t = strings.TrimSuffix(t, "/")
	anchored := strings.HasPrefix(t, "/")
	t = strings.TrimPrefix(t, "/")
	if t == "" {
		return nil, errors.New("the pattern names no file")
	}
	parts, err := split(t)
	if err != nil {
		return nil, err
	}
	var cs []component
	if len(parts) == 1 && !anchored && parts[0] != "**" {
		cs = append(cs, component{deep: true})
	}
	for _, p := range parts {
		switch p {
		case "":
			return nil, errors.New("the pattern has an empty component (two slashes in a row)")
		case ".", "..":
			return nil, fmt.Errorf("the pattern has the component %q: write it relative to the root", p)
		case "**":
			if n := len(cs); n == 0 || !cs[n-1].deep {
				cs = append(cs, component{deep: true})
			}
			continue
		}
		s, err := compileSegment(p)
		if err != nil {
			return nil, err
		}
		cs = append(cs, component{seg: s})
	}
	if len(cs) > maxComponents {
		return nil, fmt.Errorf("the pattern has more than %d components", maxComponents)
	}
	return cs, nil
}

// split cuts at slashes; one inside a class or behind a backslash is an error,
// because no name holds a slash.
func split(t string) ([]string, error) {
	var parts []string
	start, class := 0, false
	for i := 0; i < len(t); i++ {
		switch c := t[i]; {
		case c == '\\':
			i++
			if i < len(t) && t[i] == '/' {
				return nil, errors.New("the pattern escapes a slash: no name holds one")
			}
		case class && c == ']':
			class = false
		case c == '[':
			if !class && i+1 < len(t) && t[i+1] == ']' {
				i++ // a first ] is a member
			}
			class = true
		case c == '/' && class:
			return nil, errors.New("the pattern has a slash inside [ ]: no name holds one")
		case c == '/':
			parts = append(parts, t[start:i])
			start = i + 1
		}
	}
	return append(parts, t[start:]), nil
}
