package sandbox

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockFile opens path and takes its lock, or fails at once when somebody holds it.
func lockFile(path string) (*os.File, error) { return lockWith(path, unix.LOCK_NB) }

// waitLock opens path and waits for its lock.
func waitLock(path string) (*os.File, error) { return lockWith(path, 0) }

func lockWith(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, short("open", path, err)
	}
	if err := flock(f, unix.LOCK_EX|flags); err != nil {
		f.Close()
		return nil, short("lock", path, err)
	}
	return f, nil
}

// held says whether somebody holds the lock of path. Where that cannot be known there is
// an error: what is not held is removed.
func held(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// flock waits on when a signal comes, such as the runtime's own.
func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func ownedByUs(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to uid %d", st.Uid)
	}
	return nil
}

// fileKey tells one version of a file from every other one.
func fileKey(fi os.FileInfo) string {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprint(st.Dev, st.Ino, fi.Size(), fi.ModTime().UnixNano())
}
