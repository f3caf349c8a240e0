package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar/credential/login"
	"golang.org/x/sys/unix"
)

const (
	// lockAgain is how often a lock that somebody holds is tried, lockStale when one that
	// is a folder was left by somebody who died.
	lockAgain = 25 * time.Millisecond
	// They are touched each lockTouch while they are held, as their owners do.
	lockStale = time.Minute
	lockTouch = 10 * time.Second
)

// A lock is one that this process has taken.
type lock struct {
	path string
	file *os.File // that the kernel has locked; nil: path is a folder

	mu   sync.Mutex
	info fs.FileInfo // of path, as it was made or touched
	at   time.Time   // when that was, by the clock on the wall: a machine may sleep
	stop chan struct{}
}

// locks are those of one login.
type locks []*lock

// free gives them back, those that are still ours.
func (l locks) free() {
	for i := len(l) - 1; i >= 0; i-- {
		l[i].free()
	}
}

// mine says whether all are still ours.
func (l locks) mine() bool {
	return !slices.ContainsFunc(l, func(one *lock) bool { return !one.mine() })
}

func (l *lock) free() {
	if l.file != nil {
		_ = l.file.Close()
		return
	}
	close(l.stop)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.same() {
		_ = os.Remove(l.path)
	}
}

// same says whether at path is what we made. Only who holds mu calls it.
func (l *lock) same() bool {
	now, err := os.Lstat(l.path)
	return err == nil && os.SameFile(now, l.info) && (l.file != nil || now.ModTime().Equal(l.info.ModTime()))
}

// mine says whether the lock is ours, and nobody takes it for one that was left.
func (l *lock) mine() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.same() && (l.file != nil || fresh(l.at))
}

// fresh says whether what was touched then is far from stale. That the clock was set
// back says nothing.
func fresh(at time.Time) bool {
	age := time.Now().Round(0).Sub(at)
	return age > -lockStale/2 && age < lockStale/2
}

// touch keeps a folder from being stale, unless it is no longer ours.
func (l *lock) touch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().Round(0)
	if !l.same() || !fresh(l.at) || os.Chtimes(l.path, now, now) != nil {
		return
	}
	if fi, err := os.Lstat(l.path); err == nil && os.SameFile(fi, l.info) {
		l.info, l.at = fi, now
	}
}

// keepTouched touches until the lock is given back.
func (l *lock) keepTouched() {
	t := time.NewTicker(lockTouch)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
			l.touch()
		}
	}
}

// takeLocks takes the locks of the agent's own program, in order.
func takeLocks(ctx context.Context, k *login.Kind, file string) (held locks, err error) {
	for _, l := range k.Locks {
		take := takeFolder
		if l.File {
			take = takeFile
		}
		one, err := take(ctx, l.Path(file))
		if err != nil {
			held.free()
			return nil, fmt.Errorf("the lock of %s's own program, %s: %w", k.Name, l.Path(file), err)
		}
		held = append(held, one)
	}
	return held, nil
}

// takeFolder makes a folder that nobody else has made.
func takeFolder(ctx context.Context, path string) (*lock, error) {
	for {
		now := time.Now().Round(0)
		err := os.Mkdir(path, 0o700)
		if err == nil {
			fi, err := os.Lstat(path)
			if err == nil && fresh(now) {
				l := &lock{path: path, info: fi, at: now, stop: make(chan struct{})}
				go l.keepTouched()
				return l, nil
			}
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
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

// takeFile takes the kernel's lock of the file that is at path.
func takeFile(ctx context.Context, path string) (*lock, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		l := &lock{path: path, file: f}
		if l.info, err = f.Stat(); err == nil {
			err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
		}
		if err == nil && l.mine() {
			return l, nil
		}
		_ = f.Close() // somebody holds it, or has removed it before we had it
		if err == nil || errors.Is(err, unix.EWOULDBLOCK) {
			err = wait(ctx, lockAgain)
		}
		if err != nil {
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
