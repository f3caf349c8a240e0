package workspace

// A span is a stretch of the base that one side replaced by other lines.
type span3 struct {
	from, to int // of the base
	with     []string
}

// spans are what differs between a base and one side of it.
func spans(base, side []string) []span3 {
	var out []span3
	at, open := 0, false
	for _, e := range compareLines(base, side) {
		if e.op == ' ' {
			at, open = at+1, false
			continue
		}
		if !open {
			out, open = append(out, span3{from: at, to: at}), true
		}
		last := &out[len(out)-1]
		if e.op == '-' {
			at++
			last.to = at
		} else {
			last.with = append(last.with, e.line)
		}
	}
	return out
}

// merge3 joins what two sides made of a base. It is not ok when both changed the same
// lines, or lines that touch, in different ways.
func merge3(base, a, b []string) (out []string, ok bool) {
	x, y := spans(base, a), spans(base, b)
	at := 0
	for len(x) > 0 || len(y) > 0 {
		var s span3
		switch {
		case len(y) == 0 || len(x) > 0 && x[0].to < y[0].from:
			s, x = x[0], x[1:]
		case len(x) == 0 || y[0].to < x[0].from:
			s, y = y[0], y[1:]
		case x[0].from == y[0].from && x[0].to == y[0].to && equalLines(x[0].with, y[0].with):
			s, x, y = x[0], x[1:], y[1:]
		default:
			return nil, false
		}
		out = append(append(out, base[at:s.from]...), s.with...)
		at = s.to
	}
	return append(out, base[at:]...), true
}

func equalLines(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
