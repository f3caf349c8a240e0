package shadow

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxSum is the largest file whose content is summed for its base.
const maxSum = 64 << 20

// A View is the shadow of one tree. Its methods are safe for concurrent use, also
// by several processes. Paths are relative, with slashes; "" is the top.
type View struct {
	Source               string // real path of the tree on the host
	dir, tree, base, tmp int
}

// Close releases the descriptors.
func (v *View) Close() error {
	for _, fd := range []int{v.dir, v.tree, v.base, v.tmp} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	return nil
}

// Walk calls fn for every entry, parents before children, names in byte order.
// The top itself is not told. When fn returns fs.SkipDir for a directory, what is
// below is left out; any other error ends the walk.
func (v *View) Walk(fn func(Entry) error) error {
	return v.walk("", fn)
}

func (v *View) walk(rel string, fn func(Entry) error) error {
	fd, err := v.OpenDir(rel)
	if err != nil {
		return fmt.Errorf("walk shadow %q: %w", rel, err)
	}
	names, err := List(fd)
	unix.Close(fd)
	if err != nil {
		return fmt.Errorf("walk shadow %q: %w", rel, err)
	}
	for _, n := range names {
		e, err := v.Lookup(path.Join(rel, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = fn(e)
		if err == fs.SkipDir {
			continue
		}
		if err == nil && e.Kind == Dir {
			err = v.walk(e.Path, fn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Lookup tells what the shadow holds at rel; fs.ErrNotExist when nothing.
func (v *View) Lookup(rel string) (Entry, error) {
	d, name, err := v.parent(rel)
	if err != nil {
		return Entry{}, &fs.PathError{Op: "look up", Path: rel, Err: err}
	}
	defer unix.Close(d)
	var st unix.Stat_t
	if err := unix.Fstatat(d, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Entry{}, &fs.PathError{Op: "look up", Path: rel, Err: err}
	}
	e := Entry{Path: rel, Perm: st.Mode & 0o777, ModTime: time.Unix(st.Mtim.Unix())}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Kind, e.Size = File, st.Size
	case unix.S_IFDIR:
		e.Kind, e.Opaque = Dir, st.Mode&unix.S_ISUID != 0
		return e, nil
	case unix.S_IFLNK:
		text, err := readlink(d, name)
		if err != nil {
			return Entry{}, &fs.PathError{Op: "look up", Path: rel, Err: err}
		}
		e.Kind, e.Target = Symlink, text
		if IsWhiteoutText(text) {
			e.Kind, e.Target, e.Base = Whiteout, "", parseWhiteout(text)
			return e, nil
		}
	default:
		e.Kind = Special
	}
	e.Base, err = v.Base(rel)
	return e, err
}

// OpenFile opens the private copy of the file at rel for reading.
func (v *View) OpenFile(rel string) (*os.File, error) {
	fd, err := OpenBeneath(v.tree, rel, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: rel, Err: err}
	}
	return os.NewFile(uintptr(fd), rel), nil
}

// Base gives the base record of rel, nil when there is none.
func (v *View) Base(rel string) (*Base, error) {
	fd, err := unix.Openat(v.base, baseName(rel), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read base of %q: %w", rel, err)
	}
	f := os.NewFile(uintptr(fd), rel)
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, fmt.Errorf("read base of %q: %w", rel, err)
	}
	p, b, err := decodeRecord(data)
	if err != nil || p != rel {
		return nil, fmt.Errorf("read base of %q: %w", rel, errors.Join(ErrFormat, err))
	}
	return &b, nil
}

// SetBase writes the base record of rel; nil removes it.
func (v *View) SetBase(rel string, b *Base) error {
	if b == nil {
		_ = unix.Unlinkat(v.base, baseName(rel)+kept, 0)
		if err := unix.Unlinkat(v.base, baseName(rel), 0); err != nil && err != unix.ENOENT {
			return fmt.Errorf("drop base of %q: %w", rel, err)
		}
		return nil
	}
	if err := v.writeAt(v.base, baseName(rel), encodeRecord(rel, *b)); err != nil {
		return fmt.Errorf("write base of %q: %w", rel, err)
	}
	return nil
}

// Remove forgets what the shadow holds at rel, and everything below it, with the
// base records. Parents stay. Nothing there is no error.
func (v *View) Remove(rel string) error {
	if rel == "" {
		return errors.New("remove shadow: the top cannot be removed")
	}
	e, err := v.Lookup(rel)
	if errors.Is(err, fs.ErrNotExist) {
		return v.SetBase(rel, nil)
	}
	if err != nil {
		return err
	}
	var below []string
	if e.Kind == Dir {
		if err := v.walk(rel, func(e Entry) error { below = append(below, e.Path); return nil }); err != nil {
			return err
		}
	}
	d, name, err := v.parent(rel)
	if err != nil {
		return fmt.Errorf("remove shadow %q: %w", rel, err)
	}
	defer unix.Close(d)
	if e.Kind != Dir {
		err = unix.Unlinkat(d, name, 0)
	} else {
		// One rename takes it out of the tree, so that no half of it is ever seen.
		t := v.TmpName()
		if err = unix.Renameat(d, name, v.tmp, t); err == nil {
			removeAt(v.tmp, t)
		}
	}
	if err != nil {
		return fmt.Errorf("remove shadow %q: %w", rel, err)
	}
	for _, b := range append(below, rel) {
		if err := v.SetBase(b, nil); err != nil {
			return err
		}
	}
	return nil
}

// Prune removes directories that hold nothing, are not opaque and have no base
// record, from rel upwards. It is for those who removed the last thing below.
func (v *View) Prune(rel string) {
	for ; rel != "" && rel != "."; rel = path.Dir(rel) {
		e, err := v.Lookup(rel)
		if err != nil || e.Kind != Dir || e.Opaque {
			return
		}
		if b, err := v.Base(rel); err != nil || b != nil {
			return // its permissions were changed
		}
		d, name, err := v.parent(rel)
		if err != nil {
			return
		}
		err = unix.Unlinkat(d, name, unix.AT_REMOVEDIR)
		unix.Close(d)
		if err != nil {
			return
		}
	}
}

// Above tells what decides on rel from above: the nearest opaque folder, and what stands
// where a folder should be (a whiteout, a file); each empty without one. It walks down
// once, so that it takes as many steps as rel has levels.
func (v *View) Above(rel string) (opaque, instead string) {
	at := v.tree
	defer func() {
		if at != v.tree {
			unix.Close(at)
		}
	}()
	for i := 0; i < len(rel); i++ {
		if rel[i] != '/' {
			continue
		}
		dir := rel[:i]
		name := dir[strings.LastIndexByte(dir, '/')+1:]
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return opaque, ""
		}
		if at != v.tree {
			unix.Close(at)
		}
		at = next
		var st unix.Stat_t
		switch err := unix.Fstat(at, &st); {
		case err != nil:
			return opaque, ""
		case st.Mode&unix.S_IFMT != unix.S_IFDIR:
			return opaque, dir
		case st.Mode&unix.S_ISUID != 0:
			opaque = dir
		}
	}
	return opaque, ""
}

// parent opens the directory that holds rel.
func (v *View) parent(rel string) (fd int, name string, err error) {
	dir, name := path.Split(rel)
	fd, err = v.OpenDir(strings.TrimSuffix(dir, "/"))
	return fd, name, err
}

// OpenDir opens the directory at rel inside the tree without following any
// symbolic link; the error is a bare errno.
func (v *View) OpenDir(rel string) (int, error) {
	return OpenBeneath(v.tree, rel, unix.O_RDONLY|unix.O_DIRECTORY)
}

// writeAt puts data at (dir, name) by a rename.
func (v *View) writeAt(dir int, name string, data []byte) error {
	t := v.TmpName()
	fd, err := unix.Openat(v.tmp, t, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), t)
	_, err = io.Copy(f, bytes.NewReader(data))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = unix.Renameat(v.tmp, t, dir, name)
	}
	if err != nil {
		unix.Unlinkat(v.tmp, t, 0)
	}
	return err
}

// TmpName makes a name for unfinished work in [View.TmpDir].
func (v *View) TmpName() string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// TreeDir is the descriptor of the top of the private copies.
func (v *View) TreeDir() int { return v.tree }

// TmpDir is the descriptor of the folder for unfinished work, on the same file
// system as the tree.
func (v *View) TmpDir() int { return v.tmp }

func baseName(rel string) string {
	h := sha256.Sum256([]byte(rel))
	return hex.EncodeToString(h[:])
}
