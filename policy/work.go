package policy

import "strings"

// maxLoadWork is how much one load may compute while it compares patterns, which are a
// project's to choose: a second or two. What people write takes a thousandth.
const maxLoadWork = 1 << 24

// A work is what the comparisons of one load may still cost, and what they found. Beyond it
// nothing is within anything else: what is not known is not allowed.
type work struct {
	left int
	done int             // steps so far
	over bool            // something was not compared
	memo map[string]bool // by both sides
}

func newWork() *work { return &work{left: maxLoadWork, memo: map[string]bool{}} }

// spend says whether there is room for n more steps, and takes them.
func (w *work) spend(n int) bool {
	if n > w.left {
		w.left, w.over = 0, true
		return false
	}
	w.left -= n
	w.done += n
	return true
}

// patternWithin says whether every path that matches a matches one of bs. What takes too
// long to find out it denies.
func (w *work) patternWithin(a string, bs []string) bool {
	size := len(a)
	for _, b := range bs {
		size += len(b) + 1
	}
	if len(bs) == 0 || size > maxCompared || !w.spend(1+size) {
		return false
	}
	key := a + "\n" + strings.Join(bs, "\n")
	within, known := w.memo[key]
	if !known {
		x := newInclusion(a, bs, min(maxWork, w.left))
		within = x.holds()
		w.over = w.over || x.work > x.most && x.most < maxWork
		w.left -= min(x.work, w.left)
		w.done += x.work
		w.memo[key] = within
	}
	return within
}
