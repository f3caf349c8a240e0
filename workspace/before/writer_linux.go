package before

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
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
	made  budget              // places at which nothing was
	was   budget              // all others: what a program makes takes nothing from them
	over  map[uint64]struct{} // places that were made beyond the budget, by their hash
	seed  maphash.Seed
	n     int
	bytes int64
	full  bool
	ended bool
	torn  int64 // bytes at the end of the log that are no line

	busy atomic.Bool   // something was written since the last pulse
	host atomic.Uint64 // see HostChanges
}

// A budget is what was written down of one kind of places.
type budget struct {
	places int
	bytes  int // of the log
}

type seen struct {
	made  bool // nothing was there
	host  bool // somebody on the host has changed it since it was kept
	again int  // how often it was kept anew after that
}

// errEnded is for a place that is touched for the first time while the server ends:
// nobody would know of it.
var errEnded error = unix.ESHUTDOWN

// CopyFile copies the file (dir, name) with permissions, times and attributes to the new
// name (to, as).
type CopyFile func(dir int, name string, to int, as string) error

// pulse is how far the log's time may be behind the run.
const pulse = time.Second

// RunName is the name of a run that begins now.
func RunName(unique string) string { return fmt.Sprintf("%016x-%s", time.Now().UnixNano(), unique) }

