package view

import (
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Unlink removes a file.
func (t *tree) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return status(t.remove(h.NodeId, name, false))
}

// Rmdir removes an empty directory.
func (t *tree) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return status(t.remove(h.NodeId, name, true))
}

func (t *tree) remove(parent uint64, name string, dir bool) error {
	t.shape.RLock()
	defer t.shape.RUnlock()
	p := t.node(parent)
	if p == nil {
		return unix.ESTALE
	}
	d, err := t.open(p)
	defer d.close()
	if err != nil {
		return err
	}
	s, err := t.find(d, p, name)
	if err != nil {
		return err
	}
	if is := s.st.Mode&unix.S_IFMT == unix.S_IFDIR; is != dir {
		if dir {
			return unix.ENOTDIR
		}
		return unix.EISDIR
	}
	if t.readOnly {
		return unix.EROFS
	}
	v, err := t.mayRemove(p, d, name, &s)
	if err != nil {
		return err
	}
	if dir {
		if err := t.empty(d, name, &s); err != nil {
			return err
		}
	} else {
		t.pin(p, d, name, &s)
	}
	if s.kept = v.Kind == rules.Hold && !s.upper; s.kept {
		s.verdict = v
	}
	p.touch()
	if err := t.take(d, name, &s, v, dir); err != nil {
		t.unpin(p, name)
		return err
	}
	t.removed(p, name, &s)
	return nil
}

// mayRemove judges taking a name away that the sandbox sees. Git directories that
// the sandbox made itself may go again.
func (t *tree) mayRemove(p *node, d dirs, name string, s *spot) (rules.Verdict, error) {
	if !s.lower || s.verdict.Kind == rules.Hide {
		return s.verdict, nil
	}
	v := t.stateOf(p, d).Remove(name, entryOf(s.st.Mode))
	v = t.keeps(p, d, name, s, v)
	if v.Kind != rules.Deny {
		return v, nil
	}
	if v.Class == rules.GitData && t.madeHere(p, s) {
		return rules.Verdict{Class: v.Class}, nil
	}
	refused := *s
	refused.verdict = v
	t.refuse(opRemove, &refused)
	return v, unix.EPERM
}

// madeHere says whether s, or the git directory that it is a part of, was made by
// the sandbox.
func (t *tree) madeHere(p *node, s *spot) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.made) > 0 && (t.made[s.lowerSt.Ino] || t.inMade(p))
}

// inMade is called with tree.mu held.
func (t *tree) inMade(p *node) bool {
	for ; p != nil && p.state.InGit(); p = p.parent {
		if t.made[p.ino] {
			return true
		}
	}
	return false
}

// partOfMade is [tree.madeHere] for a node.
func (t *tree) partOfMade(n *node) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.made) > 0 && (t.made[n.ino] || t.inMade(n.parent))
}

// take removes what the sandbox sees at s from wherever it is.
func (t *tree) take(d dirs, name string, s *spot, v rules.Verdict, dir bool) error {
	visible := s.lower && s.verdict.Kind != rules.Hide
	flags := 0
	if dir {
		flags = unix.AT_REMOVEDIR
	}
	switch {
	case s.upper && !visible:
		return t.upper.Remove(s.rel)
	case v.Kind == rules.Pass && (!s.upper || s.both):
		if err := t.keep(s, d.lower, name); err != nil {
			return err
		}
		err := unix.Unlinkat(d.lower, name, flags)
		if err == nil && s.upper {
			return t.upper.Remove(s.rel)
		}
		if err != unix.ENOTEMPTY && err != unix.EEXIST {
			return err
		}
		// Empty to the sandbox: what is left on the host is hidden or held.
	}
	if err := t.parents(s.rel); err != nil {
		return err
	}
	b, err := t.baseOf(d, name, s)
	if err != nil {
		return err
	}
	return t.upper.SetWhiteout(s.rel, b)
}

