package netstack

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readv and writev move one packet by a descriptor that does not block. The scheduler is
// not told of them: they are short, and it would begin to move other goroutines to other
// threads each time.

func readv(fd uintptr, iov []unix.Iovec) (int, unix.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_READV, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	return int(n), e
}

func writev(fd uintptr, iov []unix.Iovec) unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	return e
}