// NewWriter is for the view in the folder view of a shadow. The oldest runs go.
func NewWriter(view, run, mode string, copy CopyFile) (*Writer, error) {
	w := &Writer{name: filepath.Join(view, "before", run), mode: mode, copy: copy, seen: map[string]*seen{}, over: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
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
// touched for the first time, or again after somebody on the host has changed it. An
// error means that the place must not be touched.
func (w *Writer) Keep(rel string, dir int, name string) error { return w.keep(rel, dir, name, false) }

// KeepHidden is [Writer.Keep] of what the sandbox does not see: it must not get into
// what waits for it.
func (w *Writer) KeepHidden(rel string, dir int, name string) error {
	return w.keep(rel, dir, name, true)
}

func (w *Writer) keep(rel string, dir int, name string, hidden bool) error {
	w.busy.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.seen[rel]
	if old == nil && w.ended {
		return errEnded
	}
	if old != nil && (!old.host || old.again >= maxAgain) || !w.notes(rel) {
		return nil
	}
	l := line{Path: []byte(rel), Hidden: hidden}
	if old != nil {
		l.Mark = Again
	}
	var st unix.Stat_t
	switch err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err {
	case nil:
		l.Was = shadow.StatBase(&st)
	case unix.ENOENT:
	default:
		return err
	}
	if !w.admits(l) {
		return nil
	}
	if err := w.open(); err != nil {
		return err
	}
	if l.Was != nil {
		if err := w.content(&l, dir, name, &st); err != nil {
			return err
		}
	}
	return w.write(l)
}

// New writes down that the host has nothing at each of the places.
func (w *Writer) New(rels ...string) error { return w.absent(rels, false) }

// NewHidden is [Writer.New] of what the sandbox will not see there.
func (w *Writer) NewHidden(rels ...string) error { return w.absent(rels, true) }

func (w *Writer) absent(rels []string, hidden bool) error {
	w.busy.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []line
	for _, rel := range rels {
		if w.ended && w.seen[rel] == nil {
			return errEnded
		}
		if l := (line{Path: []byte(rel), Hidden: hidden}); w.seen[rel] == nil && w.notes(rel) && w.admits(l) {
			lines = append(lines, l)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	if err := w.open(); err != nil {
		return err
	}
	return w.write(lines...)
}

// Made says whether there was nothing at rel before the run.
func (w *Writer) Made(rel string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seen[rel]
	return s != nil && s.made
}

// Kept says whether rel was written down, and nobody on the host is known to have changed
// it since.
func (w *Writer) Kept(rel string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seen[rel]
	return s != nil && !s.host
}

// HostChanged notes that somebody on the host changed rel, if the run has touched it.
func (w *Writer) HostChanged(rel string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.seen[rel]; s != nil && !s.host && !w.ended {
		s.host = true
		w.host.Add(1)
		_ = w.append(line{Mark: Host, Path: []byte(rel)}.encode()) // else End says so
	}
}

// HostChanges counts what [Writer.HostChanged] was told of places that the run has
// touched: who writes through a descriptor that was open before asks for Keep again.
func (w *Writer) HostChanges() uint64 { return w.host.Load() }

// notes says whether rel is one that is written down at all. With mu held.
func (w *Writer) notes(rel string) bool {
	if w.ended || rel == "" || len(rel) > 1<<15 {
		return false
	}
	_, over := w.over[maphash.String(w.seed, rel)]
	return !over
}

// admits says whether there is room for l. With mu held.
func (w *Writer) admits(l line) bool {
	b := &w.was
	if l.Was == nil {
		b = &w.made
	}
	if b.places < MaxPlaces && b.bytes < maxLog {
		return true
	}
	if l.Was == nil && len(w.over) < maxOver {
		// Else, touched again, it would be taken for the user's, and use up his room.
		w.over[maphash.Bytes(w.seed, l.Path)] = struct{}{}
	}
	if !w.full {
		w.full = true
		_ = w.append(line{Mark: Full}.encode()) // else End says so
	}
	return false
}

// write appends lines in one write, so that a kill cuts only the last.
func (w *Writer) write(lines ...line) error {
	var b []byte
	var made, was budget
	for _, l := range lines {
		x := l.encode()
		b = append(b, x...)
		to := &was
		if l.Was == nil {
			to = &made
		}
		to.places++
		to.bytes += len(x)
	}
	if err := w.append(b); err != nil {
		return err
	}
	w.made.add(made)
	w.was.add(was)
	for _, l := range lines {
		s := &seen{made: l.Was == nil}
		if old := w.seen[string(l.Path)]; old != nil {
			s.again = old.again + 1
		}
		w.seen[string(l.Path)] = s
	}
	return nil
}

func (b *budget) add(c budget) { b.places, b.bytes = b.places+c.places, b.bytes+c.bytes }

// append writes all of b or nothing.
func (w *Writer) append(b []byte) error {
	at, err := w.log.Seek(0, 2)
	if err != nil {
		return err
	}
	if w.torn > 0 {
		if err := w.log.Truncate(at - w.torn); err != nil {
			return err
		}
		at, w.torn = at-w.torn, 0
	}
	if n, err := w.log.Write(b); err != nil {
		if w.log.Truncate(at) != nil {
			w.torn = int64(n)
		}
		return err
	}
	return nil
}

// content keeps the text of a link or the content of a file, or says why that is not
// kept. The error is of our own side: room, descriptors, a disk.
func (w *Writer) content(l *line, dir int, name string, st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		b := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(dir, name, b)
		l.Text = b[:max(n, 0)]
		return err
	case unix.S_IFREG:
		err := w.file(l, dir, name, st)
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			l.Lost = "it could not be read: " + err.Error()
			return nil
		}
		return err
	case unix.S_IFDIR, unix.S_IFIFO:
	default:
		l.Lost = "it is a socket or a device"
	}
	return nil
}

func (w *Writer) file(l *line, dir int, name string, st *unix.Stat_t) error {
	size := max(st.Size, st.Blocks*512)
	switch {
	case st.Blocks*512 > MaxFile || st.Size > MaxRun:
		l.Lost = fmt.Sprintf("it was larger than the %d MiB that are kept of one file", MaxFile>>20)
		return nil
	case w.bytes+min(size, st.Blocks*512+4096) > MaxRun:
		l.Lost = fmt.Sprintf("the run had changed more than the %d MiB that are kept", MaxRun>>20)
		return nil
	}
	if st.Size <= maxInline && w.was.bytes < maxLog/2 {
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
			return err
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
		return false, err
	}
	defer unix.Close(fd)
	if n, err := unix.Flistxattr(fd, nil); err == nil && n > 0 && shadow.AttrSum(fd) != "-" {
		return false, nil
	}
	b := make([]byte, st.Size+1)
	n, err := unix.Pread(fd, b, 0)
	if err != nil {
		return false, err
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
	if w.full { // said again: there may have been no room
		b = append(b, line{Mark: Full}.encode()...)
	}
	for _, rel := range rels {
		if w.seen[rel].host {
			b = append(b, line{Mark: Host, Path: []byte(rel)}.encode()...)
		}
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
	ended := func(e os.DirEntry) (at int64) { // 0: it changed nothing
		if st, err := os.Lstat(filepath.Join(parent, e.Name(), "log")); err == nil {
			at = st.ModTime().UnixNano()
		}
		return at
	}
	// By their ends: one that was started ahead is older than it looks.
	slices.SortStableFunc(ents, func(a, b os.DirEntry) int { return cmp.Compare(ended(a), ended(b)) })
	kept := 0
	for _, e := range slices.Backward(ents) {
		dir := filepath.Join(parent, e.Name())
		if e.Name() == mine {
			continue
		}
		if ended(e) != 0 {
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
