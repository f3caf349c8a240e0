// Package lines compares texts line by line and merges two texts that come from one.
//
//	merged, conflicts := lines.Merge(base, ours, theirs, lines.Labels{Ours: "HEAD", Theirs: "belljar/a"})
//
// The work is bounded: texts that differ in too many lines count as different
// throughout, which makes a conflict of what could perhaps be merged, never the reverse.
package lines

import "bytes"

// maxEdits bounds the work and the memory of a comparison.
const maxEdits = 3000

// Split gives the lines of a text, with their ends.
func Split(b []byte) [][]byte { return bytes.SplitAfter(b, []byte("\n")) }

// match says for each line of a which line of b it is; -1: none. Matches ascend.
func match(a, b [][]byte) []int {
	out := make([]int, len(a))
	for i := range out {
		out[i] = -1
	}
	head := 0
	for head < len(a) && head < len(b) && bytes.Equal(a[head], b[head]) {
		out[head] = head
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && bytes.Equal(a[len(a)-1-tail], b[len(b)-1-tail]) {
		tail++
		out[len(a)-tail] = len(b) - tail
	}
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	for _, m := range common(x, y) {
		out[head+m[0]] = head + m[1]
	}
	return out
}

// common finds a longest common part of a and b (Myers): pairs of positions, ascending.
func common(a, b [][]byte) [][2]int {
	var trace [][]int // per number of edits, the furthest position in a on each diagonal
	v := map[int]int{1: 0}
	for d := 0; d <= min(len(a)+len(b), maxEdits); d++ {
		row := make([]int, 2*d+1)
		for k := -d; k <= d; k += 2 {
			x := v[k-1] + 1
			if k == -d || k != d && v[k-1] < v[k+1] {
				x = v[k+1]
			}
			for x < len(a) && x-k < len(b) && bytes.Equal(a[x], b[x-k]) {
				x++
			}
			v[k], row[k+d] = x, x
			if x >= len(a) && x-k >= len(b) {
				return retrace(append(trace, row), len(a), len(b))
			}
		}
		trace = append(trace, row)
	}
	return nil
}

// retrace walks back from the end along the rows.
func retrace(trace [][]int, x, y int) [][2]int {
	var out [][2]int
	for d := len(trace) - 1; d >= 0; d-- {
		px, py := 0, 0
		if d > 0 {
			at := func(k int) int { // of the row before
				if k < -(d-1) || k > d-1 {
					return -1
				}
				return trace[d-1][k+d-1]
			}
			k := x - y
			pk := k - 1
			if k == -d || k != d && at(k-1) < at(k+1) {
				pk = k + 1
			}
			px = at(pk)
			py = px - pk
		}
		for x > px && y > py {
			x, y = x-1, y-1
			out = append(out, [2]int{x, y})
		}
		x, y = px, py
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// Labels name the two sides where both are shown.
type Labels struct{ Ours, Theirs string }

// Merge makes one text of two that come from base. Where both changed the same lines
// it holds both between markers, and conflicts counts such places.
func Merge(base, ours, theirs []byte, l Labels) (merged []byte, conflicts int) {
	m := merger{b: Split(base), o: Split(ours), t: Split(theirs), labels: l}
	m.mo, m.mt = match(m.b, m.o), match(m.b, m.t)
	m.run()
	return m.out, m.conflicts
}

type merger struct {
	b, o, t   [][]byte
	mo, mt    []int
	labels    Labels
	out       []byte
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
func (m *merger) chunk(b, o, t [][]byte) {
	switch {
	case same(o, t), same(b, t):
		m.add(o)
	case same(b, o):
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

func (m *merger) add(l [][]byte) {
	for _, x := range l {
		m.out = append(m.out, x...)
	}
}

func (m *merger) mark(text string) {
	if n := len(m.out); n > 0 && m.out[n-1] != '\n' {
		m.out = append(m.out, '\n')
	}
	m.out = append(m.out, text+"\n"...)
}

func same(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
