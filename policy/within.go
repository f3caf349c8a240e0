package policy

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// requests are the HTTP requests that a rule or a credential speaks of: methods (none:
// any), patterns of paths (none: any), and of a rule what else confines them.
type requests struct {
	methods, paths []string
	belljar.Constraint
}

// admits says whether method m is one of them.
func (q requests) admits(m string) bool {
	return len(q.methods) == 0 || slices.Contains(q.methods, m) || m == "HEAD" && slices.Contains(q.methods, "GET")
}

// otherMethod stands for all methods that nobody names.
const otherMethod = ""

// requestsWithin says whether every request of q is one of some of others. What it
// cannot find out within a bound it denies.
func (w *work) requestsWithin(q requests, others []requests) bool {
	var fit []requests
	for _, o := range others {
		if w.constraintWithin(&q.Constraint, &o.Constraint) {
			fit = append(fit, o)
		}
	}
	return w.pathsAndMethodsWithin(q, fit)
}

// pathsAndMethodsWithin is requestsWithin for others that confine the rest of a request no
// further than q.
func (w *work) pathsAndMethodsWithin(q requests, others []requests) bool {
	methods := slices.Clone(q.methods)
	if len(methods) == 0 {
		methods = append(methods, otherMethod)
		for _, o := range others {
			methods = append(methods, o.methods...)
		}
	}
	if slices.Contains(methods, "GET") {
		methods = append(methods, "HEAD")
	}
	slices.Sort(methods)
	for _, m := range slices.Compact(methods) {
		var allowed []string
		every := false
		for _, o := range others {
			if !w.spend(1 + len(o.methods)) {
				return false
			}
			if o.admits(m) {
				every = every || len(o.paths) == 0
				allowed = append(allowed, o.paths...)
			}
		}
		if !every && !w.pathsWithin(q.paths, allowed) {
			return false
		}
	}
	return true
}

// pathsWithin says whether every path of patterns (none: any) matches one of allowed.
func (w *work) pathsWithin(patterns, allowed []string) bool {
	if len(patterns) == 0 {
		patterns = []string{"**"}
	}
	for _, p := range patterns {
		if !w.spend(1+len(allowed)) || !slices.Contains(allowed, p) && !w.patternWithin(p, allowed) {
			return false
		}
	}
	return true
}

// Bounds for the comparison of one pattern with others, which may be hostile: the bytes
// of the others, and the places that are looked at. Patterns as people write them
// take a few hundred.
const (
	maxCompared = 1 << 16
	maxWork     = 1 << 18
)

// holds says whether every path that matches a matches one of bs. It follows
// all paths of a at once through an automaton: a state is a place in a with the set of
// places in bs that the same path may have reached.
func (x *inclusion) holds() bool {
	x.letters()
	start := make([]place, len(x.bs))
	for i := range x.bs {
		start[i] = place{b: i}
	}
	x.push(0, x.closed(start))
	for len(x.todo) > 0 && !x.failed {
		s := x.todo[len(x.todo)-1]
		x.todo = x.todo[:len(x.todo)-1]
		x.follow(s)
	}
	return !x.failed
}

// A pathToken is a byte or a percent-encoded one that stands for itself, or a star.
type pathToken struct {
	star, deep bool
	c          uint16 // encoded bytes are 256 more
}

func (t pathToken) takes(c uint16) bool { return t.star && (t.deep || c != '/') || !t.star && t.c == c }

func tokens(pattern string) []pathToken {
	var l []pathToken
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '%' && i+2 < len(pattern):
			l = append(l, pathToken{c: 256 + uint16(unhex(pattern[i+1])<<4|unhex(pattern[i+2]))})
			i += 2
			continue
		case c != '*':
			l = append(l, pathToken{c: uint16(c)})
			continue
		}
		n := len(pattern[i:]) - len(strings.TrimLeft(pattern[i:], "*"))
		l = append(l, pathToken{star: true, deep: n > 1})
		i += n - 1
	}
	return l
}

// A place is a position in one of the patterns compared with.
type place struct{ b, at int }

type inclusionState struct {
	at  int
	set []place
}

type inclusion struct {
	a      []pathToken
	bs     [][]pathToken
	bytes  []uint16 // that make a difference, and one for all others
	seen   map[string]bool
	todo   []inclusionState
	work   int
	most   int // that it may come to
	failed bool
}

func newInclusion(a string, bs []string, most int) *inclusion {
	x := &inclusion{a: tokens(a), seen: map[string]bool{}, most: most}
	for _, b := range bs {
		x.bs = append(x.bs, tokens(b))
	}
	return x
}

