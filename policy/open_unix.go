//go:build unix

package policy

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openFile opens a file for reading without waiting for a FIFO's writer.
func openFile(name string, follow bool) (*os.File, error) {
	flags := os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_CLOEXEC
	if !follow {
		flags |= syscall.O_NOFOLLOW
	}
	f, err := os.OpenFile(name, flags, 0)
	if errors.Is(err, syscall.ELOOP) && !follow {
		return nil, errors.New("it is a symbolic link, which is not followed here")
	}
	return f, err
}

// owner is the uid that owns a file.
func owner(fi fs.FileInfo) (int, bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// lockFolder waits until nobody else has locked dir, and locks it until unlock. The
// kernel drops the lock of who is killed.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
