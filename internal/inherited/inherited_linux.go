package inherited

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Close closes every descriptor beyond last that came through an execve. What this
// process opened itself has the close-on-exec flag, as everything has that Go opens.
func Close(last int) error {
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
			unix.Close(fd)
		}
	}
	return nil
}
