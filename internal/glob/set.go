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
	// Patterns for a name at any depth need no state. They are found by the whole
	// name or by the extension where that is possible.
	names    map[string]int
	suffixes map[string][]suffix
	general  []anywhere

	// All other patterns are positions of one automaton.
	paths []position
	start unique.Handle[string]
}

type suffix struct {
	text    string
	pattern int
}

type anywhere struct {
	seg     segment
	pattern int
}

type position struct {
	comp    component
	pattern int
	last    bool
}

// NewSet makes a set. A name's verdict is the lowest index of a matching pattern.
func NewSet(globs ...*Glob) *Set {
	s := &Set{names: map[string]int{}, suffixes: map[string][]suffix{}}
	var first []int
	for i, g := range globs {
		for _, a := range g.alts {
			if len(a) == 2 && a[0].deep && !a[1].deep {
				s.addName(a[1].seg, i)
				continue
			}
			first = append(first, len(s.paths))
			for k, c := range a {
				s.paths = append(s.paths, position{comp: c, pattern: i, last: k == len(a)-1})
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

func (s *Set) addName(seg segment, pattern int) {
	dot := strings.LastIndexByte(seg.lit, '.')
	switch {
	case seg.kind == segLiteral:
		if _, ok := s.names[seg.lit]; !ok {
			s.names[seg.lit] = pattern
		}
	case seg.kind == segSuffix && dot >= 0:
		ext := seg.lit[dot:]
		s.suffixes[ext] = append(s.suffixes[ext], suffix{seg.lit, pattern})
	default:
		s.general = append(s.general, anywhere{seg, pattern})
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
	m := s.anyDepth(name)
	if len(s.paths) == 0 {
		return st, m
	}
	cur := st.bits.Value()
	var small [32]byte
	next := small[:]
	if len(cur) > len(small) {
		next = make([]byte, len(cur))
	}
	next = next[:len(cur)]
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
	if x.last && (m < 0 || x.pattern < m) {
		return x.pattern
	}
	return m
}

// anyDepth is the verdict of the patterns that need no state.
func (s *Set) anyDepth(name string) int {
	m := -1
	if i, ok := s.names[name]; ok {
		m = i
	}
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 && len(s.suffixes) > 0 {
		for _, x := range s.suffixes[name[dot:]] {
			if (m < 0 || x.pattern < m) && strings.HasSuffix(name, x.text) {
				m = x.pattern
			}
		}
	}
	for i := range s.general {
		x := &s.general[i]
		if m >= 0 && x.pattern > m {
			break // in the order of patterns
		}
		if x.seg.match(name) {
			m = x.pattern
			break
		}
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
