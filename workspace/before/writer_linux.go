package before

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/workspace/shadow"
)

// A Writer writes down what one run is about to change in one tree. Its methods are
// safe for concurrent use.
type Writer struct {
	name string // of the folder
	dir  int
	mode string
	copy CopyFile

	mu    sync.Mutex
	log   *os.File // nil before the first place
	seen  map[string]*seen
	n     int
	bytes int64
	full  bool
	ended bool

	busy atomic.Bool // something was written since the last pulse
}

type seen struct {
	made bool // nothing was there
	host bool // told that the host changed it
}

// CopyFile copies the file (dir, name) with permissions, times and attributes to the new
// name (to, as).
type CopyFile func(dir int, name string, to int, as string) error

// pulse is how far the log's time may be behind the run.
const pulse = time.Second

// RunName is the name of a run that begins now.
func RunName(unique string) string { return fmt.Sprintf("%016x-%s", time.Now().UnixNano(), unique) }

// NewWriter is for the view in the folder view of a shadow. The oldest runs go.
func NewWriter(view, run, mode string, copy CopyFile) (*Writer, error) {
	w := &Writer{name: filepath.Join(view, "before", run), mode: mode, copy: copy, seen: map[string]*seen{}}
	parent := filepath.Dir(w.name)
	err := os.MkdirAll(parent, 0o700)
	if err == nil {
		err = locked(parent, unix.LOCK_SH, func() (err error) {
			w.dir, err = claim(w.name)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("keep what undo needs: %w", err)
	}
	// Others who begin or clean up just now do so for us.
	_ = locked(parent, unix.LOCK_EX|unix.LOCK_NB, func() error { forgetOld(parent, run); return nil })
	return w, nil
}

// claim makes the folder of a run, which is told from those that have ended by its lock.
func claim(dir string) (fd int, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return -1, err
	}
	if fd, err = unix.Open(dir, dirFlags, 0); err != nil {
		return -1, err
	}
	if err := unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW

// locked calls f while the folder parent of all runs is locked: a run that begins shares
// it, so that nobody takes its folder for one that has ended before that has its own lock.
func locked(parent string, how int, f func() error) error {
	fd, err := unix.Open(parent, dirFlags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		switch err := unix.Flock(fd, how); err {
		case nil:
			return f()
		case unix.EINTR:
		default:
			return err
		}
	}
}

// Busy says that the run goes on to change what it has touched.
func (w *Writer) Busy() { w.busy.Store(true) }

// Keep writes down what the host has at (dir, name), which is rel, before it is
// touched for the first time. An error means that the place must not be touched.
func (w *Writer) Keep(rel string, dir int, name string) error {
	w.busy.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[rel] != nil || !w.admits(rel) {
		return nil
	}
	l := line{Path: []byte(rel)}
	var st unix.Stat_t
	switch err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err {
	case nil:
		l.Was = shadow.StatBase(&st)
	case unix.ENOENT:
	default:
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	if l.Was != nil {
		w.content(&l, dir, name, &st)
	}
	return w.first(l)
}

// New writes down that the host has nothing at each of the places.
func (w *Writer) New(rels ...string) error {
	w.busy.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []line
	for _, rel := range rels {
		if w.seen[rel] == nil && w.admits(rel) {
			lines = append(lines, line{Path: []byte(rel)})
		}
	}
	if len(lines) == 0 {
		return nil
	}
	if err := w.open(); err != nil {
		return err
	}
	return w.first(lines...)
}

// Made says whether the run made what is at rel, so that all below is new.
func (w *Writer) Made(rel string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seen[rel]
	return s != nil && s.made
}

// HostChanged notes that somebody on the host changed rel, if the run has touched it.
func (w *Writer) HostChanged(rel string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.seen[rel]; s != nil && !s.host && !w.ended {
		s.host = true
		_, _ = w.log.Write(line{Mark: Host, Path: []byte(rel)}.encode())
	}
}

// admits says whether one more place may be written down. With mu held.
func (w *Writer) admits(rel string) bool {
	if w.ended || w.full || rel == "" || len(rel) > 1<<15 {
		return false
	}
	if len(w.seen) < MaxPlaces {
		return true
	}
	w.full = true
	_, _ = w.log.Write(line{Mark: Full}.encode())
	return false
}

// first appends lines in one write, so that a kill cuts only the last.
func (w *Writer) first(lines ...line) error {
	var b []byte
	for _, l := range lines {
		b = append(b, l.encode()...)
	}
	if err := w.append(b); err != nil {
		return err
	}
	for _, l := range lines {
		w.seen[string(l.Path)] = &seen{made: l.Was == nil}
	}
	return nil
}

// append writes all of b or nothing.
func (w *Writer) append(b []byte) error {
	at, err := w.log.Seek(0, 2)
	if err != nil {
		return err
	}
	if _, err := w.log.Write(b); err != nil {
		_ = w.log.Truncate(at)
		return err
	}
	return nil
}

// content keeps the text of a link or the content of a file, or says why not.
func (w *Writer) content(l *line, dir int, name string, st *unix.Stat_t) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		b := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(dir, name, b)
		if err != nil {
			l.Lost = err.Error()
			return
		}
		l.Text = b[:n]
	case unix.S_IFREG:
		if err := w.file(l, dir, name, st); err != nil {
			l.Lost = err.Error()
		}
	case unix.S_IFDIR, unix.S_IFIFO:
	default:
		l.Lost = "it is a socket or a device"
	}
}

func (w *Writer) file(l *line, dir int, name string, st *unix.Stat_t) error {
	size := max(st.Size, st.Blocks*512)
	switch {
	case st.Blocks*512 > MaxFile || st.Size > MaxRun:
		return fmt.Errorf("it was larger than the %d MiB that are kept of one file", MaxFile>>20)
	case w.bytes+min(size, st.Blocks*512+4096) > MaxRun:
		return fmt.Errorf("the run had changed more than the %d MiB that are kept", MaxRun>>20)
	}
	if st.Size <= maxInline {
		if done, err := w.inline(l, dir, name, st); done || err != nil {
			return err
		}
	}
	blob := strconv.Itoa(w.n)
	w.n++
	for range 3 { // the host may be saving it
		_ = unix.Unlinkat(w.dir, blob, 0)
		if err := w.copy(dir, name, w.dir, blob); err != nil {
			_ = unix.Unlinkat(w.dir, blob, 0)
			return fmt.Errorf("it could not be read: %w", err)
		}
		var now unix.Stat_t
		if err := unix.Fstatat(dir, name, &now, unix.AT_SYMLINK_NOFOLLOW); err == nil && now.Ino == st.Ino && now.Size == st.Size && now.Mtim == st.Mtim {
			break
		}
	}
	l.Blob = blob
	w.bytes += st.Blocks * 512
	return nil
}

// inline puts a small content without attributes into the line; false where it has some.
func (w *Writer) inline(l *line, dir int, name string, st *unix.Stat_t) (bool, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("it could not be read: %w", err)
	}
	defer unix.Close(fd)
	if n, err := unix.Flistxattr(fd, nil); err == nil && n > 0 && shadow.AttrSum(fd) != "-" {
		return false, nil
	}
	b := make([]byte, st.Size+1)
	n, err := unix.Pread(fd, b, 0)
	if err != nil {
		return false, fmt.Errorf("it could not be read: %w", err)
	}
	if n > maxInline {
		return false, nil
	}
	l.Text = b[:n]
	w.bytes += int64(n)
	return true, nil
}

