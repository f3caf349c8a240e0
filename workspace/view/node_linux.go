package view

import (
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// entry answers a lookup: it finds or makes the node of (p, name), which is s, and
// counts one reference of the kernel.
func (t *tree) entry(p *node, name string, s *spot, out *fuse.EntryOut) *node {
	t.mu.Lock()
	n := t.nodeFor(p, name, s)
	n.refs++
	out.EntryValid = p.patienceWith(&s.st, time.Now())
	out.AttrValid = out.EntryValid
	t.mu.Unlock()
	out.NodeId, out.Generation = n.id, 1
	t.attr(n, s, &out.Attr)
	return n
}

// nodeFor is called with tree.mu held.
func (t *tree) nodeFor(p *node, name string, s *spot) *node {
	typ := s.st.Mode & unix.S_IFMT
	if n := p.kids[name]; n != nil {
		if n.ino == s.st.Ino && n.typ == typ {
			n.adopt(s)
			return n
		}
		t.unname(n, p, name)
	}
	if n := t.shared[s.st.Ino]; n != nil && typ == unix.S_IFREG && !s.upper && n.ino == s.st.Ino && s.st.Nlink > 1 && !n.gone {
		n.more = append(n.more, alias{p, name})
		p.kids[name] = n
		return n
	}
	n := &node{id: t.next, typ: typ, parent: p, name: name, ino: s.st.Ino}
	n.number = t.numberFor(n, s)
	n.adopt(s)
	if n.isDir() {
		n.kids = map[string]*node{}
	}
	t.next++
	t.nodes[n.id] = n
	if len(t.nodes) > maxNodes && !t.pruned {
		t.pruned = true
		go t.prune()
	}
	p.kids[name] = n
	if t.linked[n.ino] > 1 && typ == unix.S_IFREG && !s.upper {
		t.shared[n.ino] = n
	}
	return n
}

// ownNumbers is set in the inode numbers that are those of no file.
const ownNumbers = 1 << 62

// numberFor picks the inode number that a new node shows as long as the kernel knows it:
// the one that its file has now, apart from the host's where it is of the shadow; or one of
// its own where another node shows that one. A file that is copied, into the shadow for
// instance, leaves a number that the host gives to the next one, while the kernel still
// knows the first by it; and two files of one number are one file to a kernel inside that
// goes by numbers: it would write to the one what it knows of the other. The caller
// holds tree.mu.
func (t *tree) numberFor(n *node, s *spot) uint64 {
	number := t.numberOf(s.st.Ino, s.upper && !s.both)
	if t.shown[number] != nil {
		return ownNumbers | n.id
	}
	t.shown[number] = n
	return number
}

// numberOf keeps inode numbers of the shadow apart from those of the host.
func (t *tree) numberOf(ino uint64, upper bool) uint64 {
	if upper && t.otherDev {
		return ino | 1<<48
	}
	return ino
}

// adopt takes over what was just found out about a directory.
func (n *node) adopt(s *spot) {
	if !n.isDir() {
		return
	}
	if n.state != s.state {
		n.state = s.state
		rejudge(n)
	}
	lower := s.lower && (s.both || !s.upper)
	if n.lower != lower {
		n.lower, n.seen = lower, false
	}
	if s.both {
		// The shadow's part may be new: it has to be watched as well.
		n.seen = n.seen && n.told&toldUpper != 0
		n.told |= toldUpper
	}
}

// Bits of node.told.
const (
	toldWrite uint8 = 1 << iota
	toldChmod
	toldUpper // the shadow's directory is watched too
)

// prune asks the kernel to forget every file that it knows. What is in use stays.
func (t *tree) prune() {
	type known struct {
		parent uint64
		name   string
	}
	t.mu.Lock()
	list := make([]known, 0, len(t.nodes))
	for _, n := range t.nodes {
		if n.parent != nil && len(n.kids) == 0 && !n.gone {
			list = append(list, known{n.parent.id, n.name})
		}
	}
	t.mu.Unlock()
	for _, k := range list {
		t.note.entry(k.parent, k.name)
	}
}

// unname takes one name from n. With tree.mu held.
func (t *tree) unname(n *node, p *node, name string) {
	if p.kids[name] == n {
		delete(p.kids, name)
	}
	if n.parent != p || n.name != name {
		for i, a := range n.more {
			if a.parent == p && a.name == name {
				n.more = append(n.more[:i:i], n.more[i+1:]...)
				return
			}
		}
		return
	}
	if len(n.more) > 0 {
		n.parent, n.name = n.more[0].parent, n.more[0].name
		n.more = n.more[1:]
	}
}

// kid is the node that the kernel knows as (p, name), or nil.
func (t *tree) kid(p *node, name string) *node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return p.kids[name]
}

