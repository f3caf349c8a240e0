//go:build unix && !linux

package terminal

import "golang.org/x/sys/unix"

// The queues of TIOCFLUSH.
const (
	fread  = 1
	fwrite = 2
)

// flushInput throws away what a terminal has received and nobody has read.
func flushInput(fd int) { _ = unix.IoctlSetPointerInt(fd, unix.TIOCFLUSH, fread) }

// flushOutput throws away what a terminal has not shown yet.
func flushOutput(fd int) { _ = unix.IoctlSetPointerInt(fd, unix.TIOCFLUSH, fwrite) }
