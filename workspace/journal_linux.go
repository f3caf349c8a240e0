package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/workspace/shadow"
)

// journalDir is where a project's journals are.
func (p Project) journalDir(name string) string {
	return filepath.Join(filepath.Dir(p.Shadow), "undo", name)
}

// A journal is one that is written to. It comes into being with its first step.
type journal struct {
	p   Project
	dir string // empty before the first step
	log *os.File
	fd  int  // of dir
	n   int  // blobs
	any bool // a step was written
	far bool
}

// open makes the folder.
func (j *journal) open() error {
	if j.log != nil {
		return nil
	}
	dir := j.p.journalDir("next")
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = log.WriteString(journalHead)
	}
	if err != nil {
		_ = log.Close()
		return err
	}
	j.dir, j.log, j.fd = dir, log, fd
	return nil
}

// write writes a step down, before it is taken.
func (j *journal) write(s step) error {
	if err := j.open(); err != nil {
		return fmt.Errorf("keep what undo needs: %w", err)
	}
	j.any = true
	if _, err := j.log.Write(s.encode()); err != nil {
		return fmt.Errorf("keep what undo needs: %w", err)
	}
	return nil
}

// void says that the step that was written last was not taken.
func (j *journal) void() { _, _ = j.log.Write(step{Void: true}.encode()) }

// save keeps what (d, name) holds; nil when it holds nothing.
func (j *journal) save(d int, name string) (*state, error) {
	s, err := stateAt(d, name)
	if err != nil || s == nil || s.Mode&unix.S_IFMT != unix.S_IFREG {
		return s, err
	}
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("keep what undo needs: %w", err)
	}
	s.Blob = fmt.Sprintf("%x", j.n)
	j.n++
	if err := keepFile(d, name, j.fd, s.Blob); err != nil {
		return nil, fmt.Errorf("keep what undo needs: %w", err)
	}
	return s, nil
}

// errFar says that the journal is on another file system.
var errFar = errors.New("the journal is on another file system")

// take moves the file (d, name), which was old when it was looked at, into the journal,
// where write says so first.
func (j *journal) take(d int, name string, old *unix.Stat_t, write func(before *state) error) error {
	if err := j.open(); err != nil {
		return fmt.Errorf("keep what undo needs: %w", err)
	}
	if j.far {
		return errFar
	}
	s := &state{Base: *shadow.StatBase(old), Blob: fmt.Sprintf("%x", j.n), Moved: true}
	j.n++
	if err := write(s); err != nil {
		return err
	}
	err := unix.Renameat2(d, name, j.fd, s.Blob, unix.RENAME_NOREPLACE)
	if err == unix.EXDEV || err == unix.EINVAL || err == unix.ENOSYS {
		j.far, err = true, errFar
	}
	if err == nil {
		if now, e := lstat(j.fd, s.Blob); e != nil || !unchanged(old, now) {
			err = errors.Join(errConflict, unix.Renameat2(j.fd, s.Blob, d, name, unix.RENAME_NOREPLACE), e)
		}
	}
	if err != nil {
		j.void()
	}
	return err
}

// close makes the journal the one of the last apply, if that has done anything.
func (j *journal) close() error {
	if j.log == nil {
		return nil
	}
	err := j.log.Close()
	_ = unix.Close(j.fd)
	if err != nil {
		return err
	}
	if !j.any {
		return os.RemoveAll(j.dir)
	}
	return j.p.finish("next", "last")
}

// finish makes a journal the one of that name. The one before is forgotten.
func (p Project) finish(name, as string) error {
	gone := p.journalDir("gone")
	last := p.journalDir(as)
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	if err := os.Rename(last, gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(p.journalDir(name), last); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// finished is the newest journal that undo may take, and when it was finished.
func (p Project) finished() (name string, at time.Time) {
	for _, n := range []string{"last", "rest"} {
		if st, err := os.Stat(filepath.Join(p.journalDir(n), "log")); err == nil && (name == "" || st.ModTime().After(at)) {
			name, at = n, st.ModTime()
		}
	}
	return name, at
}

// stateAt describes (d, name), nil when nothing is there.
func stateAt(d int, name string) (*state, error) {
	b, err := shadow.HostBase(d, name)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &state{Base: *b}
	switch b.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFIFO:
	case unix.S_IFLNK:
		text := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(d, name, text)
		if err != nil {
			return nil, err
		}
		s.Target = text[:n]
	default:
		return nil, errors.New("a socket or device is there, which could not be brought back")
	}
	return s, nil
}

// same says whether two states are one: for a folder only its kind and permissions.
func (s *state) same(now *state) bool {
	if s == nil || now == nil {
		return s == nil && now == nil
	}
	kind := s.Mode & unix.S_IFMT
	if now.Mode&unix.S_IFMT != kind || kind != unix.S_IFLNK && (s.Mode^now.Mode)&0o777 != 0 {
		return false
	}
	return kind == unix.S_IFDIR || kind == unix.S_IFIFO || s.Base.Same(&now.Base) && s.SameAttrs(&now.Base)
}

func (s *state) kind() FileKind { return kindOf(s.Mode) }

// keepFile copies the file (d, name), with attributes and times, to (to, blob).
func keepFile(d int, name string, to int, blob string) error {
	in, err := unix.Openat(d, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	from := os.NewFile(uintptr(in), name)
	defer func() { _ = from.Close() }()
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errConflict
	}
	out, err := unix.Openat(to, blob, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(out), blob)
	defer func() { _ = f.Close() }()
	if err := shadow.CopySparse(f, from); err != nil {
		return err
	}
	shadow.CopyXattrs(in, out)
	return unix.UtimesNanoAt(to, blob, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}
