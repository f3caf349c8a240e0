package workspace

// edit is one line of a comparison.
type edit struct {
	op   byte // ' ', '-' or '+'
	line string
}

// maxEdits bounds the work of a comparison: texts that differ in more lines are
// shown as replaced.
const maxEdits = 2000

// compareLines finds a shortest way from a to b (Myers' algorithm), with the
// common start and end cut off first.
func compareLines(a, b []string) []edit {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var out []edit
	for _, l := range a[:head] {
		out = append(out, edit{' ', l})
	}
	out = append(out, shortest(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, l := range a[len(a)-tail:] {
		out = append(out, edit{' ', l})
	}
	return out
}

func shortest(a, b []string) []edit {
	trace, found := search(a, b)
	if !found {
		var out []edit
		for _, l := range a {
			out = append(out, edit{'-', l})
		}
		for _, l := range b {
			out = append(out, edit{'+', l})
		}
		return out
	}
	return retrace(trace, a, b)
}

// search keeps, for each number of edits d, the furthest x on each diagonal: row d
// holds diagonals -d…d.
func search(a, b []string) (trace [][]int32, found bool) {
	v := []int32{0}
	for d := 0; d <= min(len(a)+len(b), maxEdits); d++ {
		row := make([]int32, 2*d+1)
		for k := -d; k <= d; k += 2 {
			x := 0
			if d > 0 {
				x = stepInto(v, d, k)
			}
			y := x - k
			for x < len(a) && y < len(b) && y >= 0 && a[x] == b[y] {
				x, y = x+1, y+1
			}
			row[k+d] = int32(x)
			if x >= len(a) && y >= len(b) {
				return append(trace, row), true
			}
		}
		trace, v = append(trace, row), row
	}
	return nil, false
}

// stepInto is the x at which diagonal k is entered from the row of d-1 edits.
func stepInto(v []int32, d, k int) int {
	if k == -d || k != d && v[k-1+d-1] < v[k+1+d-1] {
		return int(v[k+1+d-1]) // down: a line of b
	}
	return int(v[k-1+d-1]) + 1 // right: a line of a goes
}

func retrace(trace [][]int32, a, b []string) []edit {
	var rev []edit
	x, y := len(a), len(b)
	for d := len(trace) - 1; d > 0; d-- {
		k := x - y
		in := stepInto(trace[d-1], d, k)
		for x > in {
			x, y = x-1, y-1
			rev = append(rev, edit{' ', a[x]})
		}
		v := trace[d-1]
		if k == -d || k != d && v[k-1+d-1] < v[k+1+d-1] {
			y--
			rev = append(rev, edit{'+', b[y]})
		} else {
			x--
			rev = append(rev, edit{'-', a[x]})
		}
	}
	for x > 0 {
		x--
		rev = append(rev, edit{' ', a[x]})
	}
	for i, j := 0, len(rev)-1; i < j; i, j = i+1, j-1 {
		rev[i], rev[j] = rev[j], rev[i]
	}
	return rev
}
