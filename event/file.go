package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

func recordPath(state, id string) string {
	return filepath.Join(state, recordsDir, id, eventsFile)
}

// newDir is the folder of a record that is being made.
func newDir(state, id string) string {
	return filepath.Join(state, recordsDir, ".new-"+id)
}

// goneDir is the folder of a record that is being removed.
func goneDir(state, id string) string {
	return filepath.Join(state, recordsDir, ".gone-"+id)
}

// validID says whether id may be the name of a folder.
func validID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return true
}

// lockWithin locks f as how says, waiting for at most d. Waiting is the kernel's:
// who came first is served first, however many wait. After an error the caller
// closes f: the lock may still be given to it.
func lockWithin(f *os.File, how int, d time.Duration) error {
	// The wait has a descriptor of its own, which nobody closes under it.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		done <- flockFD(fd, how)
		unix.Close(fd)
	}()
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C: // nothing but the lock itself ends a wait in flock(2)
		return fmt.Errorf("other processes have held %q for %v", f.Name(), d)
	}
}

func flock(f *os.File, how int) error { return flockFD(int(f.Fd()), how) }

func flockFD(fd, how int) error {
	for {
		err := unix.Flock(fd, how)
		if err != unix.EINTR {
			return err
		}
	}
}

// running says whether the process that writes the record f is alive.
func running(f *os.File) bool {
	if err := flock(f, unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return errors.Is(err, unix.EWOULDBLOCK)
	}
	_ = flock(f, unix.LOCK_UN)
	return false
}

// lastLine returns the last whole line of f, without its newline, and the offset
// behind it. The line is nil when there is none.
func lastLine(f *os.File) ([]byte, int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, err
	}
	for n := int64(16 << 10); ; n *= 4 {
		n = min(n, size)
		buf := make([]byte, n)
		if _, err := f.ReadAt(buf, size-n); err != nil {
			return nil, 0, err
		}
		end := bytes.LastIndexByte(buf, '\n')
		start := -1
		if end > 0 {
			start = bytes.LastIndexByte(buf[:end], '\n')
		}
		switch {
		case end >= 0 && (start >= 0 || n == size):
			return buf[start+1 : end], size - n + int64(end) + 1, nil
		case n == size:
			return nil, 0, nil
		case n > 2*maxLine:
			return nil, 0, fmt.Errorf("line longer than %d bytes", maxLine)
		}
	}
}
