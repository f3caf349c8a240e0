package worktree

import (
	"cmp"
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// A comparison lists the files that differ between two trees.
type comparison struct {
	ctx  context.Context
	tree func(id string) ([]entry, error)
	blob func(id string) ([]byte, error)
	out  []Change
	seen int
}

// compare looks at one folder; an empty name is a folder that is not there.
func (c *comparison) compare(at, from, to string, p place, depth int) error {
	if from == to {
		return nil
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return errors.New("folders that lie too deep")
	}
	old, err := c.entries(from)
	if err != nil {
		return err
	}
	now, err := c.entries(to)
	if err != nil {
		return err
	}
	if c.seen += weight(len(old)+len(now), at); c.seen > maxWalk {
		return objects.ErrTooMuch
	}
	names := make([]string, 0, len(now))
	for n := range now {
		names = append(names, n)
	}
	for n := range old {
		if _, ok := now[n]; !ok {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		if err := c.name(path.Join(at, n), old[n], now[n], p, depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) entries(id string) (map[string]side, error) {
	out := map[string]side{}
	if id == "" {
		return out, nil
	}
	es, err := c.tree(id)
	for _, e := range es {
		out[e.name] = e.side
	}
	return out, err
}

func (c *comparison) name(at string, old, now side, p place, depth int) error {
	if old == now {
		return nil
	}
	if old.isDir() || now.isDir() {
		var from, to string
		next := p
		for _, s := range []side{old, now} {
			if s.isDir() {
				next, _ = p.judge(path.Base(at), s)
			}
		}
		if old.isDir() {
			from, old = old.id, side{}
		}
		if now.isDir() {
			to, now = now.id, side{}
		}
		if err := c.compare(at, from, to, next, depth+1); err != nil {
			return err
		}
		if old == now {
			return nil
		}
	}
	ch := Change{Path: at, Op: OpModify, from: old, to: now}
	switch {
	case !old.exists():
		ch.Op = OpAdd
	case !now.exists():
		ch.Op = OpDelete
	}
	c.judge(&ch, p)
	c.out = append(c.out, ch)
	return nil
}

// judge says whether somebody should look at a change before it lands.
func (c *comparison) judge(ch *Change, p place) {
	s := ch.to
	if !s.exists() {
		s = ch.from
	}
	next, v := p.judge(path.Base(ch.Path), s)
	ch.Class, ch.Reason = v.Class, v.Reason
	// What is removed runs no more; but a sandbox that does not see a file removes none.
	ch.Risky = next.hidden || ch.to.exists() && (v.Kind != rules.Pass || v.Class.Runs())
	if ch.to.mode == modeModule {
		ch.Risky, ch.Class, ch.Reason = true, rules.SelfRunning, "another repository, which git fetches into this place"
	}
	if ch.to.mode == modeLink && !ch.Risky {
		text, err := c.blob(ch.to.id)
		if err != nil || rules.LinkLeaves(path.Dir(ch.Path), string(text)) {
			ch.Risky, ch.Class, ch.Reason = true, rules.Symlink, "a link that leads out of the project"
		}
	}
}

// sorted gives the changes, the risky first, then what the user runs.
func (c *comparison) sorted() []Change {
	rank := func(ch Change) int {
		switch {
		case ch.Risky:
			return 0
		case ch.Class == rules.UserRun:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(c.out, func(a, b Change) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Path, b.Path))
	})
	return c.out
}
