package view

import (
	"strings"

	"golang.org/x/sys/unix"
)

// How deep the sandbox may build. Every operation walks from the top, here and wherever
// what waits is listed, applied and taken back: without a bound a loop of mkdir and cd
// makes all of that slow for the user, and a path longer than the kernel takes can be
// named by no other program. Projects have some dozens of levels.
const (
	maxDepth = 256
	maxPath  = unix.PathMax - 1
)

// A reach is what a path, or a tree of them, needs of the bounds.
type reach struct {
	levels, bytes int
}

func reachOf(rel string) reach {
	return reach{levels: strings.Count(rel, "/") + 1, bytes: len(rel)}
}

// tooDeep refuses to make rel, with the error of a path that is too long. What the host
// has there already is served as all else.
func tooDeep(rel string) error {
	if r := reachOf(rel); r.levels > maxDepth || r.bytes > maxPath {
		return unix.ENAMETOOLONG
	}
	return nil
}

// movedTooDeep refuses a rename that would bring something below the bounds. A folder that
// gets neither deeper nor a longer path is not looked into.
func (t *tree) movedTooDeep(m *move) error {
	from, to := reachOf(m.from.rel), reachOf(m.to.rel)
	if err := tooDeep(m.to.rel); err != nil || !m.dir || to.levels <= from.levels && to.bytes <= from.bytes {
		return err
	}
	left := reach{maxDepth - to.levels, maxPath - to.bytes}
	for _, root := range []int{t.lower, t.upTree} {
		fd, err := walk(root, m.from.rel)
		if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
			continue // it is on the other side only
		}
		if err == nil {
			err = fits(fd, left)
			unix.Close(fd)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fits says whether what is in the folder needs no more than left.
func fits(dir int, left reach) error {
	ents, err := readDir(dir)
	if err != nil {
		return err
	}
	for _, e := range ents {
		below := reach{left.levels - 1, left.bytes - 1 - len(e.Name)}
		if below.levels < 0 || below.bytes < 0 {
			return unix.ENAMETOOLONG
		}
		if e.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		fd, err := unix.Openat(dir, e.Name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
			continue // the host has taken it away
		}
		if err == nil {
			err = fits(fd, below)
			unix.Close(fd)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