// open makes the log. With mu held.
func (w *Writer) open() error {
	if w.log != nil {
		return nil
	}
	fd, err := unix.Openat(w.dir, "log", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("keep what undo needs: %w", err)
	}
	log := os.NewFile(uintptr(fd), "log")
	if _, err := log.Write(append([]byte(head), line{Mark: Begun, Mode: w.mode}.encode()...)); err != nil {
		_ = unix.Unlinkat(w.dir, "log", 0)
		return errors.Join(fmt.Errorf("keep what undo needs: %w", err), log.Close())
	}
	w.log = log
	// A sandbox may have waited for its command: runs are in the order of what they change.
	// Where that fails it has the place that it had.
	if _, unique, ok := strings.Cut(w.name[strings.LastIndexByte(w.name, '/')+1:], "-"); ok {
		now := filepath.Join(filepath.Dir(w.name), RunName(unique))
		if unix.Renameat(unix.AT_FDCWD, w.name, unix.AT_FDCWD, now) == nil {
			w.name = now
		}
	}
	go w.beat()
	return nil
}

// beat keeps the log's time near that of the last change, until the process ends.
func (w *Writer) beat() {
	for range time.Tick(pulse) {
		if w.busy.Swap(false) {
			now := unix.NsecToTimespec(time.Now().UnixNano())
			_ = unix.UtimesNanoAt(w.dir, "log", []unix.Timespec{now, now}, unix.AT_SYMLINK_NOFOLLOW)
		}
	}
}

// End writes down how the run left each place, for which stat is asked; nil for nothing.
func (w *Writer) End(stat func(rel string) (*shadow.Base, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.log == nil {
		return os.Remove(w.name)
	}
	rels := make([]string, 0, len(w.seen))
	for rel := range w.seen {
		rels = append(rels, rel)
	}
	sort.Strings(rels)
	var b []byte
	var errs []error
	for _, rel := range rels {
		base, err := stat(rel)
		if err != nil {
			errs = append(errs, err)
			continue // undo goes by the time
		}
		b = append(b, line{Mark: Left, Path: []byte(rel), Was: base}.encode()...)
		if len(b) > 1<<20 {
			errs, b = append(errs, w.append(b)), nil
		}
	}
	b = append(b, line{Mark: Done}.encode()...)
	return errors.Join(append(errs, w.append(b))...)
}

// forgetOld removes the oldest runs that have ended, but for some, and those that
// changed nothing. Nobody begins meanwhile: parent is locked.
func forgetOld(parent, mine string) {
	ents, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	kept := 0
	for _, e := range slices.Backward(ents) {
		dir := filepath.Join(parent, e.Name())
		if e.Name() == mine {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, "log")); err == nil {
			if kept++; kept < KeepRuns { // with the one that begins
				continue
			}
		}
		fd, err := unix.Open(dir, dirFlags, 0)
		if err != nil {
			continue
		}
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		unix.Close(fd)
	}
}
