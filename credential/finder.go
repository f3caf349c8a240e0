package credential

import (
	"bytes"
	"slices"
)

// A finder finds texts (values, or stand-ins) in the forms of [fixedForms] and in every
// mixture of characters and their escapes. It does not change and may be used by several
// goroutines at once.
//
// Fixed forms are found by their block of two bytes at the end of a window as long as
// the shortest of them: where the block is in none of them the window moves on by its
// whole length. Escapes are looked for only where something is escaped that a text
// contains. Both are linear in the length of what is searched, unless a text repeats
// itself over and over.
type finder struct {
	texts   []finderText
	needles []needle
	window  int
	shift   *[1 << 16]uint8
	at      map[uint16][]int // needles by the last block of their window
	first   [256]bool        // that begin a match
	pair    [1 << 13]byte    // a bit for each two bytes that do
	escaped [256]bool        // that a text contains
	behind  [256]bool        // a backslash, in an escape of what a text contains
	longest int              // needle
	widest  int              // a text with every character escaped
	memory  secret           // of texts and needles
}

type finderText struct {
	id    int // of the credential
	text  []byte
	mask  []byte         // of the same length; nil where nothing is replaced
	index map[byte][]int // where each character is in text
}

type needle struct {
	bytes, mask []byte
	id          int
}

// A match is what was found at [start,end).
type match struct {
	start, end int
	id         int
	mask       []byte // to write over it
	units      bool   // mask is written in the spelling that is there
}

// newFinder makes a finder; nil when there is nothing to find.
func newFinder(texts []finderText) *finder {
	f := &finder{at: map[uint16][]int{}, shift: new([1 << 16]uint8)}
	for _, t := range texts {
		f.add(t)
		if bytes.IndexByte(t.text, ' ') >= 0 { // a space is a plus in a query
			f.add(finderText{id: t.id, text: bytes.ReplaceAll(t.text, []byte(" "), []byte("+")), mask: bytes.ReplaceAll(t.mask, []byte(" "), []byte("+"))})
		}
	}
	if len(f.needles) == 0 {
		return nil
	}
	f.keep()
	f.window = len(f.needles[0].bytes)
	for _, n := range f.needles {
		f.window = min(f.window, len(n.bytes))
		f.longest = max(f.longest, len(n.bytes))
		f.first[n.bytes[0]] = true
		f.setPair(n.bytes[0], n.bytes[1])
	}
	for _, t := range f.texts {
		f.setPair(t.text[0], '%')
		f.setPair(t.text[0], '\\')
	}
	for i := range 256 {
		f.setPair('%', byte(i))
		f.setPair('\\', byte(i))
	}
	f.window = min(f.window, 200)
	f.first['%'], f.first['\\'] = true, true
	f.behind = [256]bool{'u': true, 'x': true, '\\': true, '/': f.escaped['/'], '"': f.escaped['"']}
	for i := range f.shift {
		f.shift[i] = uint8(f.window - 1)
	}
	for i, n := range f.needles {
		for j := range f.window - 1 {
			b := block(n.bytes[j:])
			f.shift[b] = min(f.shift[b], uint8(f.window-2-j))
		}
		last := block(n.bytes[f.window-2:])
		f.at[last] = append(f.at[last], i)
	}
	return f
}

func (f *finder) add(t finderText) {
	if len(t.text) < minFound || f.has(t.text) {
		return
	}
	t.index = map[byte][]int{}
	for i, c := range t.text {
		t.index[c] = append(t.index[c], i)
		f.escaped[c] = true
	}
	f.texts = append(f.texts, t)
	f.widest = max(f.widest, maxUnit*len(t.text))
	forms := fixedForms(t.text)
	masks := make([][]byte, len(forms))
	if t.mask != nil {
		masks = fixedForms(t.mask)
	}
	for i, b := range forms {
		if !f.has(b) {
			f.needles = append(f.needles, needle{bytes: b, mask: masks[i], id: t.id})
		}
	}
}

func (f *finder) has(form []byte) bool {
	return slices.ContainsFunc(f.needles, func(n needle) bool { return bytes.Equal(n.bytes, form) })
}

// keep moves the texts and their forms into memory of their own.
func (f *finder) keep() {
	size := 0
	for _, n := range f.needles {
		size += len(n.bytes)
	}
	for _, t := range f.texts {
		size += len(t.text)
	}
	f.memory = newSecret(size)
	rest := f.memory.region().b
	move := func(b []byte) []byte {
		n := copy(rest, b)
		moved := rest[:n:n]
		rest = rest[n:]
		return moved
	}
	for i := range f.texts { // before the forms, of which the first is the text
		f.texts[i].text = move(f.texts[i].text)
	}
	for i := range f.needles {
		b := f.needles[i].bytes
		f.needles[i].bytes = move(b)
		clear(b)
	}
}

func (f *finder) setPair(a, b byte) {
	p := block([]byte{a, b})
	f.pair[p>>3] |= 1 << (p & 7)
}

// begins says whether two bytes may begin a match.
func (f *finder) begins(b []byte) bool {
	p := block(b)
	return f.pair[p>>3]>>(p&7)&1 != 0
}

func block(b []byte) uint16 { return uint16(b[0]) | uint16(b[1])<<8 }

// A search goes through one buffer from the left to the right.
type search struct {
	f   *finder
	b   []byte
	fix match // the next fixed form; start is -1 before it was looked for, len(b) for none
	esc match // the next escaped one
	// the next byte that may begin an escape, of each kind
	percent, backslash int
}

