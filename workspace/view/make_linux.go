package view

import (
	"errors"

	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// making is one new entry.
type making struct {
	op     string
	entry  rules.Entry
	target string // text of a symbolic link
	perm   uint32
	// private keeps it in the shadow, whatever its name.
	private string
	// build makes (dir, name), which must not exist.
	build func(dir int, name string) error
}

// create makes (parent, name) where its verdict says and answers with its node. The
// error is EEXIST, with the entry filled in, when it is there already.
func (t *tree) create(parent uint64, name string, m making, out *fuse.EntryOut) (n *node, upper bool, err error) {
	t.shape.RLock()
	defer t.shape.RUnlock()
	p := t.node(parent)
	if p == nil {
		return nil, false, unix.ESTALE
	}
	d, err := t.open(p)
	defer func() { d.close() }()
	if err != nil {
		return nil, false, err
	}
	s, err := t.find(d, p, name)
	if err == nil {
		return t.entry(p, name, &s, out), s.upper, unix.EEXIST
	}
	if err != unix.ENOENT {
		return nil, false, err
	}
	if t.readOnly {
		return nil, false, unix.EROFS
	}
	if err := tooDeep(s.rel); err != nil {
		return nil, false, err
	}
	if err := t.quota.room(); err != nil {
		return nil, false, err
	}
	p.touch() // before anybody can see it, and after
	toHost, err := t.admit(&s, p, d, name, &m)
	if err != nil {
		return nil, false, err
	}
	if toHost {
		if err = t.keepNew(&s, m.entry); err == nil {
			err = m.build(d.lower, name)
		}
	} else {
		err = t.makePrivate(d, &s, &m)
		t.mu.Lock()
		p.seen = false
		t.mu.Unlock()
	}
	if err != nil {
		return nil, false, err
	}
	t.quota.add(perFile)
	return t.finish(p, &d, name, m.op, !toHost, out)
}

// finish finds what was just made, private or on the host, and tells of it.
func (t *tree) finish(p *node, d *dirs, name, op string, private bool, out *fuse.EntryOut) (*node, bool, error) {
	if private && d.upper < 0 { // the shadow's directory may have been made for it
		d.close()
		var err error
		if *d, err = t.open(p); err != nil {
			return nil, false, err
		}
	}
	s, err := t.find(*d, p, name)
	if err != nil {
		return nil, false, err
	}
	p.touch()
	n := t.entry(p, name, &s, out)
	t.mu.Lock()
	n.told &= toldUpper
	if op == opMkdir && !s.upper && s.state.InGit() && !p.state.InGit() {
		t.made[s.st.Ino] = true
	}
	if op == opCreate && !s.upper && s.verdict.Lasting {
		t.made[s.st.Ino] = true // pack-*.keep: git makes and removes it
	}
	t.mu.Unlock()
	t.tell(n, toldWrite, op, &s)
	return n, s.upper, nil
}

// admit judges what is about to be made: on the host (true), in the shadow, or not
// at all.
func (t *tree) admit(s *spot, p *node, d dirs, name string, m *making) (bool, error) {
	t.judge(s, t.stateOf(p, d), name, m.entry)
	v := &s.verdict
	switch {
	case v.Kind == rules.Deny, v.Kind == rules.Pass && v.LockOnly && !s.whiteout:
		t.refuse(m.op, s)
		return false, unix.EPERM
	case v.Kind != rules.Pass, v.Content != rules.Unchecked && !t.madeHere(p, s):
		return false, nil
	case s.whiteout, d.lower < 0:
		return false, nil
	case m.private != "":
		return false, nil
	case m.entry == rules.Link && rules.LinkLeaves(parentOf(s.rel), m.target):
		return false, nil
	}
	return true, nil
}

// makePrivate makes the entry in the shadow, over a whiteout or a hidden name of
// the host if there is one.
func (t *tree) makePrivate(d dirs, s *spot, m *making) error {
	if err := t.parents(s.rel); err != nil {
		return err
	}
	if m.entry == rules.Dir {
		return t.makePrivateDir(s, m.perm)
	}
	b := t.baseAt(d, s)
	tmp := t.upper.TmpName()
	if err := m.build(t.upper.TmpDir(), tmp); err != nil {
		return err
	}
	if err := t.upper.Place(tmp, s.rel, b); err != nil {
		unix.Unlinkat(t.upper.TmpDir(), tmp, 0)
		return err
	}
	return nil
}

// baseAt is what the host has, or had, at s; nil when nothing. Of what is hidden
// only the outside is noted.
func (t *tree) baseAt(d dirs, s *spot) *shadow.Base {
	if e, err := t.upper.Lookup(s.rel); err == nil && e.Base != nil && e.Base.Run == "" {
		return e.Base
	}
	if !s.lower {
		return nil
	}
	if s.verdict.Kind != rules.Hide {
		if b, err := shadow.HostBase(d.lower, baseName(s.rel)); err == nil {
			return b
		}
	}
	return shadow.StatBase(&s.lowerSt)
}

// makePrivateDir makes a directory in the shadow. Over a removed directory of the
// host it is opaque, when its names are held; else the host's comes back, with
// what was visible in it removed, so that new files pass as they did before.
func (t *tree) makePrivateDir(s *spot, perm uint32) error {
	isDir := s.lower && s.lowerSt.Mode&unix.S_IFMT == unix.S_IFDIR
	if !isDir || s.verdict.Kind != rules.Pass && !s.verdict.Lasting {
		return t.upper.MakeDir(s.rel, perm, s.lower)
	}
	fd, err := walk(t.lower, s.rel)
	if err != nil {
		return t.upper.MakeDir(s.rel, perm, true)
	}
	defer unix.Close(fd)
	if err := t.upper.MakeDir(s.rel, perm, false); err != nil {
		return err
	}
	if s.verdict.Kind == rules.Pass {
		// The host's folder, which kept what is hidden or held in it, is the new one.
		if err := t.keep(s, fd, "."); err != nil {
			return err
		}
		if err := unix.Chmod(procPath(fd), s.lowerSt.Mode&unix.S_ISGID|perm|0o700); err != nil {
			return err
		}
	}
	ents, err := readDir(fd)
	if err != nil {
		return err
	}
	for _, e := range ents {
		_, v := s.state.Judge(e.Name, entryOf(e.Mode))
		if v.Kind == rules.Hide {
			continue
		}
		b, err := t.baseHere(fd, e.Name, &v)
		if err == nil {
			err = t.upper.SetWhiteout(join(s.rel, e.Name), b)
		}
		if err != nil && err != unix.ENOENT {
			return err
		}
	}
	return nil
}

// baseHere describes (dir, name) of the host for a whiteout.
func (t *tree) baseHere(dir int, name string, v *rules.Verdict) (*shadow.Base, error) {
	if !t.forThisRun(v) {
		return shadow.HostBase(dir, name)
	}
	var st unix.Stat_t
	if err := statAt(dir, name, &st); err != nil {
		return nil, err
	}
	b := shadow.StatBase(&st)
	b.Run = t.run
	return b, nil
}

// Create makes and opens a file; there is no handle, data belongs to the node.
func (t *tree) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	fd := -1
	n, upper, err := t.create(in.NodeId, name, making{
		op: opCreate, entry: rules.File,
		build: func(dir int, name string) (err error) {
			fd, err = unix.Openat(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, in.Mode&0o777)
			return err
		},
	}, &out.EntryOut)
	if errors.Is(err, unix.EEXIST) && n != nil {
		if in.Flags&unix.O_EXCL != 0 {
			t.Forget(n.id, 1)
			return fuse.Status(unix.EEXIST)
		}
		return fuse.OK // the host made it meanwhile: it is opened
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return status(err)
	}
	t.keepOpen(n, fd, upper)
	return fuse.OK
}

