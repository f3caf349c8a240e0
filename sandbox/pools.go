package sandbox

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/belljar-dev/belljar"
)

// Pools is the folder of the pools that keep warm sandboxes. It is there while there may
// be any.
func (d Dirs) Pools() string { return filepath.Join(d.Runtime, "pools") }

// Pool is the folder of one pool.
func (d Dirs) Pool(id string) string { return filepath.Join(d.Pools(), id) }

// ClaimPool makes the folder of a pool, whose lock lives as long as this process. release
// removes it.
func (d Dirs) ClaimPool(id string) (release func() error, err error) {
	guard, err := d.guard()
	if err != nil {
		return nil, err
	}
	defer guard.Close()
	dir := d.Pool(id)
	if err := os.MkdirAll(d.Pools(), 0o700); err != nil {
		return nil, short("make", d.Pools(), err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, short("make", dir, err)
	}
	lock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return func() error {
		guard, err := d.guard()
		if err != nil {
			return err
		}
		defer guard.Close()
		return errors.Join(d.removePool(id), lock.Close())
	}, nil
}

// removePool removes a pool's folder, and that of all pools with the last one; the guard
// is held.
func (d Dirs) removePool(id string) error {
	if err := os.RemoveAll(d.Pool(id)); err != nil {
		return &belljar.Error{Op: "remove", ID: d.Pool(id), Err: err}
	}
	_ = os.Remove(d.Pools()) // unless there is another
	return nil
}

// PoolIDs lists the pools that are kept, and removes what killed ones left.
func (d Dirs) PoolIDs() ([]string, error) {
	if _, err := os.Lstat(d.Pools()); err != nil {
		return nil, nil
	}
	guard, err := d.guard()
	if err != nil {
		return nil, err
	}
	defer guard.Close()
	names, err := os.ReadDir(d.Pools())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, short("read", d.Pools(), err)
	}
	var ids []string
	for _, n := range names {
		kept, err := held(filepath.Join(d.Pool(n.Name()), lockName))
		if err != nil {
			return ids, short("look at", d.Pool(n.Name()), err)
		}
		if kept {
			ids = append(ids, n.Name())
			continue
		}
		if err := d.removePool(n.Name()); err != nil {
			return ids, err
		}
	}
	return ids, nil
}
