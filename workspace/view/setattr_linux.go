package view

import (
	"sync"
	"time"

	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const specialBits = unix.S_ISUID | unix.S_ISGID

// SetAttr changes permissions, size or times. There is one owner: giving a file
// away is EPERM, set-user-ID and set-group-ID bits are dropped.
func (t *tree) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := t.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	if size, ok := in.GetSize(); ok {
		if err := t.truncate(n, int64(size)); err != nil {
			return status(err)
		}
	}
	t.shape.RLock()
	defer t.shape.RUnlock()
	n.data.mu.Lock()
	defer n.data.mu.Unlock()
	d, s, err := t.locate(n)
	defer func() { d.close() }()
	if err != nil {
		return t.setGone(n, in, out, err)
	}
	if in.Valid&(fuse.FATTR_UID|fuse.FATTR_GID) != 0 {
		if err := t.mayOwn(&s, in); err != nil {
			return status(err)
		}
	}
	if in.Valid&(fuse.FATTR_MODE|fuse.FATTR_ATIME|fuse.FATTR_MTIME) != 0 {
		if err := t.setMeta(n, &d, &s, in); err != nil {
			return status(err)
		}
	}
	t.attr(n, &s, &out.Attr)
	if n.parent != nil {
		out.AttrValid = n.parent.patience()
	}
	return fuse.OK
}

// setMeta changes permissions and times of what has a name.
func (t *tree) setMeta(n *node, d *dirs, s *spot, in *fuse.SetAttrIn) error {
	if n.parent == nil && !t.live && !t.readOnly {
		t.top.set(in)
		t.top.show(&s.st)
		return nil
	}
	if !t.harmlessMeta(n, s, in) {
		if err := t.ownMeta(n, d, s); err != nil {
			return err
		}
	}
	at, name := s.dir(*d), "."
	if n.parent != nil {
		name = baseName(s.rel)
	}
	if mode, ok := in.GetMode(); ok {
		if err := t.chmod(n, at, name, mode, s); err != nil {
			return err
		}
	}
	if err := setTimes(at, name, in); err != nil {
		return err
	}
	if n.parent == nil {
		return unix.Fstat(d.lower, &s.st)
	}
	again, err := t.find(*d, n.parent, n.name)
	if err == nil {
		*s = again
	}
	return err
}

// ownMeta is [tree.own] for a change of what is not data. The caller holds n.data.mu.
func (t *tree) ownMeta(n *node, d *dirs, s *spot) error {
	was := s.upper
	if err := t.own(n, d, s); err != nil {
		return err
	}
	if f := n.data.f; f != nil && was != s.upper {
		t.files.retire(f) // it was the host's
	}
	return nil
}

// topMeta is what a run made of the root's permissions and times where nothing may
// land on the host. The next run knows nothing of it.
type topMeta struct {
	mu    sync.Mutex
	mode  uint32 // 0: the host's
	times [2]unix.Timespec
	given [2]bool // access, change
}

func (m *topMeta) set(in *fuse.SetAttrIn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if mode, ok := in.GetMode(); ok {
		m.mode = mode&0o777 | 0o700
	}
	now := unix.NsecToTimespec(time.Now().UnixNano())
	for i, ts := range timesOf(in) {
		switch ts.Nsec {
		case unix.UTIME_OMIT:
			continue
		case unix.UTIME_NOW:
			ts = now
		}
		m.times[i], m.given[i] = ts, true
	}
}

func (m *topMeta) show(st *unix.Stat_t) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mode != 0 {
		st.Mode = st.Mode&^0o777 | m.mode
	}
	for i, to := range []*unix.Timespec{&st.Atim, &st.Mtim} {
		if m.given[i] {
			*to = m.times[i]
		}
	}
}

