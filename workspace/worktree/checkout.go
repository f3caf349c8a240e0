package worktree

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/belljar-dev/belljar/workspace/rules"
	"golang.org/x/sys/unix"
)

// A place is a folder, as the rules judge it.
type place struct {
	state  rules.State
	hidden bool
}

// judge says what becomes of a name in the folder.
func (p place) judge(name string, s side) (place, rules.Verdict) {
	kind := rules.File
	switch s.mode {
	case modeDir, modeModule:
		kind = rules.Dir
	case modeLink:
		kind = rules.Link
	}
	next, v := p.state.Judge(name, kind|rules.Fresh)
	return place{state: next, hidden: p.hidden || v.Kind == rules.Hide}, v
}

// A checkout writes a tree into an empty folder, with the index that belongs to it.
type checkout struct {
	ctx   context.Context
	r     *repo
	to    *folder
	at    time.Time // that files were last changed
	index *index
	depth int
}

// tree writes one folder; entries come in the order of the index.
func (c *checkout) tree(id, at string, p place) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if c.depth++; c.depth > maxDepth {
		return fmt.Errorf("%q lies too deep", at)
	}
	defer func() { c.depth-- }()
	es, err := c.r.tree(id)
	if err != nil {
		return err
	}
	for _, e := range es {
		full := path.Join(at, e.name)
		next, _ := p.judge(e.name, e.side)
		switch {
		case e.isDir():
			if !next.hidden {
				if _, err = c.to.dir(full, true); err != nil {
					return err
				}
			}
			err = c.tree(e.id, full, next)
		case next.hidden:
			c.note(full, e.side, extSkip, nil)
		case e.mode == modeModule:
			_, err = c.to.dir(full, true)
			c.note(full, e.side, 0, nil)
		default:
			err = c.file(full, e.side)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", full, err)
		}
	}
	return nil
}

func (c *checkout) file(full string, s side) error {
	b, err := c.r.blob(s.id)
	if err != nil {
		return err
	}
	fd, err := c.to.dir(path.Dir(full), true)
	if err != nil {
		return err
	}
	if name := path.Base(full); s.mode == modeLink {
		err = unix.Symlinkat(string(b), fd, name)
	} else {
		err = writeAt(fd, name, s.mode, b, c.at)
	}
	if err != nil {
		return err
	}
	l, _, err := c.to.look(full)
	c.note(full, s, 0, &l.stat)
	return err
}

// note adds an entry to the index.
func (c *checkout) note(full string, s side, ext uint16, st *unix.Stat_t) {
	e := indexEntry{id: s.id, path: full, ext: ext}
	if st == nil {
		st = &unix.Stat_t{}
	}
	e.stat = indexStat(st, s.mode)
	c.index.entries = append(c.index.entries, e)
}
