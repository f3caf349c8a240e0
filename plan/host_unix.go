//go:build unix

package plan

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openRegular opens a regular file; it does not block on a pipe.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// canExecute says whether this process may execute p.
func canExecute(p string) bool { return unix.Access(p, unix.X_OK) == nil }

// owner is the uid that owns p itself, -1 when it cannot be told.
func owner(p string) int {
	st, err := os.Lstat(p)
	if err != nil {
		return -1
	}
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}
