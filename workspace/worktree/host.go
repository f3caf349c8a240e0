package worktree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
	"golang.org/x/sys/unix"
)

// A folder is a tree on disk in which no symbolic link is followed: each step of a
// path is opened by its name in the folder before.
type folder struct {
	root int
	last string // the folder that is open, besides the root
	fd   int
}

const openDirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

func openFolder(dir string) (*folder, error) {
	fd, err := unix.Open(dir, openDirFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return &folder{root: fd, fd: -1}, nil
}

func (f *folder) close() {
	f.forget()
	_ = unix.Close(f.root)
}

func (f *folder) forget() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
		f.fd, f.last = -1, ""
	}
}

// dir gives the descriptor of a folder below the root, "." for itself; it is good until
// the next call. With mk what is missing is made.
func (f *folder) dir(rel string, mk bool) (int, error) {
	if rel == "." || rel == "" {
		return f.root, nil
	}
	if f.fd >= 0 && f.last == rel {
		return f.fd, nil
	}
	f.forget()
	at := f.root
	for name := range strings.SplitSeq(rel, "/") {
		next, err := unix.Openat(at, name, openDirFlags, 0)
		if errors.Is(err, unix.ENOENT) && mk {
			if err = unix.Mkdirat(at, name, 0o777); err == nil || errors.Is(err, unix.EEXIST) {
				next, err = unix.Openat(at, name, openDirFlags, 0)
			}
		}
		if at != f.root {
			_ = unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = next
	}
	f.fd, f.last = at, rel
	return at, nil
}

// A found is what a folder has under a name.
type found struct {
	stat unix.Stat_t
	kind uint32 // unix.S_IFMT of the mode; 0: nothing is there
}

// look says what is at a path. A folder that is missing, or a link or file in its
// place, means that nothing is there; blocked is the place where something else is.
func (f *folder) look(rel string) (l found, blocked bool, err error) {
	fd, err := f.dir(path.Dir(rel), false)
	switch {
	case errors.Is(err, unix.ENOENT):
		return l, false, nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return l, true, nil
	case err != nil:
		return l, false, err
	}
	err = unix.Fstatat(fd, path.Base(rel), &l.stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return l, false, nil
	}
	l.kind = uint32(l.stat.Mode) & unix.S_IFMT
	return l, false, err
}

// read reads a regular file or the text of a link, of at most limit bytes.
func (f *folder) read(rel string, l found, limit int64) ([]byte, error) {
	fd, err := f.dir(path.Dir(rel), false)
	if err != nil {
		return nil, err
	}
	if l.kind == unix.S_IFLNK {
		b := make([]byte, 8192)
		n, err := unix.Readlinkat(fd, path.Base(rel), b)
		if err != nil {
			return nil, err
		}
		return b[:n], nil
	}
	h, err := unix.Openat(fd, path.Base(rel), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(h), rel)
	defer file.Close()
	i, err := file.Stat()
	if err != nil || !i.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("it is no ordinary file"))
	}
	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = objects.ErrTooMuch
	}
	return b, err
}

// side says what git would make of what is at a path.
func (f *folder) side(rel string, hash int) (s side, blocked bool, err error) {
	l, blocked, err := f.look(rel)
	if err != nil || l.kind == 0 {
		return side{}, blocked, err
	}
	switch l.kind {
	case unix.S_IFDIR:
		return side{mode: modeDir}, false, nil
	case unix.S_IFLNK:
		s.mode = modeLink
	case unix.S_IFREG:
		if s.mode = modeFile; l.stat.Mode&0o100 != 0 {
			s.mode = modeExec
		}
	default:
		return side{mode: uint32(l.kind)}, false, nil // nothing that git has
	}
	b, err := f.read(rel, l, maxBlob)
	if err != nil {
		return side{}, false, err
	}
	s.id = objects.Sum(objects.Blob, b, hash)
	return s, false, nil
}

// put writes a file or a link, whole or not at all, in the place of what is no folder.
// A time that is not zero is when it was last changed.
func (f *folder) put(rel string, mode uint32, data []byte, at time.Time) error {
	fd, err := f.dir(path.Dir(rel), true)
	if err != nil {
		return err
	}
	tmp := tempName()
	if mode == modeLink {
		err = unix.Symlinkat(string(data), fd, tmp)
	} else {
		err = writeAt(fd, tmp, mode, data, at)
	}
	if err == nil {
		err = unix.Renameat(fd, tmp, fd, path.Base(rel))
	}
	if err != nil {
		_ = unix.Unlinkat(fd, tmp, 0)
	}
	return err
}

// errMoment says that a file is not what it was when it was looked at just before.
var errMoment = errors.New("it was changed in this very moment")

// replace is [folder.put] in the place of what was there, or of nothing: what comes out
// is looked at, and goes back if it is something else.
func (f *folder) replace(rel string, mode uint32, data []byte, was side, hash int) error {
	tmp := path.Join(path.Dir(rel), tempName())
	if err := f.put(tmp, mode, data, time.Time{}); err != nil {
		return err
	}
	err := f.swap(rel, tmp, was, hash)
	if fd, e := f.dir(path.Dir(rel), false); e == nil && !errors.Is(err, errAside) {
		_ = unix.Unlinkat(fd, path.Base(tmp), 0)
	}
	return err
}

// errAside says that what somebody saved could not be put back, and where it is.
var errAside = errors.New("what was there is now called")

func (f *folder) swap(rel, tmp string, was side, hash int) error {
	fd, err := f.dir(path.Dir(rel), false)
	if err != nil {
		return err
	}
	old := func(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) } // of a file system
	if !was.exists() {
		err := renameNew(fd, path.Base(tmp), path.Base(rel))
		switch {
		case errors.Is(err, unix.EEXIST):
			return errMoment
		case old(err):
			return unix.Renameat(fd, path.Base(tmp), fd, path.Base(rel))
		}
		return err
	}
	err = exchange(fd, path.Base(tmp), path.Base(rel))
	switch {
	case errors.Is(err, unix.ENOENT):
		return errMoment
	case old(err):
		return unix.Renameat(fd, path.Base(tmp), fd, path.Base(rel))
	case err != nil:
		return err
	}
	if out, _, err := f.side(tmp, hash); err == nil && out == was {
		return nil
	}
	if fd, err = f.dir(path.Dir(rel), false); err == nil {
		err = exchange(fd, path.Base(tmp), path.Base(rel))
	}
	if err != nil {
		return errors.Join(errMoment, fmt.Errorf("%w %s: %w", errAside, tmp, err))
	}
	return errMoment
}

func writeAt(fd int, name string, mode uint32, data []byte, at time.Time) error {
	perm := uint32(0o666)
	if mode == modeExec {
		perm = 0o777
	}
	h, err := unix.Openat(fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(h), name)
	_, err = file.Write(data)
	if err == nil && !at.IsZero() {
		tv := unix.NsecToTimeval(at.UnixNano())
		err = unix.Futimes(h, []unix.Timeval{tv, tv})
	}
	return errors.Join(err, file.Close())
}

// remove takes a file away, and folders that it leaves empty.
func (f *folder) remove(rel string) error {
	fd, err := f.dir(path.Dir(rel), false)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := unix.Unlinkat(fd, path.Base(rel), 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	for d := path.Dir(rel); d != "."; d = path.Dir(d) {
		fd, err := f.dir(path.Dir(d), false)
		if err != nil || unix.Unlinkat(fd, path.Base(d), unix.AT_REMOVEDIR) != nil {
			break
		}
		f.forget()
	}
	return nil
}
