package workspace

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/workspace/shadow"
)

// openHost opens rel below the host's root. The error is a bare errno.
func (t *tree) openHost(rel string, flags int) (int, error) {
	return shadow.OpenBeneath(t.host, rel, flags)
}

// parent opens the directory of the host that holds rel.
func (t *tree) parent(rel string) (fd int, name string, err error) {
	dir, name := splitRel(rel)
	fd, err = t.openHost(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	return fd, name, err
}

// stat is lstat below the host's root; a missing parent is ENOENT.
func (t *tree) stat(rel string) (unix.Stat_t, error) {
	var st unix.Stat_t
	d, name, err := t.parent(rel)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return st, unix.ENOENT // a file or link stands where the folder would be
	}
	if err != nil {
		return st, err
	}
	defer func() { _ = unix.Close(d) }()
	return st, unix.Fstatat(d, name, &st, unix.AT_SYMLINK_NOFOLLOW)
}

func (t *tree) list(rel string) ([]string, error) {
	fd, err := t.openHost(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	return shadow.List(fd)
}

// hostBase describes what the host has at rel, nil when nothing. Where was is
// unchanged by inode, time and size, its sum is taken over: nothing is read.
func (t *tree) hostBase(rel string, was *shadow.Base) (*shadow.Base, error) {
	d, name, err := t.parent(rel)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(d) }()
	var st unix.Stat_t
	switch err := unix.Fstatat(d, name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == unix.ENOENT:
		return nil, nil
	case err != nil:
		return nil, err
	}
	if b := shadow.StatBase(&st); was != nil && b.Ino == was.Ino && b.MTime == was.MTime && b.Size == was.Size && (b.Mode^was.Mode)&unix.S_IFMT == 0 {
		b.Sum = was.Sum
		if kindOf(b.Mode) == KindFile {
			b.Attrs = attrsAt(d, name)
		}
		return b, nil
	}
	return shadow.HostBase(d, name)
}

// blocked says what to make of a place whose folders the host does not have, because
// a file or link stands there: why it may not go, empty when the sandbox has
// removed it.
func (t *tree) blocked(rel string) string {
	dir, _ := splitRel(rel)
	return t.walk.blocked.get(dir, func(dir, above string) string {
		if above != "" {
			return above
		}
		st, err := t.stat(dir)
		if err != nil || kindOf(st.Mode) == KindDir {
			return ""
		}
		e, err := t.view.Lookup(dir)
		if err != nil {
			return hostError(err)
		}
		return t.instead(e, st.Mode)
	})
}

// attrsAt stands for the extended attributes of (d, name), as [shadow.AttrSum].
func attrsAt(d int, name string) string {
	fd, err := unix.Openat(d, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	return shadow.AttrSum(fd)
}

// maxSum is the largest file whose content is compared, as in package shadow.
const maxSum = 64 << 20

// ownBase describes the shadow's entry for a comparison with now. The content of a
// file is read only when it could be the same: with one of another size, or one
// too large to compare, there is no sum, and it counts as changed.
func (t *tree) ownBase(e shadow.Entry, now *shadow.Base) (*shadow.Base, error) {
	switch e.Kind {
	case shadow.Symlink:
		s := sha256.Sum256([]byte(e.Target))
		return &shadow.Base{Mode: unix.S_IFLNK, Sum: hex.EncodeToString(s[:])}, nil
	case shadow.File:
	default:
		return &shadow.Base{}, nil
	}
	own := &shadow.Base{Mode: unix.S_IFREG | e.Perm, Size: e.Size}
	if now == nil || now.Mode&unix.S_IFMT != unix.S_IFREG || now.Size != e.Size || now.Sum == "" || e.Size > maxSum {
		return own, nil
	}
	f, err := t.view.OpenFile(e.Path)
	if errors.Is(err, os.ErrPermission) {
		return &shadow.Base{Mode: unix.S_IFREG}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	own.Attrs = shadow.AttrSum(int(f.Fd()))
	h := sha256.New()
	if n, err := io.Copy(h, io.LimitReader(f, maxSum+1)); err != nil || n != e.Size {
		return own, err // it is being written to
	}
	own.Sum = hex.EncodeToString(h.Sum(nil))
	return own, nil
}

// birth is when the shadow's directory was made; zero where the file system
// does not tell, so that everything on the host counts as changed since.
func (t *tree) birth(rel string) time.Time {
	fd, err := t.view.OpenDir(rel)
	if err != nil {
		return time.Time{}
	}
	defer func() { _ = unix.Close(fd) }()
	var x unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &x) != nil || x.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}
	}
	return time.Unix(x.Btime.Sec, int64(x.Btime.Nsec))
}

// makeParents makes the folders above rel on the host, with the shadow's modes.
func (t *tree) makeParents(rel string) error {
	dir, _ := splitRel(rel)
	if dir == "" || dir == "." {
		return nil
	}
	if fd, err := t.openHost(dir, unix.O_PATH|unix.O_DIRECTORY); err == nil {
		return unix.Close(fd)
	}
	if err := t.makeParents(dir); err != nil {
		return err
	}
	if err := t.clear(dir); err != nil {
		return err
	}
	return t.mkdir(dir)
}

func (t *tree) mkdir(rel string) error {
	perm := uint32(0o755)
	if e, err := t.view.Lookup(rel); err == nil && e.Kind == shadow.Dir {
		perm = e.Perm
	}
	d, name, err := t.parent(rel)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(d) }()
	if old, err := lstat(d, name); err != nil || old != nil {
		return err // the caller looked at it
	}
	like, err := t.view.OpenDir(rel)
	if err == nil {
		defer func() { _ = unix.Close(like) }()
	}
	if err := t.write(rel, nil, &state{Base: shadow.Base{Mode: unix.S_IFDIR | perm | 0o700}}); err != nil {
		return err
	}
	delete(t.states, rel)
	if err := t.newDir(rel, d, name, perm|0o700, like); err != nil {
		t.j.void()
		return err
	}
	return nil
}

// own gives what root made in dir to the folder's owner.
func own(fd int, name string, dir int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return err
	}
	return unix.Fchownat(fd, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW|emptyPath(name))
}

func emptyPath(name string) int {
	if name == "" {
		return unix.AT_EMPTY_PATH
	}
	return 0
}

func isDir(e shadow.Entry) bool { return e.Kind == shadow.Dir }

// listShadow lists a folder of the shadow.
func (t *tree) listShadow(dir string) ([]string, error) {
	fd, err := t.view.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	return shadow.List(fd)
}
