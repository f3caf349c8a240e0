package view

import (
	"github.com/belljar-dev/belljar/workspace/rules"
	"golang.org/x/sys/unix"
)

// moved tells the nodes, the quota and the record.
func (t *tree) moved(m *move) {
	m.p.touch()
	m.q.touch()
	t.mu.Lock()
	over, n := m.q.kids[m.new], m.p.kids[m.old]
	if over != nil {
		t.unname(over, m.q, m.new)
		if over.parent == m.q && over.name == m.new {
			over.gone = true
		}
	}
	first := true
	if n != nil {
		t.unname(n, m.p, m.old)
		if n.parent == m.p && n.name == m.old {
			n.parent, n.name = m.q, m.new
		} else {
			n.more = append(n.more, alias{m.q, m.new})
		}
		m.q.kids[m.new] = n
		first = n.told&toldWrite == 0
		n.told |= toldWrite
	}
	if m.exists {
		t.unlinkLocked(&m.to)
		delete(t.made, m.to.lowerSt.Ino) // replaced: the number may become the host's
	}
	m.p.seen, m.q.seen = m.p.seen && !m.touchesShadow(), m.q.seen && !m.touchesShadow()
	t.mu.Unlock()
	if m.exists && m.to.frees() {
		if m.to.st.Nlink > 1 || m.dir || over != nil && t.pinned(over) {
			t.quota.add(-perFile)
		} else {
			t.quota.add(-m.to.st.Blocks*512 - perFile)
		}
	}
	t.settle(n, m)
	e := event(opRename, &m.from)
	e.To = m.to.rel
	t.noteTarget(&e, m)
	t.report.add(e, first)
}

func (m *move) touchesShadow() bool {
	return m.from.upper || m.private() || m.verdict.Kind != rules.Pass
}

// settle makes a node follow what it now is: another inode when it was copied,
// another state, no data of the old place.
func (t *tree) settle(n *node, m *move) {
	if n == nil {
		return
	}
	d := m.dq
	if m.touchesShadow() { // whose part of the directory may be new, or gone
		var err error
		d, err = t.open(m.q)
		defer d.close()
		if err != nil {
			return
		}
	}
	s, err := t.find(d, m.q, m.new)
	if err != nil {
		return
	}
	t.mu.Lock()
	copied := n.ino != s.st.Ino
	n.ino = s.st.Ino
	n.adopt(&s)
	t.mu.Unlock()
	if copied {
		n.data.mu.Lock()
		if n.data.f != nil {
			t.files.retire(n.data.f)
		}
		n.data.mu.Unlock()
	}
}

// exchange swaps two entries of the same side and meaning.
func (t *tree) exchange(m *move) error {
	here, v := m.from.state, m.from.verdict
	toDir := m.to.st.Mode&unix.S_IFMT == unix.S_IFDIR
	pass := v.Kind == rules.Pass && m.to.verdict.Kind == rules.Pass && m.verdict.Kind == rules.Pass && !m.verdict.LockOnly && !v.LockOnly &&
		!m.verdict.Lasting && !v.Lasting
	if !pass || m.from.upper || m.to.upper || m.dir || toDir || here != m.target {
		return unix.EINVAL
	}
	if m.from.st.Mode&unix.S_IFMT != unix.S_IFREG || m.to.st.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.EINVAL
	}
	if err := t.keepMove(m); err != nil {
		return err
	}
	if err := unix.Renameat2(m.dp.lower, m.old, m.dq.lower, m.new, m.flags); err != nil {
		return err
	}
	m.p.touch()
	m.q.touch()
	t.mu.Lock()
	a, b := m.p.kids[m.old], m.q.kids[m.new]
	t.rename1(a, m.p, m.old, m.q, m.new)
	t.rename1(b, m.q, m.new, m.p, m.old)
	delete(m.p.kids, m.old)
	delete(m.q.kids, m.new)
	if a != nil {
		m.q.kids[m.new] = a
	}
	if b != nil {
		m.p.kids[m.old] = b
	}
	t.mu.Unlock()
	e := event(opRename, &m.from)
	e.To = m.to.rel
	t.report.add(e, true)
	return nil
}

// rename1 changes one name of n. With tree.mu held.
func (t *tree) rename1(n *node, p *node, old string, q *node, name string) {
	if n == nil {
		return
	}
	if n.parent == p && n.name == old {
		n.parent, n.name = q, name
		return
	}
	for i := range n.more {
		if n.more[i] == (alias{p, old}) {
			n.more[i] = alias{q, name}
		}
	}
}
