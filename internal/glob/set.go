package glob

import (
	"math/bits"
	"strings"
	"unique"
)

// A Set is a list of patterns that are matched together and step by step. It is
// immutable and safe for concurrent use. The empty set is useful: it matches
// nothing.
type Set struct {
	// The first segment of a pattern that begins at any depth is looked for in
	// every directory, so it needs no state. It is found by the whole name or by
	// the extension where that is possible.
	names    map[string][]hit
	suffixes map[string][]floating
	prefixes [256][]floating // by the first byte of the name
	general  []floating

	// Everything else is a position of one automaton.
	paths []position
	start unique.Handle[string]
}

// A hit is what follows from a segment that matched.
type hit struct {
	pattern int
	next    int // the position that comes to life, or -1: the pattern matches
}

type floating struct {
	seg segment
	hit hit
}

type position struct {
	comp    component
	pattern int
	last    bool
}

// NewSet makes a set. A name's verdict is the lowest index of a matching pattern.
func NewSet(globs ...*Glob) *Set {
	s := &Set{names: map[string][]hit{}, suffixes: map[string][]floating{}}
	var first []int
	for i, g := range globs {
		for _, a := range g.alts {
			floats := len(a) > 1 && a[0].deep
			rest := a
			if floats {
				rest = a[2:] // "**" is never followed by another
			}
			at := len(s.paths)
			for k, c := range rest {
				s.paths = append(s.paths, position{comp: c, pattern: i, last: k == len(rest)-1})
			}
			switch {
			case !floats:
				first = append(first, at)
			case len(rest) == 0:
				s.float(a[1].seg, hit{i, -1})
			default:
				s.float(a[1].seg, hit{i, at})
			}
		}
	}
	set := make([]byte, (len(s.paths)+7)/8)
	for _, p := range first {
		s.activate(set, p)
	}
	s.start = unique.Make(string(set))
	return s
}

// float files a segment that is looked for at every depth.
func (s *Set) float(seg segment, h hit) {
	tail := seg.tail()
	dot := strings.LastIndexByte(tail, '.')
	switch {
	case seg.kind == segLiteral:
		s.names[seg.lit] = append(s.names[seg.lit], h)
	case dot >= 0:
		ext := tail[dot:]
		s.suffixes[ext] = append(s.suffixes[ext], floating{seg, h})
	case len(seg.tokens) > 0 && seg.tokens[0].kind == tokRune:
		b := string(seg.tokens[0].r)[0]
		s.prefixes[b] = append(s.prefixes[b], floating{seg, h})
	default:
		s.general = append(s.general, floating{seg, h})
	}
}

// activate adds a position and those reached from it without a name.
func (s *Set) activate(set []byte, p int) {
	for {
		set[p/8] |= 1 << (p % 8)
		if !s.paths[p].comp.deep || s.paths[p].last {
			return
		}
		p++
	}
}

// A State is what is known of a directory: which patterns may still match below
// it. States are small, immutable and comparable with ==; equal states judge
// everything below alike. The zero State belongs to no set and matches nothing.
type State struct {
	set  *Set
	bits unique.Handle[string]
}

// Root is the state of the root directory.
func (s *Set) Root() State { return State{s, s.start} }

// Child judges a name in the directory: the state of a directory of that name,
// and the lowest index of a pattern that matches the name, or -1.
func (st State) Child(name string) (State, int) { return st.ChildFolded(Fold(name)) }

// ChildFolded is [State.Child] for a name that [Fold] returned.
func (st State) ChildFolded(name string) (State, int) {
	s := st.set
	if s == nil {
		return st, -1
	}
	cur := st.bits.Value()
	var small [64]byte
	next := small[:]
	if len(cur) > len(small) {
		next = make([]byte, len(cur))
	}
	next = next[:len(cur)]
	m := s.anywhere(next, name)
	for i := 0; i < len(cur); i++ {
		for b := cur[i]; b != 0; b &= b - 1 {
			m = s.advance(next, i*8+bits.TrailingZeros8(b), name, m)
		}
	}
	if string(next) == cur {
		return st, m
	}
	return State{s, unique.Make(string(next))}, m
}

// anywhere tries what floats on name and returns the best match, or -1.
func (s *Set) anywhere(next []byte, name string) int {
	m := -1
	for _, h := range s.names[name] {
		m = s.take(next, h, m)
	}
	if len(s.suffixes) > 0 {
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
			m = s.try(next, s.suffixes[name[dot:]], name, m)
		}
	}
	if name != "" {
		m = s.try(next, s.prefixes[name[0]], name, m)
	}
	return s.try(next, s.general, name, m)
}

func (s *Set) try(next []byte, fs []floating, name string, m int) int {
	for i := range fs {
		if fs[i].seg.match(name) {
			m = s.take(next, fs[i].hit, m)
		}
	}
	return m
}

func (s *Set) take(next []byte, h hit, m int) int {
	if h.next >= 0 {
		s.activate(next, h.next)
		return m
	}
	return lower(m, h.pattern)
}

// advance moves one active position over name, and returns the better match.
func (s *Set) advance(next []byte, p int, name string, m int) int {
	x := &s.paths[p]
	switch {
	case x.comp.deep:
		s.activate(next, p)
	case !x.comp.seg.match(name):
		return m
	case !x.last:
		s.activate(next, p+1)
	}
	if x.last {
		return lower(m, x.pattern)
	}
	return m
}

func lower(m, pattern int) int {
	if m < 0 || pattern < m {
		return pattern
	}
	return m
}

// Match judges a whole path: the lowest index of a pattern that matches it, or -1.
func (s *Set) Match(slashPath string) int {
	st, m := s.Root(), -1
	for name := range strings.SplitSeq(slashPath, "/") {
		if name != "" {
			st, m = st.Child(name)
		}
	}
	return m
}