// Forget drops references of the kernel; a node without any is gone.
func (t *tree) Forget(id, count uint64) {
	t.mu.Lock()
	n := t.nodes[id]
	if n == nil || id == fuse.FUSE_ROOT_ID {
		t.mu.Unlock()
		return
	}
	n.refs -= min(count, n.refs)
	if n.refs > 0 {
		t.mu.Unlock()
		return
	}
	delete(t.nodes, id)
	t.pruned = t.pruned && len(t.nodes) > maxNodes/2
	if t.shared[n.ino] == n {
		delete(t.shared, n.ino)
	}
	if t.shown[n.number] == n {
		delete(t.shown, n.number)
	}
	if n.parent.kids[n.name] == n {
		delete(n.parent.kids, n.name)
	}
	for _, a := range n.more {
		if a.parent.kids[a.name] == n {
			delete(a.parent.kids, a.name)
		}
	}
	t.mu.Unlock()
	t.files.drop(n)
	if n.isDir() {
		t.listings.drop(n.id)
		if t.watch != nil {
			t.watch.forget(n)
		}
	}
}

// Lookup finds a name. What does not exist is remembered by the kernel as well:
// searches ask for thousands of ignore files that are not there.
func (t *tree) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	t.shape.RLock()
	defer t.shape.RUnlock()
	p := t.node(h.NodeId)
	if p == nil {
		return fuse.Status(unix.ESTALE)
	}
	d, err := t.open(p)
	defer d.close()
	if err != nil {
		return status(err)
	}
	s, err := t.find(d, p, name)
	if err == unix.ENOENT {
		out.EntryValid = p.patience()
		return fuse.OK
	}
	if err != nil {
		return status(err)
	}
	t.entry(p, name, &s, out)
	return fuse.OK
}

// locate finds n by its name and insists that it is still the same file. The
// caller holds tree.shape and closes the directories, also on error.
func (t *tree) locate(n *node) (dirs, spot, error) {
	t.mu.RLock()
	p, name, ino, gone := n.parent, n.name, n.ino, n.gone
	t.mu.RUnlock()
	if gone {
		return noDirs(), spot{}, unix.ENOENT
	}
	if p == nil {
		return t.locateRoot(n)
	}
	d, err := t.open(p)
	if err != nil {
		return d, spot{}, err
	}
	s, err := t.find(d, p, name)
	if err == nil && (s.st.Ino != ino || s.st.Mode&unix.S_IFMT != n.typ) {
		err = unix.ESTALE
	}
	return d, s, err
}

func (t *tree) locateRoot(n *node) (dirs, spot, error) {
	d, err := t.open(n)
	if err != nil {
		return d, spot{}, err
	}
	s := spot{lower: true, both: true, state: t.stateOf(n, d)}
	err = unix.Fstat(d.lower, &s.st)
	s.lowerSt = s.st
	t.top.show(&s.st)
	return d, s, err
}

// GetAttr tells the attributes of a node.
func (t *tree) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	t.shape.RLock()
	defer t.shape.RUnlock()
	n := t.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	d, s, err := t.locate(n)
	defer d.close()
	if err != nil {
		// Removed, but still open inside.
		if !t.statNameless(n, &s) {
			return status(err)
		}
	}
	t.attr(n, &s, &out.Attr)
	t.mu.RLock()
	if n.parent != nil {
		out.AttrValid = n.parent.patienceWith(&s.st, time.Now())
	} else {
		out.AttrValid = n.patience()
	}
	t.mu.RUnlock()
	return fuse.OK
}

// Readlink gives the text of a symbolic link.
func (t *tree) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	t.shape.RLock()
	defer t.shape.RUnlock()
	n := t.node(h.NodeId)
	if n == nil || n.typ != unix.S_IFLNK {
		return nil, fuse.EINVAL
	}
	d, s, err := t.locate(n)
	defer d.close()
	if err != nil {
		return nil, status(err)
	}
	b := make([]byte, unix.PathMax)
	k, err := unix.Readlinkat(s.dir(d), baseName(s.rel), b)
	if err != nil {
		return nil, status(err)
	}
	return b[:k], fuse.OK
}

func baseName(rel string) string { return rel[lastSlash(rel)+1:] }

// StatFs shows the host's file system, with no more room than the quota leaves.
func (t *tree) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	var st unix.Statfs_t
	if err := unix.Fstatfs(t.lower, &st); err != nil {
		return status(err)
	}
	*out = fuse.StatfsOut{
		Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail, Files: st.Files, Ffree: st.Ffree,
		Bsize: uint32(st.Bsize), NameLen: uint32(st.Namelen), Frsize: uint32(st.Frsize),
	}
	if left := t.quota.left() / max(st.Bsize, 1); left >= 0 {
		out.Bavail = min(out.Bavail, uint64(left))
		out.Bfree = min(out.Bfree, uint64(left))
	}
	return fuse.OK
}

// Access is answered by the kernel itself (default_permissions).
func (t *tree) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.ENOSYS }

// Open and OpenDir are answered ENOSYS: the kernel then opens without asking, keeps
// pages and listings, and never tells when a file is closed. So there are no
// handles: data belongs to nodes.
func (t *tree) Open(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }

// OpenDir is as [tree.Open].
func (t *tree) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }

// Flush has nothing to do: every write is at its place.
func (t *tree) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }
