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

// lockWithin locks f exclusively, trying for at most d.
func lockWithin(f *os.File, d time.Duration) error {
	end := time.Now().Add(d)
	for wait := 100 * time.Microsecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("another process holds %q for %v", f.Name(), d)
		}
		time.Sleep(wait)
	}
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
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
