package sandbox

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// openStep opens name in the folder dir and never what is mounted there or what a
// link points to.
func openStep(dir int, name string, flags int) (int, error) {
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   uint64(flags),
		Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		// Some containers forbid openat2. A mount that is entered then is one that
		// another program made in belljar's own folder: a sandbox cannot.
		return unix.Openat(dir, name, flags, 0)
	}
	return fd, err
}

// mend gives us back the folder name in dir that we may not open.
func mend(dir int, name string) error {
	fd, err := openStep(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// fchmod refuses O_PATH; fchmodat2 is newer than the kernels that we support.
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), 0o700)
}
