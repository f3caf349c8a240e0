package workspace

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
)

// Diff prints the changes, as they are now, in the order given: what the host has
// against what the sandbox has. The output is safe for a terminal.
func (p Project) Diff(w io.Writer, changes []Change, o DiffOptions) error {
	trees := opened{p: p}
	defer trees.close()
	for _, c := range changes {
		t, err := trees.of(c.Source)
		if err != nil {
			return &belljar.Error{Op: "compare", ID: c.Name(), Kind: belljar.KindInternal, Err: err}
		}
		var before, after side
		if !o.NameOnly {
			old := c
			if c.From != "" {
				old.Path = c.From
			}
			before, after = t.hostSide(old, maxShown), t.ownSide(c, maxShown)
		}
		if err := writeChange(w, c, before, after, o); err != nil {
			return fmt.Errorf("write diff: %w", err)
		}
	}
	return nil
}

// hostSide is what the host has; a larger file than limit is not read.
func (t *tree) hostSide(c Change, limit int64) side {
	st, err := t.stat(c.Path)
	if err == unix.ENOENT {
		return side{}
	}
	s := side{kind: kindOf(st.Mode), exists: true, perm: st.Mode & 0o777, size: st.Size}
	if err != nil {
		s.unread = hostError(err)
		return s
	}
	switch s.kind {
	case KindSymlink:
		d, name, err := t.parent(c.Path)
		if err != nil {
			s.unread = hostError(err)
			return s
		}
		defer func() { _ = unix.Close(d) }()
		b := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(d, name, b)
		if err != nil {
			s.unread = hostError(err)
			return s
		}
		s.data = b[:n]
	case KindFile:
		if s.size > limit {
			return s
		}
		fd, err := t.openHost(c.Path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
		if err != nil {
			s.unread = hostError(err)
			return s
		}
		s.fill(os.NewFile(uintptr(fd), c.Path), limit)
	}
	return s
}

func (t *tree) ownSide(c Change, limit int64) side {
	if c.Op == OpDelete {
		return side{}
	}
	s := side{kind: c.Kind, exists: true, perm: c.Perm, size: c.Size}
	if c.Merge {
		if e, err := t.view.Lookup(c.Path); err == nil {
			if _, data, ok := t.merged(e); ok {
				s.data, s.size = data, int64(len(data))
				return s
			}
		}
	}
	switch {
	case c.Kind == KindSymlink:
		s.data, s.size = []byte(c.Target), int64(len(c.Target))
	case c.Kind == KindFile && s.size <= limit:
		f, err := t.view.OpenFile(c.Path)
		if err != nil {
			s.unread = "the sandbox's file cannot be read: " + err.Error()
			return s
		}
		s.fill(f, limit)
	}
	return s
}

// fill reads f up to the bound and closes it.
func (s *side) fill(f *os.File, limit int64) {
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		s.unread = "it cannot be read: " + err.Error()
	}
	s.data, s.size = b, max(s.size, int64(len(b)))
}

// Patch gives the change as hunks.
func (p Project) Patch(c Change) (*Patch, error) {
	t, err := p.tree(c.Source)
	if err != nil {
		return nil, &belljar.Error{Op: "compare", ID: c.Name(), Kind: belljar.KindInternal, Err: err}
	}
	defer t.close()
	patch := newPatch(c, t.hostSide(c, maxShown), t.ownSide(c, maxShown))
	if !t.divisible(c.Path) {
		patch.ranges = nil
	}
	return patch, nil
}
