package shadow

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// HostBase describes what (dir, name) is now: type, times, size and, up to 64 MiB,
// the sum of its content. The error is a bare errno; ENOENT when nothing is there.
func HostBase(dir int, name string) (*Base, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	b := baseOf(&st)
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		text, err := readlink(dir, name)
		if err != nil {
			return nil, err
		}
		b.Sum = sum([]byte(text))
	case st.Mode&unix.S_IFMT == unix.S_IFREG:
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return b, nil // unreadable: compared by inode, time and size
		}
		f := os.NewFile(uintptr(fd), name)
		defer f.Close()
		b.Attrs = AttrSum(fd)
		if st.Size > maxSum {
			break
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.LimitReader(f, maxSum)); err == nil {
			b.Sum = hex.EncodeToString(h.Sum(nil))
		}
	}
	return b, nil
}

// StatBase describes what has the status st, without its content.
func StatBase(st *unix.Stat_t) *Base { return baseOf(st) }

func baseOf(st *unix.Stat_t) *Base {
	return &Base{Ino: st.Ino, MTime: st.Mtim.Nano(), Size: st.Size, Mode: st.Mode}
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// CopyIn copies the file or symbolic link (dir, name) of the host to rel, with its
// base record first, so that the copy is never seen without it. An existing entry
// at rel is replaced. The parents must exist. admit, when not nil, is asked with the
// size before anything is copied; its error refuses the copy.
func (v *View) CopyIn(dir int, name, rel string, admit func(size int64) error) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if admit != nil {
		if err := admit(st.Size); err != nil {
			return err
		}
	}
	return v.copyOver(dir, name, &st, rel, func(t string, b *Base) (*Base, error) {
		if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size <= MaxKept {
			return b, v.keepContent(t, rel)
		}
		return b, nil
	})
}

// CopyNew is [View.CopyIn] without a base record: what the caller makes of the host next
// decides on it.
func (v *View) CopyNew(dir int, name, rel string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return v.copyOver(dir, name, &st, rel, func(string, *Base) (*Base, error) {
		return nil, errnoOf(v.SetBase(rel, nil))
	})
}

// copyOver copies (dir, name), which is st, to rel with the base that based makes of what was
// copied to (tmp, t).
func (v *View) copyOver(dir int, name string, st *unix.Stat_t, rel string, based func(t string, b *Base) (*Base, error)) error {
	t := v.TmpName()
	b, err := v.copyTo(dir, name, st, t)
	if err == nil {
		b, err = based(t, b)
	}
	if err != nil {
		unix.Unlinkat(v.tmp, t, 0)
		return err
	}
	return v.Place(t, rel, b)
}

// keepContent keeps the content of (tmp, t) as that of the base of rel.
func (v *View) keepContent(t, rel string) error {
	fd, err := unix.Openat(v.tmp, t, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.EACCES {
		return nil // its permissions are those of the host's file
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), t)
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxKept))
	if err != nil {
		return errnoOf(err)
	}
	return errnoOf(v.writeAt(v.base, baseName(rel)+kept, data))
}

// BaseContent is what the host's file held that b, the base of rel, describes. It is
// only known of files of at most [MaxKept] bytes.
func (v *View) BaseContent(rel string, b *Base) (data []byte, ok bool) {
	fd, err := unix.Openat(v.base, baseName(rel)+kept, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	f := os.NewFile(uintptr(fd), rel)
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, MaxKept+1))
	return data, err == nil && b != nil && sum(data) == b.Sum
}

// copyTo makes the copy in tmp and describes what was read.
func (v *View) copyTo(dir int, name string, st *unix.Stat_t, t string) (*Base, error) {
	b := baseOf(st)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		text, err := readlink(dir, name)
		if err != nil {
			return nil, err
		}
		b.Sum = sum([]byte(text))
		return b, unix.Symlinkat(text, v.tmp, t)
	case unix.S_IFREG:
	default:
		return nil, unix.EPERM
	}
	in, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	from := os.NewFile(uintptr(in), name)
	defer from.Close()
	out, err := unix.Openat(v.tmp, t, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	to := os.NewFile(uintptr(out), t)
	defer to.Close()
	h := sha256.New()
	w := &holer{f: to, dense: st.Blocks*512 >= st.Size}
	if _, err := io.CopyBuffer(io.MultiWriter(w, h), struct{ io.Reader }{from}, make([]byte, 64<<10)); err != nil {
		return nil, errnoOf(err)
	}
	if err := w.end(); err != nil {
		return nil, errnoOf(err)
	}
	b.Sum = hex.EncodeToString(h.Sum(nil))
	CopyXattrs(in, out)
	b.Attrs = AttrSum(in)
	if err := unix.Fchmod(out, st.Mode&0o777); err != nil {
		return nil, err
	}
	ts := []unix.Timespec{st.Atim, st.Mtim}
	return b, unix.UtimesNanoAt(v.tmp, t, ts, unix.AT_SYMLINK_NOFOLLOW)
}

