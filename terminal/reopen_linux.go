package terminal

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// reopen opens the terminal or pipe behind fd once more for writing, so that this
// descriptor can be non-blocking: that mode belongs to an open file, which the
// caller's shell and other programs share.
func reopen(fd int) (int, error) {
	return unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}