// keepOpen makes fd the data of a new file.
func (t *tree) keepOpen(n *node, fd int, upper bool) {
	var st unix.Stat_t
	n.data.mu.Lock()
	defer n.data.mu.Unlock()
	t.mu.RLock()
	ino := n.ino
	t.mu.RUnlock()
	if unix.Fstat(fd, &st) != nil || st.Ino != ino || n.data.f != nil {
		unix.Close(fd)
		return
	}
	f := t.install(n, &openFile{n: n, fd: fd, rw: true, upper: upper, gen: t.generation()})
	t.files.release(f)
}

// Mkdir makes a directory.
func (t *tree) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	n, _, err := t.create(in.NodeId, name, making{
		op: opMkdir, entry: rules.Dir, perm: in.Mode&0o777 | 0o700,
		build: func(dir int, name string) error { return unix.Mkdirat(dir, name, in.Mode&0o1777|0o700) },
	}, out)
	return t.refused(n, err)
}

// Mknod makes a regular file, or a FIFO or socket that stays private. Device nodes
// are EPERM.
func (t *tree) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	m := making{op: opCreate, entry: rules.File}
	switch in.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFIFO, unix.S_IFSOCK:
		m.private = "FIFOs and sockets stay inside"
	default:
		return fuse.EPERM
	}
	mode := in.Mode & (unix.S_IFMT | 0o777)
	m.build = func(dir int, name string) error { return unix.Mknodat(dir, name, mode, 0) }
	n, _, err := t.create(in.NodeId, name, m, out)
	return t.refused(n, err)
}

