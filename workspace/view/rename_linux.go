package view

import (
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A move is one rename: what it is about and where its ends are.
type move struct {
	p, q     *node
	old, new string
	dp, dq   dirs
	from, to spot
	exists   bool // the sandbox sees something at to
	dir      bool // what moves is a directory
	flags    uint
	target   rules.State   // of what moves, at its new name
	verdict  rules.Verdict // likewise
	hold     string        // why the result is kept in the shadow although its name passes
	forged   bool          // with hold: the content is not what git would have made
	object   bool          // the target is a name that the host keeps: see lands
}

// Rename moves a name. Where that would carry content between what passes and what
// is held in a way that cannot be judged entry by entry, it is EXDEV, as between
// file systems, and mv copies.
func (t *tree) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	if in.Flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return fuse.EINVAL
	}
	t.shape.Lock()
	defer t.shape.Unlock()
	m := &move{p: t.node(in.NodeId), q: t.node(in.Newdir), old: oldName, new: newName, flags: uint(in.Flags), dp: noDirs(), dq: noDirs()}
	if m.p == nil || m.q == nil {
		return fuse.Status(unix.ESTALE)
	}
	defer m.close()
	err := t.plan(m)
	if err == nil {
		err = t.carryOut(m)
	}
	return status(err)
}

// close closes the directories of both ends, which may be one.
func (m *move) close() {
	m.dp.close()
	if m.q != m.p {
		m.dq.close()
	}
}

// plan finds both ends and judges them.
func (t *tree) plan(m *move) (err error) {
	if m.dp, err = t.open(m.p); err != nil {
		return err
	}
	if m.q == m.p {
		m.dq = m.dp
	} else if m.dq, err = t.open(m.q); err != nil {
		return err
	}
	if m.from, err = t.find(m.dp, m.p, m.old); err != nil {
		return err
	}
	m.to, err = t.find(m.dq, m.q, m.new)
	if err != nil && err != unix.ENOENT {
		return err
	}
	m.exists = err == nil
	m.dir = m.from.st.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case t.readOnly:
		return unix.EROFS
	case m.exists && m.flags&unix.RENAME_NOREPLACE != 0:
		return unix.EEXIST
	case !m.exists && m.flags&unix.RENAME_EXCHANGE != 0:
		return unix.ENOENT
	}
	e := entryOf(m.from.st.Mode)
	to := m.to
	t.judge(&to, t.stateOf(m.q, m.dq), m.new, e)
	m.target, m.verdict = to.state, to.verdict
	if err := t.mayMove(m); err != nil {
		return err
	}
	if m.flags&unix.RENAME_EXCHANGE != 0 {
		return nil
	}
	if err := t.fitsOver(m); err != nil {
		return err
	}
	return t.movedTooDeep(m)
}

// mayMove applies what protects names on the host.
func (t *tree) mayMove(m *move) error {
	refuse := func(s spot, v rules.Verdict) error {
		s.verdict = v
		t.refuse(opRename, &s)
		return unix.EPERM
	}
	if v := m.from.verdict; v.Kind == rules.Pass && v.LockOnly && !m.from.upper && !t.madeHere(m.p, &m.from) {
		return refuse(m.from, v) // without its index the host would see everything as deleted
	}
	if v, err := t.mayRemove(m.p, m.dp, m.old, &m.from); err != nil {
		return err
	} else if v.Kind == rules.Hold && m.from.verdict.Kind == rules.Pass && m.from.lower && !m.renamesLog() {
		m.from.verdict = v // leaving its place is what is held
	}
	if m.verdict.Kind == rules.Deny {
		return refuse(m.to, m.verdict)
	}
	if m.verdict.Kind == rules.Pass && m.verdict.LockOnly && !m.from.upper {
		switch {
		case m.p != m.q || m.flags != 0 || !t.stateOf(m.q, m.dq).Replace(m.old, m.new) || m.from.st.Nlink != 1:
			return refuse(m.to, m.verdict)
		}
		m.hold = t.checkLocked(m)
		m.forged = m.hold != ""
		return nil
	}
	if m.object = m.verdict.Kind == rules.Pass && m.verdict.Lasting && !m.dir && !t.madeHere(m.q, &m.to); m.object {
		return nil
	}
	if m.exists && m.to.lower && m.to.verdict.Kind != rules.Hide {
		if _, err := t.mayRemove(m.q, m.dq, m.new, &m.to); err != nil {
			return err
		}
	}
	return nil
}

// fitsOver is what rename(2) says about the kinds of the two ends.
func (t *tree) fitsOver(m *move) error {
	if !m.exists {
		return nil
	}
	switch toDir := m.to.st.Mode&unix.S_IFMT == unix.S_IFDIR; {
	case m.dir && !toDir:
		return unix.ENOTDIR
	case !m.dir && toDir:
		return unix.EISDIR
	case toDir:
		return t.empty(m.dq, m.new, &m.to)
	}
	return nil
}

// carryOut does what was planned.
func (t *tree) carryOut(m *move) error {
	if m.flags&unix.RENAME_EXCHANGE != 0 {
		return t.exchange(m)
	}
	if m.exists && !m.dir {
		if m.from.st.Ino == m.to.st.Ino && m.from.upper == m.to.upper {
			return nil // two names of one file: nothing happens
		}
		t.pin(m.q, m.dq, m.new, &m.to)
	}
	var err error
	if m.dir {
		err = t.moveDir(m)
	} else {
		err = t.moveFile(m)
	}
	if err != nil {
		if m.exists {
			t.unpin(m.q, m.new)
		}
		return err
	}
	t.moved(m)
	return nil
}

// private says that what waits at the target keeps it private, although its name
// passes.
func (m *move) private() bool { return m.to.whiteout || m.to.upper && !m.to.both || m.dq.lower < 0 }

// relocks says that git puts a checked file in the place of one of the host's that
// the sandbox had removed.
func (m *move) relocks() bool {
	guarded := m.verdict.LockOnly || m.verdict.Guard != rules.NoGuard && m.from.verdict.Kind == rules.Pass
	return m.verdict.Kind == rules.Pass && guarded && m.hold == "" && m.to.whiteout && m.to.lower && m.dq.lower >= 0 && !m.from.upper
}

// relock ends the removal: the host's file is replaced as if it had been visible,
// so that host and sandbox go on with one index.
func (t *tree) relock(m *move) error {
	if err := t.keepMove(m); err != nil {
		return err
	}
	if err := unix.Renameat2(m.dp.lower, m.old, m.dq.lower, m.new, m.flags); err != nil {
		return err
	}
	return t.upper.Remove(m.to.rel)
}

func (t *tree) moveFile(m *move) error {
	passes := m.verdict.Kind == rules.Pass && !m.private() && m.hold == "" && !t.leaves(m)
	held := m.from.upper || m.from.verdict.Kind != rules.Pass
	switch {
	case m.object && m.dq.lower >= 0:
		return t.lands(m)
	case m.relocks():
		return t.relock(m)
	case passes && !held:
		if err := t.keepMove(m); err != nil {
			return err
		}
		return unix.Renameat2(m.dp.lower, m.old, m.dq.lower, m.new, m.flags)
	case passes && m.from.verdict.Kind != rules.Pass:
		return t.moveOut(m)
	case m.from.upper:
		return t.moveInside(m)
	}
	return t.moveIn(m)
}

// moveOut moves a held file to a name that passes, as mv would by copying it.
func (t *tree) moveOut(m *move) error {
	if m.from.st.Mode&unix.S_IFMT != unix.S_IFREG || m.verdict.LockOnly {
		return unix.EXDEV
	}
	if err := t.quota.fits(m.from.st.Size); err != nil {
		return err
	}
	t.quiesce(t.kid(m.p, m.old))
	tmp := t.upper.TmpName()
	if err := t.copyTmp(m.from.dir(m.dp), m.old, tmp); err != nil {
		unix.Unlinkat(t.upper.TmpDir(), tmp, 0)
		return err
	}
	if err := t.keep(&m.to, m.dq.lower, m.new); err != nil {
		unix.Unlinkat(t.upper.TmpDir(), tmp, 0)
		return err
	}
	if err := t.toHost(m.dq.lower, m.new, tmp, m.to.rel); err != nil {
		return err
	}
	t.quota.add(copied(&m.from.st))
	return t.takeMoved(m)
}

// takeMoved removes the old name of a file that was copied to its new one.
func (t *tree) takeMoved(m *move) error {
	if err := t.take(m.dp, m.old, &m.from, m.from.verdict, false); err != nil {
		return err
	}
	if m.from.frees() && m.from.st.Nlink == 1 {
		t.quota.add(-m.from.st.Blocks * 512)
	}
	return nil
}

// leaves says whether a symbolic link would lead out of the tree at its new place.
func (t *tree) leaves(m *move) bool {
	if m.from.st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return false
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(m.from.dir(m.dp), m.old, b)
	return err != nil || rules.LinkLeaves(parentOf(m.to.rel), string(b[:n]))
}

// moveIn moves a file of the host into the shadow: a copy, then the removal of the
// old name.
func (t *tree) moveIn(m *move) error {
	if err := t.parents(m.to.rel); err != nil {
		return err
	}
	t.quiesce(t.kid(m.p, m.old))
	b := t.baseAt(m.dq, &m.to)
	if err := t.upper.CopyIn(m.dp.lower, m.old, m.to.rel, t.quota.fits); err != nil {
		return err
	}
	t.quota.add(copied(&m.from.st))
	if err := t.upper.SetBase(m.to.rel, b); err != nil {
		return err
	}
	return t.takeMoved(m)
}

// moveInside moves what lies in the shadow to another place in it. What the host
// has at the old name stays removed.
func (t *tree) moveInside(m *move) error {
	if err := t.parents(m.to.rel); err != nil {
		return err
	}
	b := t.baseAt(m.dq, &m.to)
	visible := m.from.lower && m.from.verdict.Kind != rules.Hide
	var was *shadow.Base
	if visible {
		var err error
		if was, err = t.baseOf(m.dp, m.old, &m.from); err != nil {
			return err
		}
	}
	if m.dir {
		if m.to.upper {
			if err := t.upper.Remove(m.to.rel); err != nil {
				return err
			}
		}
		if m.to.lower && m.to.verdict.Kind != rules.Hide {
			if err := t.upper.SetOpaque(m.from.rel); err != nil {
				return err
			}
		}
		b = nil
	}
	if err := t.upper.Rename(m.from.rel, m.to.rel, b, false); err != nil {
		return err
	}
	if visible {
		return t.upper.SetWhiteout(m.from.rel, was)
	}
	return nil
}

func (t *tree) moveDir(m *move) error {
	s, v := t.stateOf(m.p, m.dp), m.from.verdict
	e := rules.Dir
	if !m.from.lower {
		e |= rules.Fresh
	}
	here, _ := s.Judge(m.old, e)
	if here != m.target || v.Kind != m.verdict.Kind {
		return unix.EXDEV
	}
	switch {
	case m.from.upper && !m.from.both:
		return t.moveInside(m)
	case v.Lasting && !t.madeHere(m.p, &m.from):
		return unix.EXDEV
	case v.Kind != rules.Pass || m.private():
		return unix.EXDEV
	}
	if err := t.linksStay(m); err != nil {
		return err
	}
	if err := t.keepTree(m); err != nil {
		return err
	}
	if err := unix.Renameat2(m.dp.lower, m.old, m.dq.lower, m.new, m.flags); err != nil {
		if err == unix.ENOTEMPTY || err == unix.EEXIST {
			return unix.EXDEV // what is left in the target is hidden or held
		}
		return err
	}
	if m.to.both {
		if err := t.upper.Remove(m.to.rel); err != nil {
			return err
		}
	}
	if !m.from.both {
		return nil
	}
	if err := t.parents(m.to.rel); err != nil {
		return err
	}
	return t.upper.Rename(m.from.rel, m.to.rel, nil, true)
}
