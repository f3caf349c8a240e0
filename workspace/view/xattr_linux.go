package view

import (
	"cmp"
	"strings"

	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// GetXAttr gives an extended attribute that users set. All others do not exist:
// the kernel asks for security.capability when a file is first written to.
func (t *tree) GetXAttr(_ <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	if !shadow.OwnXattr(name) {
		return 0, fuse.ENODATA
	}
	var k int
	err := t.withPath(h.NodeId, false, func(path string) (err error) {
		k, err = unix.Getxattr(path, name, dest)
		if err == nil && len(dest) == 0 && k > 0 {
			err = unix.ERANGE // taken for the answer to the question of its size
		}
		return err
	})
	return uint32(k), status(err)
}

// ListXAttr lists the extended attributes that users set.
func (t *tree) ListXAttr(_ <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	var list string
	err := t.withPath(h.NodeId, false, func(path string) error {
		names, err := shadow.Xattrs(path)
		if len(names) > 0 {
			list = strings.Join(names, "\x00") + "\x00"
		}
		return err
	})
	if err == nil && len(list) > len(dest) {
		err = unix.ERANGE
	}
	copy(dest, list)
	return uint32(len(list)), status(err)
}

// SetXAttr sets an extended attribute where the data may be changed.
func (t *tree) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, value []byte) fuse.Status {
	if !shadow.OwnXattr(name) {
		return fuse.Status(unix.EOPNOTSUPP)
	}
	old, had, err := t.xattr(in.NodeId, name)
	switch {
	case err != nil:
		return status(err)
	case had && in.Flags&unix.XATTR_CREATE != 0:
		return fuse.Status(unix.EEXIST)
	case !had && in.Flags&unix.XATTR_REPLACE != 0:
		return fuse.ENODATA
	case had && old == string(value) && !t.readOnly:
		return fuse.OK // what changes nothing makes nothing private
	}
	size := int64(len(name) + len(value))
	if err := t.quota.fits(size); err != nil {
		return status(err)
	}
	return status(t.withPath(in.NodeId, true, func(path string) error {
		err := unix.Setxattr(path, name, value, int(in.Flags))
		if err == nil {
			t.quota.add(size)
		}
		return err
	}))
}

// RemoveXAttr removes an extended attribute where the data may be changed.
func (t *tree) RemoveXAttr(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if !shadow.OwnXattr(name) {
		return fuse.ENODATA
	}
	if _, had, err := t.xattr(h.NodeId, name); err != nil || !had {
		return status(cmp.Or(err, error(unix.ENODATA)))
	}
	return status(t.withPath(h.NodeId, true, func(path string) error { return unix.Removexattr(path, name) }))
}

// xattr is the attribute as it is, if there is one.
func (t *tree) xattr(id uint64, name string) (value string, had bool, err error) {
	err = t.withPath(id, false, func(path string) error {
		b := make([]byte, 64<<10) // XATTR_SIZE_MAX
		n, err := unix.Getxattr(path, name, b)
		if err == nil {
			value, had = string(b[:n]), true
		}
		if err == unix.ENODATA || err == unix.EACCES { // it may be set where it may not be read
			return nil
		}
		return err
	})
	return value, had, err
}

// withPath calls do with a path that leads to what the node means now, by a
// descriptor: nothing in it can be exchanged. For a change, what is held is made
// private first.
func (t *tree) withPath(id uint64, change bool, do func(path string) error) error {
	n := t.node(id)
	if n == nil {
		return unix.ESTALE
	}
	t.shape.RLock()
	defer t.shape.RUnlock()
	n.data.mu.Lock()
	defer n.data.mu.Unlock()
	d, s, err := t.locate(n)
	defer func() { d.close() }()
	if err != nil {
		return t.withNameless(n, change, err, do)
	}
	// The two sides of a directory that is held have one set of attributes: the host's.
	held := n.isDir() && s.lower && (s.verdict.Kind != rules.Pass || n.parent == nil && !t.live)
	if change && held && !t.readOnly {
		return unix.EPERM
	}
	if change {
		if err := t.ownMeta(n, &d, &s); err != nil {
			return err
		}
		t.tell(n, toldWrite, opWrite, &s)
	}
	if n.parent == nil {
		return do(procPath(d.lower))
	}
	at := s.dir(d)
	if held && s.both {
		at = d.lower
	}
	fd, err := unix.Openat(at, baseName(s.rel), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != s.st.Ino || st.Mode&unix.S_IFMT != n.typ {
		return unix.ESTALE
	}
	if n.typ != unix.S_IFREG && n.typ != unix.S_IFDIR {
		return unix.EPERM
	}
	return do(procPath(fd))
}

// withNameless is withPath of a file that is open inside but has no name any more.
func (t *tree) withNameless(n *node, change bool, why error, do func(path string) error) error {
	f := n.data.f
	if f == nil || !t.stillHas(f, change) {
		return why
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return err
	}
	if change && st.Nlink > 0 && !f.upper {
		return unix.EPERM // only its name here is gone
	}
	return do(procPath(f.fd))
}