// Symlink makes a symbolic link; one that leaves the tree stays private.
func (t *tree) Symlink(_ <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	if shadow.IsWhiteoutText(target) {
		return fuse.EPERM
	}
	n, _, err := t.create(h.NodeId, name, making{
		op: opSymlink, entry: rules.Link, target: target,
		build: func(dir int, name string) error { return unix.Symlinkat(target, dir, name) },
	}, out)
	return t.refused(n, err)
}

// refused takes back the reference of an entry that was there already.
func (t *tree) refused(n *node, err error) fuse.Status {
	if err != nil && n != nil {
		t.Forget(n.id, 1)
	}
	return status(err)
}

// Link makes another name of a file, where both names are judged alike and lie on
// the same side; else EXDEV, as between file systems.
func (t *tree) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	t.shape.RLock()
	defer t.shape.RUnlock()
	n, q := t.node(in.Oldnodeid), t.node(in.NodeId)
	if n == nil || q == nil {
		return fuse.Status(unix.ESTALE)
	}
	if t.readOnly {
		return fuse.EROFS
	}
	if n.typ != unix.S_IFREG || n.parent == nil {
		return fuse.Status(unix.EXDEV)
	}
	n.data.mu.Lock()
	defer n.data.mu.Unlock()
	return status(t.link(n, q, name, out))
}

func (t *tree) link(n, q *node, name string, out *fuse.EntryOut) error {
	d, s, err := t.locate(n)
	defer func() { d.close() }()
	if err != nil {
		return err
	}
	e, err := t.open(q)
	defer e.close()
	if err != nil {
		return err
	}
	to, err := t.find(e, q, name)
	if err != unix.ENOENT {
		return errors.Join(err, unix.EEXIST)
	}
	state := t.stateOf(q, e)
	t.judge(&to, state, name, rules.File)
	t.mu.RLock()
	from := n.parent.state
	t.mu.RUnlock()
	switch {
	case s.upper, s.verdict.Kind != rules.Pass, to.verdict.Kind != rules.Pass, to.whiteout, e.lower < 0,
		!rules.MayLink(from, s.verdict, state, to.verdict):
		return unix.EXDEV
	}
	if err := tooDeep(to.rel); err != nil {
		return err
	}
	if err := t.quota.room(); err != nil {
		return err
	}
	if t.foreign(&s.st) {
		if err := t.separate(n, &d, &s); err != nil {
			return err
		}
		if n.data.f != nil {
			t.files.retire(n.data.f)
		}
	}
	if err := errors.Join(t.keep(&s, d.lower, baseName(s.rel)), t.keepNew(&to, rules.File)); err != nil {
		return err
	}
	if err := unix.Linkat(d.lower, baseName(s.rel), e.lower, name, 0); err != nil {
		return err
	}
	q.touch()
	t.quota.add(perFile)
	t.mu.Lock()
	t.linked[s.st.Ino] = max(t.linked[s.st.Ino], 1) + 1
	t.shared[s.st.Ino] = n
	t.mu.Unlock()
	again, err := t.find(e, q, name)
	if err != nil {
		return err
	}
	t.entry(q, name, &again, out)
	t.report.add(event(opLink, &again), true)
	return nil
}
