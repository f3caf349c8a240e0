package terminal

import "golang.org/x/sys/unix"

// flushInput throws away what a terminal has received and nobody has read.
func flushInput(fd int) { _ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) }

// flushOutput throws away what a terminal has not shown yet.
func flushOutput(fd int) { _ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCOFLUSH) }
