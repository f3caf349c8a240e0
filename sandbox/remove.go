package sandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const (
	maxLift  = 64  // folders moved up at a time: few at once keep the top folder small
	maxStuck = 100 // what cannot be removed, before the rest is left for the next time
	maxShown = 200 // bytes of a path in an error
)

// removeTree removes path whatever the sandbox left in it: any depth, any mode of
// its own folders. It follows no link below path's parent and enters no mount. What
// it can remove it removes, also when something else is stuck. Nothing there is no
// error.
func removeTree(path string) error {
	parent, err := unix.Open(filepath.Dir(path), dirFlags, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return short("open", filepath.Dir(path), err)
	}
	defer unix.Close(parent)
	return removeAt(parent, filepath.Base(path), path)
}

// removeBelow is [removeTree] for rel in the folder top, following no link below top.
func removeBelow(top, rel string) error {
	fd, err := unix.Open(top, dirFlags, 0)
	if err != nil {
		return short("open", top, err)
	}
	defer func() { unix.Close(fd) }()
	if dir := filepath.Dir(rel); dir != "." {
		for _, name := range strings.Split(dir, "/") {
			next, err := openDir(fd, name)
			if errors.Is(err, unix.ENOENT) {
				return nil
			}
			if err != nil {
				return short("open", filepath.Join(top, rel), err)
			}
			unix.Close(fd)
			fd = next
		}
	}
	return removeAt(fd, filepath.Base(rel), filepath.Join(top, rel))
}

// A remover empties one folder, the top. Paths in a hostile tree can be longer than
// the kernel takes, and a descriptor for each level more than we may have: folders
// that are not empty are moved up into the top under a fresh name instead, so that
// all work is done on names in the top and on names in its children.
type remover struct {
	top    *os.File
	path   string // of top, for errors
	prefix string // of the fresh names; the sandbox cannot guess it
	seq    int
	stuck  map[string]bool // names in top that cannot be removed
	errs   []error
}

// removeAt removes name in the folder parent; path is what errors call it.
func removeAt(parent int, name, path string) error {
	full, err := remove(parent, name)
	if err != nil {
		return short("remove", path, err)
	}
	if !full {
		return nil
	}
	fd, err := openDir(parent, name)
	if err != nil {
		return short("remove", path, err)
	}
	r := &remover{top: os.NewFile(uintptr(fd), path), path: path, prefix: ".rm-" + rand.Text() + "-", stuck: map[string]bool{}}
	defer r.top.Close()
	r.empty()
	if len(r.errs) > 0 {
		return errors.Join(r.errs...)
	}
	if err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return short("remove", path, err)
	}
	return nil
}

// empty removes everything in top that can be removed.
func (r *remover) empty() {
	for len(r.stuck) < maxStuck {
		v := r.visit(r.top, "", func(name string) (string, error) { return name, nil })
		if v.err != nil {
			r.note("", v.err) // top itself cannot be changed or read
			return
		}
		if len(v.lifted) == 0 && !v.progress {
			return
		}
		// Last in, first out: what was moved up goes before more is moved up.
		for todo := v.lifted; len(todo) > 0 && len(r.stuck) < maxStuck; {
			name := todo[len(todo)-1]
			more := r.child(name)
			if len(more) == 0 {
				todo = todo[:len(todo)-1]
			}
			todo = append(todo, more...)
		}
	}
}

// child works on the folder name in top and says which folders came up from it. It
// says none when name is gone or stuck.
func (r *remover) child(name string) []string {
	for {
		full, err := remove(r.fd(), name)
		if err == nil && !full {
			return nil
		}
		var dir *os.File
		if err == nil {
			dir, err = openFile(r.fd(), name)
		}
		if err != nil {
			r.stuck[name] = true
			r.note(name, err)
			return nil
		}
		v := r.deepen(dir, name)
		if len(v.lifted) > 0 {
			return v.lifted
		}
		if !v.progress {
			r.stuck[name] = true
			r.note(v.name, v.err)
			return nil
		}
	}
}

// deepen visits dir and closes it. Where nothing can be moved up (the disk is full,
// say) it goes down until something can be removed, which makes room.
func (r *remover) deepen(dir *os.File, name string) visited {
	for {
		v := r.visit(dir, name, func(child string) (string, error) { return r.lift(int(dir.Fd()), child) })
		if len(v.lifted) > 0 || v.progress || v.blocked == "" {
			dir.Close()
			return v
		}
		next, err := openFile(int(dir.Fd()), v.blocked)
		dir.Close()
		if err != nil {
			return v
		}
		dir, name = next, "…"
	}
}

