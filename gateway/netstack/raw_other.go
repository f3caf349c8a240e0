//go:build !linux

package netstack

import "golang.org/x/sys/unix"

// There are no links elsewhere.

func readv(uintptr, []unix.Iovec) (int, unix.Errno) { return 0, unix.ENOSYS }
func writev(uintptr, []unix.Iovec) unix.Errno       { return unix.ENOSYS }
