package view

import (
	"strings"

	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// acquire gives the open data of n; the caller releases it.
func (t *tree) acquire(n *node, write bool) (*openFile, error) {
	if write && t.before != nil {
		t.before.Busy()
	}
	t.shape.RLock()
	defer t.shape.RUnlock()
	n.data.mu.Lock()
	defer n.data.mu.Unlock()
	if f := n.data.f; f != nil {
		switch {
		case !t.valid(n, f, write):
			t.files.retire(f)
			return nil, unix.ESTALE
		case f.rw || !write:
			if write {
				if err := t.keepOpened(f); err != nil {
					return nil, err
				}
			}
			t.files.use(f)
			return f, nil
		case f.pinned:
			return t.reopen(n, f)
		}
	}
	return t.openData(n, write)
}

// openData opens the data of n by its name. The caller holds tree.shape and
// n.data.mu.
func (t *tree) openData(n *node, write bool) (*openFile, error) {
	if n.typ != unix.S_IFREG {
		return nil, unix.EINVAL
	}
	kept := t.hostChanges()
	d, s, err := t.locate(n)
	defer func() { d.close() }()
	if err != nil {
		return nil, err
	}
	if write {
		if err := t.own(n, &d, &s); err != nil {
			return nil, err
		}
		t.tell(n, toldWrite, opWrite, &s)
	}
	flags := unix.O_RDONLY
	if write {
		flags = unix.O_RDWR
	}
	fd, err := openForced(s.dir(d), baseName(s.rel), flags, &s.st)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != s.st.Ino || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, unix.ESTALE
	}
	return t.install(n, &openFile{n: n, fd: fd, rw: write, upper: s.upper, gen: t.generation(), kept: kept}), nil
}

// install makes f the data of n. The caller holds n.data.mu.
func (t *tree) install(n *node, f *openFile) *openFile {
	if old := n.data.f; old != nil {
		t.files.retire(old)
	}
	n.data.f = f
	t.files.keep(f)
	return f
}

// reopen gets write access to a file without a name.
func (t *tree) reopen(n *node, f *openFile) (*openFile, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil || st.Nlink > 0 && !f.upper {
		return nil, unix.EPERM // the host keeps it under a name that is gone only inside
	}
	fd, err := unix.Open(procPath(f.fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	g := &openFile{n: n, fd: fd, rw: true, upper: f.upper, gen: f.gen, pinned: true}
	f.pinned = false // the room is given back once
	return t.install(n, g), nil
}

// openForced opens a file of ours also when its mode forbids it: permission was
// checked by the kernel when the sandbox opened it, and may have been taken since
// (git writes objects into files that are read-only from the start).
func openForced(dir int, name string, flags int, st *unix.Stat_t) (int, error) {
	flags |= unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, name, flags, 0)
	if err != unix.EACCES {
		return fd, err
	}
	at, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	var now unix.Stat_t
	if err := unix.Fstat(at, &now); err != nil || now.Ino != st.Ino || now.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, unix.ESTALE
	}
	if err := unix.Chmod(procPath(at), now.Mode&0o777|0o600); err != nil {
		return -1, unix.EACCES
	}
	fd, err = unix.Open(procPath(at), flags&^unix.O_NOFOLLOW, 0)
	_ = unix.Chmod(procPath(at), now.Mode&0o777)
	return fd, err
}

// generation counts what the host did to names; without a watcher every use is new.
func (t *tree) generation() uint64 {
	if t.watch == nil {
		return 0
	}
	return t.watch.gen.Load()
}

// valid says whether f may still be used under the name of n: the host may have
// renamed the file to a name that hides it. The caller holds tree.shape.
func (t *tree) valid(n *node, f *openFile, write bool) bool {
	if f.pinned {
		return true
	}
	gen := t.generation()
	t.mu.RLock()
	blind := n.parent != nil && n.parent.blind.Load()
	t.mu.RUnlock()
	if f.gen == gen && t.watch != nil && !blind {
		return true
	}
	d, s, err := t.locate(n)
	d.close()
	if err != nil || s.upper != f.upper {
		if !t.harmless(f, write) {
			return false
		}
	}
	f.gen = gen
	return true
}

// harmless says whether an open file that lost its name on the host may still be
// used: when it has none at all, or one under which that would be allowed.
func (t *tree) harmless(f *openFile, write bool) bool {
	var st unix.Stat_t
	if unix.Fstat(f.fd, &st) != nil {
		return false
	}
	if st.Nlink == 0 || f.upper {
		return true
	}
	rel, ok := t.relOf(f)
	if !ok {
		return false
	}
	v := t.rules.Explain(rel)
	return v.Kind == rules.Pass && !v.LockOnly && !v.Lasting || v.Kind != rules.Hide && !write
}

