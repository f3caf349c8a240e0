package shadow

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// List gives the names in an open directory, sorted, without . and .. .
func List(fd int) ([]string, error) {
	dup, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(dup), "")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// OpenBeneath opens rel below dir, through real directories only and in steps when it
// is longer than a path may be. The error is a bare errno.
func OpenBeneath(dir int, rel string, flags int) (int, error) {
	at := dir
	for len(rel) > 4000 {
		cut := strings.LastIndexByte(rel[:4000], '/')
		if cut <= 0 {
			return -1, unix.ENAMETOOLONG
		}
		next, err := openat2(at, rel[:cut], unix.O_PATH|unix.O_DIRECTORY)
		if at != dir {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at, rel = next, rel[cut+1:]
	}
	if rel == "" {
		rel = "."
	}
	fd, err := openat2(at, rel, flags)
	if at != dir {
		unix.Close(at)
	}
	return fd, err
}

func openat2(dir int, rel string, flags int) (int, error) {
	for {
		fd, err := unix.Openat2(dir, rel, &unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve})
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

func readlink(dir int, name string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// removeAt removes (dir, name) and everything below; what cannot be removed is
// left for the next time.
func removeAt(dir int, name string) {
	if unix.Unlinkat(dir, name, 0) == nil {
		return
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.EACCES {
		if unix.Fchmodat(dir, name, 0o700, 0) == nil {
			fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		}
	}
	if err != nil {
		return
	}
	unix.Fchmod(fd, 0o700)
	removeBelow(fd)
	unix.Close(fd)
	unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
}

func removeBelow(fd int) {
	names, err := List(fd)
	if err != nil {
		return
	}
	for _, n := range names {
		if !strings.HasPrefix(n, promise) {
			removeAt(fd, n)
		}
	}
}

// errnoOf reduces err to the errno in it, EIO when there is none.
func errnoOf(err error) error {
	var e unix.Errno
	if err == nil || errors.As(err, &e) {
		if err == nil {
			return nil
		}
		return e
	}
	return unix.EIO
}
