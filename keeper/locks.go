package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar/credential/login"
	"golang.org/x/sys/unix"
)

const (
	// lockAgain is how often a lock that somebody holds is tried, lockStale when one that
	// is a folder was left by somebody who died.
	lockAgain = 25 * time.Millisecond
	lockStale = time.Minute
)

// takeLocks takes the locks of the agent's own program, in order. free gives them back.
func takeLocks(ctx context.Context, k *login.Kind, file string) (free func(), err error) {
	var held []func()
	free = func() {
		for i := len(held) - 1; i >= 0; i-- {
			held[i]()
		}
	}
	for _, l := range k.Locks {
		take := takeFolder
		if l.File {
			take = takeFile
		}
		one, err := take(ctx, l.Path(file))
		if err != nil {
			free()
			return nil, fmt.Errorf("the lock of %s's own program, %s: %w", k.Name, l.Path(file), err)
		}
		held = append(held, one)
	}
	return free, nil
}

// takeFolder makes a folder that nobody else has made.
func takeFolder(ctx context.Context, path string) (free func(), err error) {
	for {
		err := os.Mkdir(path, 0o700)
		if err == nil {
			return func() { _ = os.Remove(path) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if fi, err := os.Lstat(path); err == nil && fi.IsDir() && time.Since(fi.ModTime()) > lockStale {
			_ = os.Remove(path) // its owner touches it while it lives
			continue
		}
		if err := wait(ctx, lockAgain); err != nil {
			return nil, err
		}
	}
}

// takeFile takes the kernel's lock of a file.
func takeFile(ctx context.Context, path string) (free func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = wait(ctx, lockAgain)
		}
		if err != nil {
			_ = f.Close()
			return nil, err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return errors.New("somebody holds it")
	case <-t.C:
		return nil
	}
}