func (t *tree) chmod(n *node, at int, name string, mode uint32, s *spot) error {
	if n.typ == unix.S_IFLNK {
		return unix.EOPNOTSUPP
	}
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != n.typ {
		return unix.ESTALE
	}
	mode &^= specialBits
	if n.isDir() {
		// A folder that its owner cannot enter would stop the next run, and whoever
		// lists the shadow.
		mode |= 0o700
	}
	if n.isDir() && s.upper && s.both && s.verdict.Kind != rules.Pass {
		if err := t.noteMode(s); err != nil {
			return err
		}
	}
	if s.isOpaque() {
		mode |= unix.S_ISUID
	} else if n.isDir() && !s.upper {
		mode |= st.Mode & unix.S_ISGID // the host's own mark stays
	}
	if n.typ == unix.S_IFREG {
		mode &= 0o777
	}
	if err := unix.Chmod(procPath(fd), mode); err != nil {
		return err
	}
	if n.typ == unix.S_IFREG && mode&0o111 != 0 && st.Mode&0o111 == 0 {
		runs := *s
		if runs.verdict.Class == "" {
			runs.verdict.Class, runs.verdict.Reason = "user-run", "it was made executable"
		}
		t.tell(n, toldChmod, opChmod, &runs)
	}
	return nil
}

// noteMode writes down which permissions the host's folder had when those of its
// private side were changed first: only then they are a change that may land.
func (t *tree) noteMode(s *spot) error {
	if b, err := t.upper.Base(s.rel); err != nil || b != nil {
		return err
	}
	return t.upper.SetBase(s.rel, shadow.StatBase(&s.lowerSt))
}

func setTimes(at int, name string, in *fuse.SetAttrIn) error {
	if in.Valid&(fuse.FATTR_ATIME|fuse.FATTR_MTIME) == 0 {
		return nil
	}
	ts := timesOf(in)
	return unix.UtimesNanoAt(at, name, ts[:], unix.AT_SYMLINK_NOFOLLOW)
}

// timesOf are the times of access and change as utimensat(2) takes them.
func timesOf(in *fuse.SetAttrIn) [2]unix.Timespec {
	ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	switch {
	case in.Valid&fuse.FATTR_ATIME_NOW != 0:
		ts[0].Nsec = unix.UTIME_NOW
	case in.Valid&fuse.FATTR_ATIME != 0:
		ts[0] = unix.Timespec{Sec: int64(in.Atime), Nsec: int64(in.Atimensec)}
	}
	switch {
	case in.Valid&fuse.FATTR_MTIME_NOW != 0:
		ts[1].Nsec = unix.UTIME_NOW
	case in.Valid&fuse.FATTR_MTIME != 0:
		ts[1] = unix.Timespec{Sec: int64(in.Mtime), Nsec: int64(in.Mtimensec)}
	}
	return ts
}

// mayOwn allows a change of owner that changes nothing.
func (t *tree) mayOwn(s *spot, in *fuse.SetAttrIn) error {
	uid, gid := t.inside(s.st.Uid, s.st.Gid)
	if u, ok := in.GetUID(); ok && u != uid {
		return unix.EPERM
	}
	if g, ok := in.GetGID(); ok && g != gid {
		return unix.EPERM
	}
	return nil
}

// truncate sets the size of a file.
func (t *tree) truncate(n *node, size int64) error {
	f, err := t.acquire(n, true)
	if err != nil {
		return err
	}
	defer t.files.release(f)
	return t.charged(f, func() error {
		if err := t.mayReach(f, size); err != nil {
			return err
		}
		return unix.Ftruncate(f.fd, size)
	})
}

// setGone changes a file that is open inside but has no name any more.
func (t *tree) setGone(n *node, in *fuse.SetAttrIn, out *fuse.AttrOut, why error) fuse.Status {
	f := n.data.f
	if f == nil || !t.stillHas(f, true) {
		return status(why)
	}
	var s spot
	if err := unix.Fstat(f.fd, &s.st); err != nil {
		return status(err)
	}
	if s.st.Nlink > 0 && !f.upper {
		return fuse.EPERM // only its name here is gone
	}
	if mode, ok := in.GetMode(); ok {
		if err := unix.Fchmod(f.fd, mode&0o777); err != nil {
			return status(err)
		}
	}
	if err := unix.Fstat(f.fd, &s.st); err != nil {
		return status(err)
	}
	s.upper = f.upper
	t.attr(n, &s, &out.Attr)
	return fuse.OK
}