// visited is what became of one look at a folder.
type visited struct {
	lifted   []string // names in top
	progress bool     // something is gone
	blocked  string   // a folder in it that is not empty and could not be moved up
	name     string   // what err is about
	err      error    // the first thing that is stuck
}

// visit removes what it can from dir, called name in errors, and gives at most
// maxLift folders that are not empty to lift.
func (r *remover) visit(dir *os.File, name string, lift func(string) (string, error)) visited {
	var v visited
	fail := func(child string, err error) {
		if v.err == nil {
			v.name, v.err = filepath.Join(name, child), err
		}
	}
	top := dir == r.top
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		fail("", err)
		return v
	}
	for {
		names, err := dir.Readdirnames(512)
		for _, n := range names {
			if top && r.stuck[n] {
				continue
			}
			full, err := remove(int(dir.Fd()), n)
			if err == nil && !full {
				v.progress = true
				continue
			}
			up := ""
			if err == nil {
				if up, err = lift(n); err != nil {
					v.blocked = n
				}
			}
			switch {
			case err == nil:
				v.lifted = append(v.lifted, up)
			case top:
				r.stuck[n] = true
				r.note(n, err)
			default:
				fail(n, err)
			}
			if len(v.lifted) == maxLift || len(r.stuck) >= maxStuck {
				return v
			}
		}
		if errors.Is(err, io.EOF) {
			return v
		}
		if err != nil {
			fail("", err)
			return v
		}
	}
}

// lift moves the folder name in dir into top and says under which name.
func (r *remover) lift(dir int, name string) (string, error) {
	r.seq++
	up := fmt.Sprint(r.prefix, r.seq)
	err := unix.Renameat(dir, name, r.fd(), up)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		// A folder that we may not write cannot change its parent: opening mends it.
		fd, oerr := openDir(dir, name)
		if oerr != nil {
			return "", err
		}
		unix.Close(fd)
		err = unix.Renameat(dir, name, r.fd(), up)
	}
	return up, err
}

func (r *remover) fd() int { return int(r.top.Fd()) }

func (r *remover) note(name string, err error) {
	const enough = 3
	switch {
	case len(r.errs) < enough:
		r.errs = append(r.errs, short("remove", filepath.Join(r.path, name), err))
	case len(r.errs) == enough:
		r.errs = append(r.errs, fmt.Errorf("remove %q: there is more", cut(r.path)))
	}
}

// remove removes name in the folder dir unless it is a folder that holds something,
// or one that does not tell.
func remove(dir int, name string) (full bool, err error) {
	err = unix.Unlinkat(dir, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	derr := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	switch {
	case derr == nil, errors.Is(derr, unix.ENOENT):
		return false, nil
	case errors.Is(derr, unix.ENOTEMPTY), errors.Is(derr, unix.EEXIST), errors.Is(derr, unix.EACCES):
		return true, nil
	case errors.Is(derr, unix.ENOTDIR):
		return false, err
	}
	return false, derr
}

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC

// openDir opens the folder name in the folder dir, which may be no link and no
// mount, and makes it ours to read and to change.
func openDir(dir int, name string) (int, error) {
	fd, err := openStep(dir, name, dirFlags|unix.O_NOFOLLOW)
	if errors.Is(err, unix.EACCES) {
		if merr := mend(dir, name); merr != nil {
			return -1, err
		}
		fd, err = openStep(dir, name, dirFlags|unix.O_NOFOLLOW)
	}
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Mode&0o700 != 0o700 {
		_ = unix.Fchmod(fd, 0o700) // of a folder that is not ours: what follows says so
	}
	return fd, nil
}

func openFile(dir int, name string) (*os.File, error) {
	fd, err := openDir(dir, name)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "folder"), nil
}

// short is err about path, without the rest of a path that may fill the screen or
// hold what a terminal obeys.
func short(op, path string, err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	if le := (*os.LinkError)(nil); errors.As(err, &le) {
		err = le.Err
	}
	if se := (*os.SyscallError)(nil); errors.As(err, &se) {
		err = se.Err
	}
	return fmt.Errorf("%s %q: %w", op, cut(path), err)
}

// cut is at most maxShown bytes of path.
func cut(path string) string {
	if len(path) <= maxShown {
		return path
	}
	n := maxShown - len("…")
	for n > 0 && !utf8.RuneStart(path[n]) {
		n--
	}
	return path[:n] + "…"
}
