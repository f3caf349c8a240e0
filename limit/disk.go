package limit

import (
	"errors"
	"io/fs"
	"maps"
)

// ErrUncountable says that a tree hides what it holds.
var ErrUncountable = errors.New("the disk usage cannot be counted")

// A DiskCounter counts what a run adds below some folders. It is used by one
// goroutine at a time.
//
// A full count walks the folders, so it is made only when the file system's own
// counter of free blocks moved since the last one: an idle sandbox on an idle
// disk costs one system call per sample. Where the sandbox hides files from the
// count, what the file system lost since the beginning is taken instead: it is
// never less than what the sandbox wrote there, unless others freed as much.
type DiskCounter struct {
	roots []string
	start int64
	last  int64
	free  map[string]uint64 // bytes, per root
	first map[string]uint64
}

// NewDiskCounter counts the folders as they are now; [DiskCounter.Added] is
// relative to that. Folders that do not exist count as empty.
func NewDiskCounter(roots ...string) (*DiskCounter, error) {
	c := &DiskCounter{roots: roots, free: map[string]uint64{}}
	c.changed()
	c.first = maps.Clone(c.free)
	n, err := c.count()
	if errors.Is(err, ErrUncountable) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	c.start, c.last = n, n
	return c, nil
}

// Added is how many bytes were added since [NewDiskCounter], never negative.
func (c *DiskCounter) Added() (int64, error) {
	if c.changed() {
		n, err := c.count()
		if errors.Is(err, ErrUncountable) {
			c.last = c.start + c.lost()
			return c.last - c.start, nil
		}
		if err != nil {
			return 0, err
		}
		c.last = n
	}
	return max(c.last-c.start, 0), nil
}

// lost is what the file systems of the roots lost since the beginning. Roots on
// one file system are counted once: the largest loss stands for all.
func (c *DiskCounter) lost() int64 {
	var most int64
	for r, before := range c.first {
		if now := c.free[r]; now < before {
			most = max(most, int64(before-now))
		}
	}
	return most
}

func (c *DiskCounter) count() (int64, error) {
	var sum int64
	for _, r := range c.roots {
		n, err := DiskUsage(r)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// changed says whether a file system of the folders moved its count of free blocks.
func (c *DiskCounter) changed() bool {
	moved := false
	for _, r := range c.roots {
		n, ok := freeBytes(r)
		if !ok || n != c.free[r] {
			moved = true
		}
		c.free[r] = n
	}
	return moved
}