// relOf is the name of an open file on the host, wherever that has moved it in the tree.
func (t *tree) relOf(f *openFile) (string, bool) {
	b := make([]byte, 2*unix.PathMax)
	k, err := unix.Readlink(procPath(f.fd), b)
	if err != nil {
		return "", false
	}
	r, err := unix.Readlink(procPath(t.lower), b[k:])
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(string(b[:k]), string(b[k:k+r])+"/")
}

// Read reads data.
func (t *tree) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n := t.node(in.NodeId)
	if n == nil {
		return nil, fuse.Status(unix.ESTALE)
	}
	f, err := t.acquire(n, false)
	if err != nil {
		return nil, status(err)
	}
	defer t.files.release(f)
	k, err := unix.Pread(f.fd, buf, int64(in.Offset))
	if err != nil {
		return nil, status(err)
	}
	return fuse.ReadResultData(buf[:k]), fuse.OK
}

// Write writes data through. A file opened for appending is appended to where the
// host's file ends, whatever the kernel believes its size to be.
func (t *tree) Write(_ <-chan struct{}, in *fuse.WriteIn, b []byte) (uint32, fuse.Status) {
	n := t.node(in.NodeId)
	if n == nil {
		return 0, fuse.Status(unix.ESTALE)
	}
	if err := t.quota.room(); err != nil {
		return 0, status(err)
	}
	f, err := t.acquire(n, true)
	if err != nil {
		return 0, status(err)
	}
	defer t.files.release(f)
	var before, after unix.Stat_t
	if err := unix.Fstat(f.fd, &before); err != nil {
		return 0, status(err)
	}
	if err := t.reaches(f, &before, int64(in.Offset)+int64(len(b))); err != nil {
		return 0, status(err)
	}
	appends := in.Flags&unix.O_APPEND != 0 && in.WriteFlags&fuse.WRITE_CACHE == 0
	var k int
	if appends {
		k, err = unix.Pwritev2(f.fd, [][]byte{b}, 0, unix.RWF_APPEND)
	} else {
		k, err = unix.Pwrite(f.fd, b, int64(in.Offset))
	}
	if unix.Fstat(f.fd, &after) == nil {
		t.quota.add((after.Blocks - before.Blocks) * 512)
	}
	if err != nil {
		return 0, status(err)
	}
	if appends && after.Size != int64(in.Offset)+int64(k) {
		t.note.inode(n.id) // the host had appended meanwhile: the cached pages are misplaced
	}
	return uint32(k), fuse.OK
}

// Writev is not implemented: Write is called.
func (t *tree) Writev(<-chan struct{}, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

// Fsync flushes to the disk.
func (t *tree) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n := t.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	f, err := t.acquire(n, false)
	if err != nil {
		return status(err)
	}
	defer t.files.release(f)
	if in.FsyncFlags&1 != 0 {
		return status(unix.Fdatasync(f.fd))
	}
	return status(unix.Fsync(f.fd))
}

// Fallocate reserves or punches room.
func (t *tree) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	n := t.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	if in.Mode&unix.FALLOC_FL_PUNCH_HOLE == 0 {
		if err := t.quota.fits(int64(in.Length)); err != nil {
			return status(err)
		}
	}
	f, err := t.acquire(n, true)
	if err != nil {
		return status(err)
	}
	defer t.files.release(f)
	return status(t.charged(f, func() error {
		if in.Mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
			if err := t.mayReach(f, int64(in.Offset)+int64(in.Length)); err != nil {
				return err
			}
		}
		return unix.Fallocate(f.fd, in.Mode, int64(in.Offset), int64(in.Length))
	}))
}

// mayReach is [tree.reaches] for a file as it is now.
func (t *tree) mayReach(f *openFile, size int64) error {
	if !f.upper {
		return nil // as reaches says, without asking
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return err
	}
	return t.reaches(f, &st, size)
}

// reaches is EFBIG where a private file would grow beyond what it could be filled
// with: holes are not charged, but a copy that lands on the host, or a comparison,
// would have to deal with all of them.
func (t *tree) reaches(f *openFile, st *unix.Stat_t, size int64) error {
	if !f.upper || size >= 0 && (size <= st.Size || size <= st.Blocks*512+t.quota.left()) {
		return nil
	}
	return unix.EFBIG
}

// charged does something to f and charges what it took.
func (t *tree) charged(f *openFile, do func() error) error {
	var before, after unix.Stat_t
	if err := unix.Fstat(f.fd, &before); err != nil {
		return err
	}
	err := do()
	if unix.Fstat(f.fd, &after) == nil {
		t.quota.add((after.Blocks - before.Blocks) * 512)
	}
	return err
}

// Lseek finds data and holes.
func (t *tree) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	n := t.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	f, err := t.acquire(n, false)
	if err != nil {
		return status(err)
	}
	defer t.files.release(f)
	off, err := unix.Seek(f.fd, int64(in.Offset), int(in.Whence))
	out.Offset = uint64(off)
	return status(err)
}
