// Package lines compares texts line by line and merges two texts that come from one.
//
//	merged, conflicts := lines.Merge(base, ours, theirs, lines.Labels{Ours: "HEAD", Theirs: "belljar/a"})
//
// The work is bounded: texts that differ in too many lines count as different
// throughout, which makes a conflict of what could perhaps be merged, never the reverse.
package lines

import (
	"slices"
	"strings"
)

// maxEdits bounds the work and the memory of a comparison.
const maxEdits = 3000

// Split gives the lines of a text, with their ends.
func Split(b []byte) []string { return strings.SplitAfter(string(b), "\n") }

// match says for each line of a which line of b it is; -1: none. Matches ascend.
func match(a, b []string, most int) []int {
	var out []int
	at := 0 // in b
	for _, e := range Compare(a, b, most) {
		switch e.Op {
		case ' ':
			out = append(out, at)
			at++
		case '-':
			out = append(out, -1)
		default:
			at++
		}
	}
	return out
}

// Labels name the two sides where both are shown.
type Labels struct{ Ours, Theirs string }

// Merge makes one text of two that come from base. Where both changed the same lines
// it holds both between markers, and conflicts counts such places.
func Merge(base, ours, theirs []byte, l Labels) (merged []byte, conflicts int) {
	m := merge(Split(base), Split(ours), Split(theirs), maxEdits, l)
	return []byte(strings.Join(m.out, "")), m.conflicts
}

// Join is [Merge] for lines, of which at most most may differ on either side; it is not ok
// where there would be a conflict.
func Join(base, ours, theirs []string, most int) (joined []string, ok bool) {
	m := merge(base, ours, theirs, most, Labels{})
	return m.out, m.conflicts == 0
}

func merge(base, ours, theirs []string, most int, l Labels) *merger {
	m := &merger{b: base, o: ours, t: theirs, labels: l}
	m.mo, m.mt = match(m.b, m.o, most), match(m.b, m.t, most)
	m.run()
	return m
}

type merger struct {
	b, o, t   []string
	mo, mt    []int
	labels    Labels
	out       []string
	conflicts int
}

func (m *merger) run() {
	b, o, t := 0, 0, 0
	for b < len(m.b) || o < len(m.o) || t < len(m.t) {
		if b < len(m.b) && m.mo[b] == o && m.mt[b] == t {
			m.add(m.b[b : b+1])
			b, o, t = b+1, o+1, t+1
			continue
		}
		// Up to the next line that all three have.
		nb := b
		for nb < len(m.b) && (m.mo[nb] < o || m.mt[nb] < t) {
			nb++
		}
		no, nt := len(m.o), len(m.t)
		if nb < len(m.b) {
			no, nt = m.mo[nb], m.mt[nb]
		}
		m.chunk(m.b[b:nb], m.o[o:no], m.t[t:nt])
		b, o, t = nb, no, nt
	}
}

// chunk adds a part that is not the same in all three.
func (m *merger) chunk(b, o, t []string) {
	switch {
	case slices.Equal(o, t), slices.Equal(b, t):
		m.add(o)
	case slices.Equal(b, o):
		m.add(t)
	default:
		m.conflicts++
		m.mark("<<<<<<< " + m.labels.Ours)
		m.add(o)
		m.mark("=======")
		m.add(t)
		m.mark(">>>>>>> " + m.labels.Theirs)
	}
}

func (m *merger) add(l []string) {
	m.out = append(m.out, l...)
}

func (m *merger) mark(text string) {
	if last := m.last(); last != "" && !strings.HasSuffix(last, "\n") {
		m.out = append(m.out, "\n")
	}
	m.out = append(m.out, text+"\n")
}

// last is the last line so far that is not empty: a text that ends with a line end has an
// empty one behind it.
func (m *merger) last() string {
	for i := len(m.out) - 1; i >= 0; i-- {
		if m.out[i] != "" {
			return m.out[i]
		}
	}
	return ""
}
