package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// awaitEvery is how often somebody who waits looks whether a sandbox has ended.
const awaitEvery = 20 * time.Millisecond

// Await returns when nothing runs of e any more, whether it ended or was killed.
func (d Dirs) Await(ctx context.Context, e Entry) error {
	path := filepath.Join(d.sandbox(e.ID), lockName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return short("open", path, err)
	}
	defer f.Close()
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for {
		// Shared, and for a moment only: who looks whether it runs must not be misled. The
		// supervisor's own lock is the last that it gives back.
		switch err := flock(f, unix.LOCK_SH|unix.LOCK_NB); {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return short("lock", path, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
