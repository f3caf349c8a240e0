package workspace

import (
	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/workspace/shadow"
)

// remove takes rel away on the host. asked says that the shadow has a whiteout
// for it, else it follows from a folder made anew.
func (t *tree) remove(rel string, asked bool) error {
	d, name, err := t.parent(rel)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(d) }()
	if err := t.still(rel, asked); err != nil {
		return err
	}
	return removeAll(d, name)
}

// still asks again whether rel may go.
func (t *tree) still(rel string, asked bool) error {
	if !asked {
		if t.keeps(rel, t.birth(t.opaqueAbove(rel))) != "" {
			return errConflict
		}
		return nil
	}
	e, err := t.view.Lookup(rel)
	if err != nil {
		return err
	}
	c := Change{Path: rel, Op: OpDelete}
	now, err := t.hostBase(rel, e.Base)
	if err != nil || now == nil {
		return err
	}
	c.Kind = kindOf(now.Mode)
	if _, err := t.compare(&c, e, now); err != nil {
		return err
	}
	if c.Conflict != "" {
		return errConflict
	}
	return nil
}

// removeAll removes (d, name) and what is below it.
func removeAll(d int, name string) error {
	err := unix.Unlinkat(d, name, 0)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EISDIR && err != unix.EPERM {
		return err
	}
	fd, err := unix.Openat(d, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	names, err := shadow.List(fd)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := removeAll(fd, n); err != nil {
			return err
		}
	}
	return unix.Unlinkat(d, name, unix.AT_REMOVEDIR)
}