// baseOf describes what the sandbox takes away from the host's point of view.
func (t *tree) baseOf(d dirs, name string, s *spot) (*shadow.Base, error) {
	if s.lower && t.forThisRun(&s.verdict) {
		b := shadow.StatBase(&s.lowerSt)
		b.Run = t.run
		return b, nil
	}
	if s.upper {
		if b, err := t.upper.Base(s.rel); err == nil && b != nil {
			return b, nil
		}
	}
	if !s.lower {
		return nil, nil
	}
	return shadow.HostBase(d.lower, name)
}

// removed tells the nodes, the quota and the record.
func (t *tree) removed(p *node, name string, s *spot) {
	p.touch()
	t.mu.Lock()
	n := p.kids[name]
	last := true
	if n != nil {
		t.unname(n, p, name)
		if n.parent == p && n.name == name {
			n.gone = true
		} else {
			last = false
		}
	}
	t.unlinkLocked(s)
	delete(t.made, s.lowerSt.Ino)
	p.seen = p.seen && (s.upper || s.verdict.Kind == rules.Pass)
	t.mu.Unlock()
	switch {
	case !s.frees():
	case s.st.Mode&unix.S_IFMT == unix.S_IFDIR || s.st.Nlink > 1:
		t.quota.add(-perFile)
	case n == nil || !last || !t.pinned(n):
		t.quota.add(-s.st.Blocks*512 - perFile)
	}
	t.report.add(event(opRemove, s), n == nil || n.told&toldWrite == 0)
}

// unlinkLocked counts one name less of a file of the host. With tree.mu held.
func (t *tree) unlinkLocked(s *spot) {
	if c := t.linked[s.st.Ino]; c > 0 && !s.upper {
		if t.linked[s.st.Ino] = c - 1; c <= 1 {
			delete(t.linked, s.st.Ino)
		}
	}
}

// frees says whether taking s away gives room back: what the host keeps behind a
// whiteout does not.
func (s *spot) frees() bool { return !s.kept && (s.upper && !s.both || s.verdict.Kind == rules.Pass) }

func (t *tree) pinned(n *node) bool {
	n.data.mu.Lock()
	defer n.data.mu.Unlock()
	return n.data.f != nil && n.data.f.pinned
}

// pin keeps the data of a file whose name is about to go: it may be open inside,
// and the kernel would not tell.
func (t *tree) pin(p *node, d dirs, name string, s *spot) {
	n := t.kid(p, name)
	if n == nil || n.typ != unix.S_IFREG {
		return
	}
	n.data.mu.Lock()
	defer n.data.mu.Unlock()
	t.mu.RLock()
	more := len(n.more) > 0 || n.ino != s.st.Ino
	t.mu.RUnlock()
	if more {
		return
	}
	if f := n.data.f; f != nil {
		f.pinned = true
		return
	}
	flags := unix.O_RDONLY
	if s.upper || s.verdict.Kind == rules.Pass && !s.verdict.LockOnly && !s.verdict.Lasting && s.st.Nlink == 1 {
		flags = unix.O_RDWR
	}
	fd, err := unix.Openat(s.dir(d), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil && flags == unix.O_RDWR {
		flags = unix.O_RDONLY
		fd, err = unix.Openat(s.dir(d), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Ino != s.st.Ino {
		unix.Close(fd)
		return
	}
	f := t.install(n, &openFile{n: n, fd: fd, rw: flags == unix.O_RDWR, upper: s.upper, gen: t.generation(), pinned: true})
	t.files.release(f)
}

// unpin is for a name that stays, because what was to take it away failed: a file
// that is pinned is neither judged nor kept for undo before it is written to.
func (t *tree) unpin(p *node, name string) {
	n := t.kid(p, name)
	if n == nil {
		return
	}
	n.data.mu.Lock()
	defer n.data.mu.Unlock()
	if f := n.data.f; f != nil && f.pinned {
		f.pinned = false
		t.files.retire(f)
	}
}
