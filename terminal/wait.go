package terminal

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A waker interrupts waits for the caller's descriptors. These are never made
// non-blocking, since other processes share them; so they are polled first.
type waker struct {
	r, w *os.File
}

func newWaker() (*waker, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &waker{r: r, w: w}, nil
}

// wake ends every wait, now and later.
func (k *waker) wake() { _ = k.w.Close() }

func (k *waker) close() { _ = errors.Join(k.w.Close(), k.r.Close()) }

// wait waits until fd is ready for events or broken. It returns false when it was
// woken instead, or when d has passed; d < 0 waits without end.
func (k *waker) wait(fd int, events int16, d time.Duration) bool {
	end := time.Now().Add(d)
	for {
		ms := -1
		if d >= 0 {
			ms = int(max(0, time.Until(end)+time.Millisecond-1) / time.Millisecond)
		}
		p := []unix.PollFd{{Fd: int32(k.r.Fd())}, {Fd: int32(fd), Events: events}}
		n, err := unix.Poll(p, ms)
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
			continue
		case err != nil || n == 0 || p[0].Revents != 0:
			return false
		}
		return true
	}
}

// pause waits for d. It returns false when it was woken.
func (k *waker) pause(d time.Duration) bool {
	p := []unix.PollFd{{Fd: int32(k.r.Fd())}}
	n, err := unix.Poll(p, int(d/time.Millisecond))
	return n == 0 || err != nil
}

// errWoken says that a transfer was ended from outside.
var errWoken = errors.New("interrupted")

// An fdReader reads from a descriptor of the caller.
type fdReader struct {
	file *os.File
	tty  bool
	wake *waker
}

// backgroundPause is how long a reader waits before it looks again whether its
// process has come to the foreground.
const backgroundPause = 100 * time.Millisecond

func (r *fdReader) Read(p []byte) (int, error) {
	fd := int(r.file.Fd())
	for {
		if !r.wake.wait(fd, unix.POLLIN, -1) {
			return 0, errWoken
		}
		// Reading a terminal in the background would stop the whole process.
		if r.tty && !foreground(fd) {
			if !r.wake.pause(backgroundPause) {
				return 0, errWoken
			}
			continue
		}
		n, err := unix.Read(fd, p)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		return max(n, 0), err
	}
}

func foreground(fd int) bool {
	pgrp, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err != nil || pgrp == unix.Getpgrp()
}

// fullPause is how long a writer waits before it tries a full terminal again.
const fullPause = 5 * time.Millisecond

// An fdWriter writes to a descriptor of the caller.
type fdWriter struct {
	file  *os.File
	wake  *waker
	fd    int         // to write to: the file's, or one of our own that never blocks
	own   bool        // fd is our own
	chunk int         // what is written at once
	torn  atomic.Bool // the last write was interrupted
	// turn is held for a whole Write: were two streams of a sandbox mixed within
	// sequences on one terminal, they could make up a third one. Nil: alone.
	turn *sync.Mutex
	once sync.Once
}

func newFDWriter(f *os.File, k *waker) *fdWriter {
	// That much can be written to a pipe that is ready, without blocking.
	w := &fdWriter{file: f, wake: k, fd: int(f.Fd()), chunk: 4096}
	st, err := f.Stat()
	switch {
	case err != nil:
	case st.Mode().IsRegular():
		w.chunk = 1 << 20
	case isTerminal(f) || st.Mode()&os.ModeNamedPipe != 0:
		// A terminal that is ready may still block.
		if fd, err := reopen(w.fd); err == nil {
			w.fd, w.own, w.chunk = fd, true, 64<<10
		}
	}
	return w
}

// close closes what is our own. It is idempotent; no write may be going on.
func (w *fdWriter) close() {
	w.once.Do(func() {
		if w.own {
			_ = unix.Close(w.fd)
		}
	})
}

// Write writes all of p. It goes around os.File because that raises SIGPIPE in
// this process when standard output is gone.
func (w *fdWriter) Write(p []byte) (int, error) {
	if w.turn != nil {
		w.turn.Lock()
		defer w.turn.Unlock()
	}
	done := 0
	for done < len(p) {
		if !w.wake.wait(w.fd, unix.POLLOUT, -1) {
			w.torn.Store(done > 0)
			return done, errWoken
		}
		n, err := unix.Write(w.fd, p[done:min(len(p), done+w.chunk)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			// A terminal nearly full says that it is ready all the time.
			w.wake.pause(fullPause)
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}
