package inherited

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Close closes every descriptor beyond last that came through an execve. What this
// process opened itself has the close-on-exec flag, as everything has that Go opens.
func Close(last int) error {
	return each(last, func(fd int) { _ = unix.Close(fd) })
}

// Keep gives every descriptor beyond last that came through an execve the close-on-exec
// flag, and returns what closes those that are not except, once nothing of this process
// reads them any more.
func Keep(last, except int) (letGo func(), err error) {
	var found []int
	err = each(last, func(fd int) {
		unix.CloseOnExec(fd)
		if fd != except {
			found = append(found, fd)
		}
	})
	return func() {
		for _, fd := range found {
			_ = unix.Close(fd)
		}
		found = nil
	}, err
}

// each calls f with the descriptors beyond last that came through an execve.
func each(last int, f func(fd int)) error {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range list {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= last {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			f(fd)
		}
	}
	return nil
}
