package credential

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	"slices"
)

// maxSwallowed is how many characters of a text an escape before it may swallow at most:
// \ before u00ab. An agent that chooses what is before a value chooses that.
const maxSwallowed = 5

// find lists what is in b: from the left, of what begins together the longest, nothing
// that overlaps.
func (f *finder) find(b []byte) []match {
	var all []match
	f.probes(b, func(i int, p probe) {
		n := &f.needles[p.needle]
		if start := i - p.offset; start >= 0 && start+len(n.bytes) <= len(b) &&
			subtle.ConstantTimeCompare(b[start:start+len(n.bytes)], n.bytes) == 1 {
			all = append(all, match{start: start, end: start + len(n.bytes), id: n.id, mask: n.mask})
		}
	})
	if all = f.escaped(b, all); len(all) < 2 {
		return all
	}
	slices.SortStableFunc(all, func(x, y match) int { return cmp.Or(x.start-y.start, y.end-x.end) })
	from := 0
	return slices.DeleteFunc(all, func(m match) bool {
		if m.start < from {
			return true
		}
		from = m.end
		return false
	})
}

// probes calls found for each position of b where a probe may be.
func (f *finder) probes(b []byte, found func(i int, p probe)) {
	bits, factor := f.bits, f.factor
	for i, step := 0, f.step; i <= len(b)-8; i += step {
		h := hash(b[i:i+8:len(b)], factor)
		if bits[h>>6&(1<<10-1)]>>(h&63)&1 != 0 {
			for _, p := range f.at[uint16(h)] {
				found(i, p)
			}
		}
	}
}

// twice stands, in place of the escapes that are left, for percent-encoding that is undone
// twice.
const twice = 1

// A decodedRun is a run of text without its escapes.
type decodedRun struct {
	b  []byte
	at []int32 // where each byte of b begins in the run; one more for the end
}

// escaped finds what is in b with at least one escape: it decodes each run of characters
// of the alphabet in which there is one.
func (f *finder) escaped(b []byte, all []match) []match {
	e := escapeScan{b: b, percent: -1, backslash: -1}
	for i := e.next(0); i < len(b); {
		c, n, _ := unit(b[i:])
		if n == 0 || !f.abc.part[c] {
			i = e.next(i + max(n, 1))
			continue
		}
		lo, hi := i, i+n
		for lo > 0 && f.abc.part[b[lo-1]] {
			lo--
		}
		for hi < len(b) && f.abc.part[b[hi]] {
			hi++
		}
		for _, skip := range f.abc.literal {
			all = f.within(b, lo, hi, skip, all)
		}
		if bytes.Contains(b[lo:hi], []byte("%25")) {
			all = f.within(b, lo, hi, twice, all)
		}
		i = e.next(hi)
	}
	return all
}

// within looks through b[lo:hi] decoded, but for the escapes that begin with skip.
func (f *finder) within(b []byte, lo, hi int, skip byte, all []match) []match {
	u := f.scratch.Get().(*decodedRun)
	u.decode(b[lo:hi], skip)
	f.probes(u.b, func(i int, p probe) {
		n := &f.needles[p.needle]
		if start, end, ok := behind(b[lo:hi], u.at, i, p.offset, n.bytes); ok {
			all = append(all, match{start: lo + start, end: lo + end, id: n.id, mask: n.mask, text: n.bytes})
		}
	})
	clear(u.b) // it may be a value
	f.scratch.Put(u)
	return all
}

// behind looks whether text begins so many bytes before the decoded position i of run,
// or with the last of the characters that the escape before it swallowed: what ends in
// %4 before a value that begins with 1 reads as %41. at is where each decoded byte begins.
func behind(run []byte, at []int32, i, offset int, text []byte) (start, end int, ok bool) {
	for k := 0; k <= min(maxSwallowed, offset); k++ {
		d := i - offset + k // of text[k]
		if d < 0 || k > 0 && d == 0 {
			continue
		}
		start := int(at[d]) - k
		if k > 0 && int(at[d-1]) >= start {
			continue // nothing that swallowed so many
		}
		if n, _ := matchUnits(run[start:], text); n > 0 {
			return start, start + n, true
		}
	}
	return 0, 0, false
}

// decode makes u what run is without its escapes, but for those that begin with skip. With skip
// [twice] none is left.
func (u *decodedRun) decode(run []byte, skip byte) {
	u.b, u.at = u.b[:0], u.at[:0]
	for i := 0; i < len(run); {
		c, n := run[i], 1
		if (c == '%' || c == '\\') && c != skip {
			if d, l, _ := unit(run[i:]); l > 0 {
				c, n = d, l
			}
			if skip == twice {
				if d, l, _ := deepUnit(run[i:]); l > 0 {
					c, n = d, l
				}
			}
		}
		u.b, u.at = append(u.b, c), append(u.at, int32(i))
		i += n
	}
	u.at = append(u.at, int32(len(run)))
}

// An escapeScan goes from escape to escape.
type escapeScan struct {
	b                  []byte
	percent, backslash int
}

// next is the next position at or after i of what may begin an escape. i never goes back.
func (e *escapeScan) next(i int) int {
	if e.percent < i {
		e.percent = indexByte(e.b, i, '%')
	}
	if e.backslash < i {
		e.backslash = indexByte(e.b, i, '\\')
	}
	return min(e.percent, e.backslash)
}

func indexByte(b []byte, from int, c byte) int {
	if from < len(b) {
		if i := bytes.IndexByte(b[from:], c); i >= 0 {
			return from + i
		}
	}
	return len(b)
}

func escapes(b []byte) bool {
	return bytes.IndexByte(b, '%') >= 0 || bytes.IndexByte(b, '\\') >= 0
}

// write puts the mask over what was found in b.
func (m *match) write(b []byte) {
	switch {
	case m.mask == nil:
	case m.text != nil:
		respell(b[m.start:m.end], m.text, m.mask)
	default:
		copy(b[m.start:m.end], m.mask)
	}
}

// mask writes the masks over what is found in b and returns how many bytes of b are
// settled: the rest may be the beginning of a match, unless the input ended. hold says
// where that begins. behind is the end of the last match that was masked.
func (f *finder) mask(b []byte, hold func(b []byte, from int) int) (settled, behind int) {
	settled = hold(b, 0)
	if f == nil {
		return settled, 0
	}
	for _, m := range f.find(b) {
		if m.start >= settled {
			break
		}
		m.write(b)
		if behind = m.end; behind > settled {
			settled = hold(b, behind)
		}
	}
	return settled, behind
}

// whole is a hold for what does not go on.
func whole(b []byte, _ int) int { return len(b) }
