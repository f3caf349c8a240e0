package lines

// An Edit is one line of a comparison.
type Edit struct {
	Op   byte // ' ', '-' or '+'
	Line string
}

// Compare finds a shortest way from a to b (Myers' algorithm), with the common start and
// end cut off first. Its work is bounded: texts that differ in more than most lines come
// back as one replaced by the other.
func Compare(a, b []string, most int) []Edit {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var out []Edit
	for _, l := range a[:head] {
		out = append(out, Edit{' ', l})
	}
	out = append(out, shortest(a[head:len(a)-tail], b[head:len(b)-tail], most)...)
	for _, l := range a[len(a)-tail:] {
		out = append(out, Edit{' ', l})
	}
	return out
}

func shortest(a, b []string, most int) []Edit {
	trace, found := search(a, b, most)
	if !found {
		var out []Edit
		for _, l := range a {
			out = append(out, Edit{'-', l})
		}
		for _, l := range b {
			out = append(out, Edit{'+', l})
		}
		return out
	}
	return retrace(trace, a, b)
}

// search keeps, for each number of edits d, the furthest x on each diagonal: row d
// holds diagonals -d…d.
func search(a, b []string, most int) (trace [][]int32, found bool) {
	v := []int32{0}
	for d := 0; d <= min(len(a)+len(b), most); d++ {
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

func retrace(trace [][]int32, a, b []string) []Edit {
	var rev []Edit
	x, y := len(a), len(b)
	for d := len(trace) - 1; d > 0; d-- {
		k := x - y
		in := stepInto(trace[d-1], d, k)
		for x > in {
			x, y = x-1, y-1
			rev = append(rev, Edit{' ', a[x]})
		}
		v := trace[d-1]
		if k == -d || k != d && v[k-1+d-1] < v[k+1+d-1] {
			y--
			rev = append(rev, Edit{'+', b[y]})
		} else {
			x--
			rev = append(rev, Edit{'-', a[x]})
		}
	}
	for x > 0 {
		x--
		rev = append(rev, Edit{' ', a[x]})
	}
	for i, j := 0, len(rev)-1; i < j; i, j = i+1, j-1 {
		rev[i], rev[j] = rev[j], rev[i]
	}
	return rev
}
