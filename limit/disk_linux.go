package limit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// maxDepth bounds the walk of [DiskUsage]: the tree below was made by a hostile
// program, and each level holds one descriptor.
const maxDepth = 256

// DiskUsage is the space that root and everything below it takes on disk, in
// bytes of allocated blocks. It follows no link, counts a file with several names
// once and does not leave root's file system. What disappears while it counts is
// not an error, nor a folder of somebody else that we may not read: nobody in the
// sandbox writes there. A folder of our own that is closed to us, or lies more
// than 256 levels deep, is [ErrUncountable]: what is below it may be anything. With an error
// comes what was counted until then.
func DiskUsage(root string) (int64, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open %q: %w", root, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("stat %q: %w", root, err)
	}
	u := usage{dev: uint64(st.Dev), links: map[uint64]bool{}, sum: st.Blocks * 512}
	err = u.dir(os.NewFile(uintptr(fd), root), 0)
	if err != nil {
		return u.sum, fmt.Errorf("count %q: %w", root, err)
	}
	return u.sum, nil
}

type usage struct {
	dev   uint64
	links map[uint64]bool // inodes with several names that were counted
	sum   int64
}

// dir counts what is in d and closes it.
func (u *usage) dir(d *os.File, depth int) error {
	defer d.Close()
	for {
		names, err := d.Readdirnames(1024)
		for _, n := range names {
			if err := u.entry(int(d.Fd()), n, depth); err != nil {
				return err
			}
		}
		if err == io.EOF || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (u *usage) entry(dir int, name string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ignoreGone(err)
	}
	if uint64(st.Dev) != u.dev {
		return nil
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if !isDir && st.Nlink > 1 {
		if u.links[st.Ino] {
			return nil
		}
		u.links[st.Ino] = true
	}
	u.sum += st.Blocks * 512
	if !isDir {
		return nil
	}
	if depth >= maxDepth {
		return fmt.Errorf("%w: deeper than %d levels", ErrUncountable, maxDepth)
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) && int(st.Uid) == unix.Geteuid() {
		return fmt.Errorf("%w: a folder without permission to read it", ErrUncountable)
	}
	if err != nil {
		return ignoreGone(err)
	}
	return u.dir(os.NewFile(uintptr(fd), name), depth+1)
}

// ignoreGone drops the errors of a tree that changes while it is counted, or that
// its owner closed to us.
func ignoreGone(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP),
		errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil
	}
	return err
}

func freeBytes(root string) (uint64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return 0, false
	}
	return st.Bfree * uint64(st.Bsize), true
}