func (f *finder) search(b []byte) search {
	return search{f: f, b: b, fix: match{start: -1}, esc: match{start: -1}, percent: -1, backslash: -1}
}

// next is the leftmost match at or after from, of several the longest. from never
// goes back.
func (s *search) next(from int) (match, bool) {
	if s.fix.start < from {
		s.fix = s.fixed(from)
	}
	if s.esc.start < from {
		s.esc = s.units(from)
	}
	m := s.fix
	if s.esc.start < m.start || s.esc.start == m.start && s.esc.end > m.end {
		m = s.esc
	}
	return m, m.start < len(s.b)
}

func (s *search) fixed(from int) match {
	f, b := s.f, s.b
	none := match{start: len(b), end: len(b)}
	w := f.window
	for i := from + w - 2; i+1 < len(b); {
		step := f.shift[uint16(b[i])|uint16(b[i+1])<<8]
		if step > 0 {
			i += int(step)
			continue
		}
		start := i + 2 - w
		best := none
		for _, k := range f.at[block(b[i:])] {
			n := &f.needles[k]
			if bytes.HasPrefix(b[start:], n.bytes) && (best.start == len(b) || start+len(n.bytes) > best.end) {
				best = match{start: start, end: start + len(n.bytes), id: n.id, mask: n.mask}
			}
		}
		if best.start < len(b) {
			return best
		}
		i++
	}
	return none
}

// units finds an occurrence with at least one escape: around its first escape.
func (s *search) units(from int) match {
	for at := from; ; {
		at = s.escape(at)
		if at == len(s.b) {
			return match{start: len(s.b), end: len(s.b)}
		}
		c, n, _ := unit(s.b[at:])
		if n == 0 {
			at++
			continue
		}
		if s.f.escaped[c] {
			if m := s.around(from, at, c); m.start < len(s.b) {
				return m
			}
		}
		at += n
	}
}

// escape is the next position at or after at that may begin the escape of a character
// that a text contains.
func (s *search) escape(at int) int {
	for b := s.b; s.percent < at; {
		i := indexByte(b, max(at, s.percent+1), '%')
		for i+2 < len(b) && !s.f.percent(b[i+1], b[i+2]) {
			i = indexByte(b, i+1, '%')
		}
		s.percent = i
	}
	for b := s.b; s.backslash < at; {
		i := indexByte(b, max(at, s.backslash+1), '\\')
		for i+1 < len(b) && !s.f.behind[b[i+1]] {
			i = indexByte(b, i+2, '\\')
		}
		s.backslash = i
	}
	return min(s.percent, s.backslash)
}

// percent says whether two digits behind a percent sign are a character of a text.
func (f *finder) percent(a, b byte) bool {
	hi, lo := hexDigits[a], hexDigits[b]
	return hi|lo < 16 && f.escaped[hi<<4|lo]
}

func indexByte(b []byte, from int, c byte) int {
	if i := bytes.IndexByte(b[from:], c); i >= 0 {
		return from + i
	}
	return len(b)
}

// around finds the occurrence whose first escape, of c, is at at.
func (s *search) around(from, at int, c byte) match {
	best := match{start: len(s.b), end: len(s.b)}
	for i := range s.f.texts {
		t := &s.f.texts[i]
		for _, j := range t.index[c] {
			start := at - j
			if start < from {
				break
			}
			if j > 0 && s.b[at-1] != t.text[j-1] || start > best.start || !bytes.Equal(s.b[start:at], t.text[:j]) {
				continue
			}
			if n, _ := matchUnits(s.b[at:], t.text[j:]); n > 0 && (start < best.start || at+n > best.end) {
				best = match{start: start, end: at + n, id: t.id, mask: t.mask, units: true}
			}
		}
	}
	return best
}

// write puts the mask over what was found in b.
func (m *match) write(b []byte) {
	switch {
	case m.mask == nil:
	case m.units:
		respell(b[m.start:m.end], m.mask)
	default:
		copy(b[m.start:m.end], m.mask)
	}
}

// open is the first position at or after from where what is not yet complete in b
// could still become a match; len(b) when there is none.
func (f *finder) open(b []byte, from int) int {
	reach := f.longest
	if tail := b[max(from, len(b)-f.widest):]; len(tail) > reach && (bytes.IndexByte(tail, '%') >= 0 || bytes.IndexByte(tail, '\\') >= 0) {
		reach = f.widest
	}
	for i := max(from, len(b)-reach); i < len(b); i++ {
		if f.first[b[i]] && (i+1 == len(b) || f.begins(b[i:])) && f.opens(b[i:]) {
			return i
		}
	}
	return len(b)
}

func (f *finder) opens(tail []byte) bool {
	fixed := slices.ContainsFunc(f.needles, func(n needle) bool {
		return len(tail) < len(n.bytes) && bytes.HasPrefix(n.bytes, tail)
	})
	return fixed || slices.ContainsFunc(f.texts, func(t finderText) bool {
		_, more := matchUnits(tail, t.text)
		return more
	})
}

// mask writes the masks over everything that is found in b[from:] and returns how many
// bytes of b are settled: the rest may be the beginning of a match, unless the input
// ended.
func (f *finder) mask(b []byte, ended bool) int {
	settled := func(from int) int {
		if ended {
			return len(b)
		}
		return f.open(b, from)
	}
	s, from := f.search(b), 0
	end := settled(0)
	for {
		m, ok := s.next(from)
		if !ok || m.start >= end {
			return end
		}
		m.write(b)
		from = m.end
		if from > end {
			end = settled(from)
		}
	}
}
