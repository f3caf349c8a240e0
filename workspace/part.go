package workspace

import (
	"bytes"
	"io"
)

// A Choice is a change that is to be applied, whole or in part. It holds to what the
// user was shown: where host or sandbox have something else by now, it is a conflict.
type Choice struct {
	Change Change

	part *part
}

// A part is what was shown of a change, and what the file becomes where only some of
// its hunks were chosen.
type part struct {
	host, own side
	content   []byte
	whole     bool
}

// A Patch is a change as hunks, each of which may be chosen.
type Patch struct {
	Change Change

	before, after side
	edits         []edit
	ranges        [][2]int // of edits; empty where the change can only be chosen as a whole
}

func newPatch(c Change, before, after side) *Patch {
	p := &Patch{Change: c, before: before, after: after}
	if c.Op != OpModify || c.Kind != KindFile || before.kind != KindFile {
		return p
	}
	edits, why := contents(c, before, after)
	if why == "" {
		p.edits, p.ranges = edits, hunkRanges(edits)
	}
	return p
}

// Hunks is how many questions there are about the change: at least one.
func (p *Patch) Hunks() int { return max(1, len(p.ranges)) }

// Whole says that the change cannot be divided.
func (p *Patch) Whole() bool { return len(p.ranges) == 0 }

// Head prints what comes before the hunks; where the change is whole, all of it.
func (p *Patch) Head(w io.Writer, color bool) error {
	if p.Whole() {
		return writeChange(w, p.Change, p.before, p.after, DiffOptions{Color: color})
	}
	pr := &printer{w: w, color: color}
	pr.head(p.Change, p.before, p.after)
	return pr.err
}

// Hunk prints one hunk; nothing where the change is whole.
func (p *Patch) Hunk(w io.Writer, i int, color bool) error {
	pr := &printer{w: w, color: color}
	if !p.Whole() {
		pr.hunk(p.edits, p.ranges[i][0], p.ranges[i][1])
	}
	return pr.err
}

// Choose makes the choice of the hunks for which take is true. It is nil for none.
func (p *Patch) Choose(take []bool) *Choice {
	n := 0
	for _, t := range take {
		if t {
			n++
		}
	}
	switch {
	case n == 0:
		return nil
	case p.Whole() || n == len(p.ranges):
		return &Choice{Change: p.Change, part: &part{host: p.before, own: p.after, whole: true}}
	}
	var out []byte
	hunk := 0
	for i, e := range p.edits {
		for hunk < len(p.ranges) && i >= p.ranges[hunk][1] {
			hunk++
		}
		taken := hunk < len(p.ranges) && i >= p.ranges[hunk][0] && take[hunk]
		if e.Op == ' ' || e.Op == '+' && taken || e.Op == '-' && !taken {
			out = append(out, e.Line...)
		}
	}
	return &Choice{Change: p.Change, part: &part{host: p.before, own: p.after, content: out}}
}

// same says whether two versions of a file are one, as far as they were read.
func (s side) same(now side) bool {
	return s.kind == now.kind && s.exists == now.exists && s.size == now.size && s.perm == now.perm && bytes.Equal(s.data, now.data)
}