func (x *inclusion) letters() {
	x.bytes = []uint16{0, '/'}
	var known [512]bool
	known['/'] = true
	for _, l := range append([][]pathToken{x.a}, x.bs...) {
		for _, t := range l {
			if !t.star && !known[t.c] {
				known[t.c] = true
				x.bytes = append(x.bytes, t.c)
			}
		}
	}
}

// closed adds what is reached without a byte, sorts, and drops doubles.
func (x *inclusion) closed(set []place) []place {
	for i := 0; i < len(set); i++ {
		p := set[i]
		if p.at < len(x.bs[p.b]) && x.bs[p.b][p.at].star {
			set = append(set, place{p.b, p.at + 1})
		}
	}
	slices.SortFunc(set, func(p, q place) int { return (p.b-q.b)<<16 + p.at - q.at })
	return slices.Compact(set)
}

// push notes a state to follow. It fails when a path of a ends where none of bs does.
func (x *inclusion) push(at int, set []place) {
	if len(set) == 0 {
		x.failed = true // whatever follows in a matches none of bs
		return
	}
	ends := false
	for _, p := range set {
		b := x.bs[p.b]
		if p.at == len(b)-1 && b[p.at].deep {
			return // everything that follows matches
		}
		ends = ends || p.at == len(b)
	}
	key := make([]byte, 0, 4+4*len(set))
	key = append(key, byte(at), byte(at>>8))
	for _, p := range set {
		key = append(key, byte(p.b), byte(p.b>>8), byte(p.at), byte(p.at>>8))
	}
	if x.seen[string(key)] {
		return
	}
	x.seen[string(key)] = true
	if at == len(x.a) && !ends {
		x.failed = true
		return
	}
	if at < len(x.a) && x.a[at].star {
		x.push(at+1, set)
	}
	x.todo = append(x.todo, inclusionState{at, set})
}

// follow takes every byte that may come next.
func (x *inclusion) follow(s inclusionState) {
	if s.at == len(x.a) {
		return
	}
	t := x.a[s.at]
	next := s.at + 1
	if t.star {
		next = s.at
	}
	bytes := x.bytes
	if !t.star {
		bytes = []uint16{t.c}
	}
	for _, c := range bytes {
		if !t.takes(c) || x.failed {
			continue
		}
		var set []place
		if x.work += 1 + len(s.set); x.work > x.most {
			x.failed = true
			return
		}
		for _, p := range s.set {
			if b := x.bs[p.b]; p.at < len(b) && b[p.at].takes(c) {
				q := p.at + 1
				if b[p.at].star {
					q = p.at
				}
				set = append(set, place{p.b, q})
			}
		}
		x.push(next, x.closed(set))
	}
}

// both are the requests that are in q and in o: exactly, but for paths and values that no
// pattern can name, which are left out.
func (w *work) both(q, o requests) (requests, bool) {
	r := requests{methods: o.methods, paths: o.paths}
	var ok bool
	if r.Constraint, ok = w.bothConstraints(&q.Constraint, &o.Constraint); !ok {
		return r, false
	}
	if len(o.methods) == 0 {
		r.methods = q.methods
	} else if len(q.methods) > 0 {
		r.methods = nil
		for _, m := range q.methods {
			if o.admits(m) {
				r.methods = append(r.methods, m)
			} else if m == "GET" && o.admits("HEAD") {
				r.methods = append(r.methods, "HEAD")
			}
		}
		for _, m := range o.methods {
			if m == "HEAD" && q.admits(m) {
				r.methods = append(r.methods, m)
			}
		}
		if r.methods = canonicalMethods(r.methods); len(r.methods) == 0 {
			return r, false
		}
	}
	if len(o.paths) == 0 {
		r.paths = q.paths
	} else if len(q.paths) > 0 {
		if r.paths = w.bothPatterns(q.paths, o.paths, same); len(r.paths) == 0 {
			return r, false
		}
	}
	return r, true
}

// bothPatterns are the patterns of both lists that lie in one of the other. As says what
// pattern of paths each is.
func (w *work) bothPatterns(a, b []string, as func(string) string) (both []string) {
	for _, p := range a {
		for _, o := range b {
			switch {
			case p == o || w.patternWithin(as(p), []string{as(o)}):
				both = append(both, p)
			case w.patternWithin(as(o), []string{as(p)}):
				both = append(both, o)
			}
		}
	}
	slices.Sort(both)
	return slices.Compact(both)
}

// text is what the requests are, for people: empty for any.
func (q requests) text() string {
	s := ""
	if len(q.methods) > 0 {
		s += " " + strings.Join(q.methods, "|")
	}
	if len(q.paths) > 0 {
		s += " " + strings.Join(q.paths, "|")
	}
	if more := constraintFields(&q.Constraint); more != "" {
		s += " {" + strings.TrimPrefix(more, ", ") + "}"
	}
	return s
}