// Place moves the finished (TmpDir, tmp) to rel, replacing what is there, after
// its base record; nil leaves an existing record alone. The parents must exist.
func (v *View) Place(tmp, rel string, b *Base) error {
	d, name, err := v.parent(rel)
	if err != nil {
		return err
	}
	defer unix.Close(d)
	if b != nil {
		if err := v.SetBase(rel, b); err != nil {
			return errnoOf(err)
		}
	}
	return v.swapIn(tmp, d, name)
}

// swapIn puts (tmp, t) at (d, name) in one step, whatever kind is there.
func (v *View) swapIn(t string, d int, name string) error {
	err := unix.Renameat(v.tmp, t, d, name)
	if err != unix.EISDIR && err != unix.ENOTDIR && err != unix.ENOTEMPTY && err != unix.EEXIST {
		return err
	}
	if err := unix.Renameat2(v.tmp, t, d, name, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	removeAt(v.tmp, t)
	return nil
}

// SetWhiteout makes rel not exist, whatever is there in shadow and host; b is what
// the host has, or nil. Base records of rel and below become meaningless and go.
func (v *View) SetWhiteout(rel string, b *Base) error {
	var below []string
	if e, err := v.Lookup(rel); err == nil && e.Kind == Dir {
		if err := v.walk(rel, func(e Entry) error { below = append(below, e.Path); return nil }); err != nil {
			return errnoOf(err)
		}
	}
	d, name, err := v.parent(rel)
	if err != nil {
		return err
	}
	defer unix.Close(d)
	t := v.TmpName()
	if err := unix.Symlinkat(whiteoutText(b), v.tmp, t); err != nil {
		return err
	}
	if err := v.swapIn(t, d, name); err != nil {
		unix.Unlinkat(v.tmp, t, 0)
		return err
	}
	for _, p := range append(below, rel) {
		if err := v.SetBase(p, nil); err != nil {
			return errnoOf(err)
		}
	}
	return nil
}

// MakeParents makes the directories above rel, so that something can be placed
// there; perm gives the permission bits of each new one. A parent that is no
// directory is ENOTDIR.
func (v *View) MakeParents(rel string, perm func(dir string) uint32) error {
	dir := path.Dir(rel)
	if dir == "." || dir == "/" {
		return nil
	}
	if fd, err := v.OpenDir(dir); err == nil {
		unix.Close(fd)
		return nil
	}
	if err := v.MakeParents(dir, perm); err != nil {
		return err
	}
	if err := v.MakeDir(dir, perm(dir), false); err != nil && err != unix.EEXIST {
		return err
	}
	fd, err := v.OpenDir(dir)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// MakeDir makes the directory rel in one step; an opaque one replaces a whiteout.
// Something else there is EEXIST.
func (v *View) MakeDir(rel string, perm uint32, opaque bool) error {
	d, name, err := v.parent(rel)
	if err != nil {
		return err
	}
	defer unix.Close(d)
	var st unix.Stat_t
	replace := false
	if err := unix.Fstatat(d, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		if replace = IsWhiteout(d, name, &st); !replace {
			return unix.EEXIST
		}
	}
	t := v.TmpName()
	if err := unix.Mkdirat(v.tmp, t, 0o700); err != nil {
		return err
	}
	mode := perm & 0o777
	if opaque {
		mode |= unix.S_ISUID
	}
	err = unix.Fchmodat(v.tmp, t, mode, 0)
	switch {
	case err != nil:
	case replace:
		err = v.swapIn(t, d, name)
	default:
		err = unix.Renameat2(v.tmp, t, d, name, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		removeAt(v.tmp, t)
	}
	return err
}

// IsWhiteout says whether (dir, name), whose status is st, is a whiteout.
func IsWhiteout(dir int, name string, st *unix.Stat_t) bool {
	if st.Mode&unix.S_IFMT != unix.S_IFLNK || st.Size < int64(len(whiteoutPrefix)) {
		return false
	}
	text, err := readlink(dir, name)
	return err == nil && IsWhiteoutText(text)
}

// WhiteoutRun is [IsWhiteout], and says for which run only it holds, "" for all.
func WhiteoutRun(dir int, name string, st *unix.Stat_t) (run string, ok bool) {
	if st.Mode&unix.S_IFMT != unix.S_IFLNK || st.Size < int64(len(whiteoutPrefix)) {
		return "", false
	}
	text, err := readlink(dir, name)
	if err != nil || !IsWhiteoutText(text) {
		return "", false
	}
	if !strings.Contains(text, `"run":`) {
		return "", true
	}
	if b := parseWhiteout(text); b != nil {
		run = b.Run
	}
	return run, true
}

// Rename moves the entry at from, with what is below, to the free or replaced
// place to; b is what the host has there. With keep the base records below move
// along (the host's directory moved together with what lies over it), else what is
// moved is new at its new place.
func (v *View) Rename(from, to string, b *Base, keep bool) error {
	moved := []string{}
	if e, err := v.Lookup(from); err == nil && e.Kind == Dir {
		if err := v.walk(from, func(e Entry) error { moved = append(moved, e.Path); return nil }); err != nil {
			return errnoOf(err)
		}
	}
	if err := v.SetBase(to, b); err != nil {
		return errnoOf(err)
	}
	for _, p := range moved {
		if !keep {
			break
		}
		old, err := v.Base(p)
		if err == nil && old != nil {
			now := to + strings.TrimPrefix(p, from)
			err = v.SetBase(now, old)
			_ = unix.Renameat(v.base, baseName(p)+kept, v.base, baseName(now)+kept)
		}
		if err != nil {
			return errnoOf(err)
		}
	}
	if err := v.move(from, to); err != nil {
		return err
	}
	for _, p := range append(moved, from) {
		if err := v.SetBase(p, nil); err != nil {
			return errnoOf(err)
		}
	}
	return nil
}

func (v *View) move(from, to string) error {
	sd, sn, err := v.parent(from)
	if err != nil {
		return err
	}
	defer unix.Close(sd)
	dd, dn, err := v.parent(to)
	if err != nil {
		return err
	}
	defer unix.Close(dd)
	var st unix.Stat_t
	if unix.Fstatat(dd, dn, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || !IsWhiteout(dd, dn, &st) {
		return unix.Renameat(sd, sn, dd, dn)
	}
	// A whiteout may stand where a directory goes: exchange, then take it away.
	if err := unix.Renameat2(sd, sn, dd, dn, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	return unix.Unlinkat(sd, sn, 0)
}

// SetOpaque makes the directory rel opaque.
func (v *View) SetOpaque(rel string) error {
	fd, err := v.OpenDir(rel)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return unix.Fchmod(fd, st.Mode&0o777|unix.S_ISUID)
}

// promise names records of files that must not outlive their maker.
const promise = "promise-"

// Promise records that rel, on the host, is unfinished work of the caller; if the
// caller dies before [View.Keep], [View.Promised] of a later one tells.
func (v *View) Promise(rel string) (mark string, err error) {
	mark = promise + v.TmpName()
	fd, err := unix.Openat(v.tmp, mark, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return mark, err
	}
	f := os.NewFile(uintptr(fd), mark)
	_, err = f.WriteString(rel) // who is killed in here has not made the file yet
	if err = errors.Join(err, f.Close()); err != nil {
		v.Keep(mark)
	}
	return mark, err
}

// Keep ends a promise: the file is gone or finished.
func (v *View) Keep(mark string) { _ = unix.Unlinkat(v.tmp, mark, 0) }

// Promised gives the paths that somebody who is dead by now left unfinished, and
// forgets them. It tells nothing while somebody else uses the view.
func (v *View) Promised() []string {
	defer unix.Flock(v.tmp, unix.LOCK_SH) // also after a failure, which drops the lock: flock(2)
	if unix.Flock(v.tmp, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	names, err := List(v.tmp)
	if err != nil {
		return nil
	}
	var out []string
	for _, n := range names {
		if !strings.HasPrefix(n, promise) {
			continue
		}
		fd, err := unix.Openat(v.tmp, n, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		f := os.NewFile(uintptr(fd), n)
		b, err := io.ReadAll(io.LimitReader(f, 1<<16))
		f.Close()
		if err == nil && len(b) > 0 {
			out = append(out, string(b))
		}
		v.Keep(n)
	}
	return out
}
