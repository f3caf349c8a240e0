package workspace

import (
	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/lockfile"
)

// Assess looks into the changes: it returns them with their risks, renames found, and
// in the order in which they are to be read. What it reads is bounded.
func (p Project) Assess(changes []Change) ([]Change, error) {
	out := append([]Change(nil), changes...)
	trees := opened{p: p}
	defer trees.close()
	var gone, added []version
	for i, c := range out {
		t, err := trees.of(c.Source)
		if err != nil {
			return nil, &belljar.Error{Op: "look into", ID: c.Name(), Kind: belljar.KindInternal, Err: err}
		}
		limit := int64(maxShown)
		if lockfile.Known(c.Path) {
			limit = maxLock
		}
		before, after := t.hostSide(c, limit), t.ownSide(c, limit)
		out[i].Risks = risks(c, before, after)
		if c.Kind != KindFile {
			continue
		}
		switch {
		case c.Op == OpDelete && before.size <= maxSimilar:
			gone = append(gone, version{i, before.data})
		case c.Op == OpAdd && after.size <= maxSimilar:
			added = append(added, version{i, after.data})
		}
	}
	renames(out, gone, added)
	byRisk(out)
	return out, nil
}

// opened are the trees that were opened so far.
type opened struct {
	p     Project
	trees map[string]*tree
}

func (o *opened) of(source string) (*tree, error) {
	if t := o.trees[source]; t != nil {
		return t, nil
	}
	t, err := o.p.tree(source)
	if err != nil {
		return nil, err
	}
	if o.trees == nil {
		o.trees = map[string]*tree{}
	}
	o.trees[source] = t
	return t, nil
}

func (o *opened) close() {
	for _, t := range o.trees {
		t.close()
	}
}
