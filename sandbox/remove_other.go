//go:build unix && !linux

package sandbox

import "golang.org/x/sys/unix"

// openStep opens name in the folder dir and never what a link points to.
func openStep(dir int, name string, flags int) (int, error) {
	return unix.Openat(dir, name, flags, 0)
}

// mend gives us back the folder name in dir that we may not open.
func mend(dir int, name string) error {
	return unix.Fchmodat(dir, name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
}
