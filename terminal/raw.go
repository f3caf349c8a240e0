package terminal

import (
	"bytes"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/belljar-dev/belljar"
)

// answerWait bounds the wait for the terminal's answers at the end. A slow link or a
// busy machine must not make them late; only a terminal that was asked and never
// answers costs it.
const answerWait = time.Second

func (s *Session) enterRaw() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := term.MakeRaw(int(s.o.Stdin.Fd()))
	if err != nil {
		return err
	}
	s.raw = st
	return nil
}

// again puts the terminal into raw mode after the user's shell had it: the
// process was stopped from outside and continued.
func (s *Session) again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.raw != nil && foreground(int(s.o.Stdin.Fd())) {
		_, _ = term.MakeRaw(int(s.o.Stdin.Fd()))
	}
}

// watch passes changes of the terminal on until quit is closed.
func (s *Session) watch(quit <-chan struct{}, resize func(belljar.WindowSize) error) {
	c := make(chan os.Signal, 4)
	signal.Notify(c, unix.SIGWINCH, unix.SIGCONT)
	defer signal.Stop(c)
	last := s.size
	for {
		// Also before the first signal: the size may have changed before we listened.
		if now := sizeOf(s.o.Stdout); now != last && resize != nil {
			if resize(now) == nil {
				last = now
			}
		}
		select {
		case <-quit:
			return
		case sig := <-c:
			if sig == unix.SIGCONT {
				s.again()
				last = belljar.WindowSize{} // have it painted again
			}
		}
	}
}

// leaveRaw undoes what the sandbox did to the terminal, throws away what the
// terminal has typed since (answers to questions would end up in the user's
// shell) and restores its mode.
func (s *Session) leaveRaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.raw == nil {
		return
	}
	fd := int(s.o.Stdin.Fd())
	if !foreground(fd) {
		return // the shell has taken the terminal back already
	}
	o := s.outs[0]
	restoreLooks(o)
	if o.filter.Queries() > 0 {
		s.awaitAnswers(o)
	}
	flushInput(fd)
	_ = term.Restore(fd, s.raw)
	s.raw = nil
}

// awaitAnswers reads until the terminal has answered everything it was asked. It
// answers in order, so one more question that every terminal knows marks the end.
func (s *Session) awaitAnswers(o *output) {
	k, err := newWaker()
	if err != nil {
		return
	}
	defer k.close()
	fd := int(s.o.Stdin.Fd())
	end := time.Now().Add(answerWait)
	if !k.wait(int(o.to.file.Fd()), unix.POLLOUT, answerWait) || !foreground(fd) {
		return
	}
	// What is left over from before could look like the answer.
	flushInput(fd)
	if _, err := unix.Write(int(o.to.file.Fd()), []byte("\x1b[c")); err != nil {
		return
	}
	var got []byte
	buf := make([]byte, 1024)
	for len(got) < 64<<10 && k.wait(fd, unix.POLLIN, time.Until(end)) {
		n, err := unix.Read(fd, buf)
		if n <= 0 || err != nil {
			return
		}
		got = append(got, buf[:n]...)
		if i := bytes.LastIndex(got, []byte("\x1b[?")); i >= 0 && bytes.HasSuffix(got, []byte("c")) {
			return
		}
	}
}

// restoreLooks writes what undoes the changes of one output. It waits a little
// for a terminal that is halted.
func restoreLooks(o *output) {
	reset := o.filter.Reset()
	if o.to.torn.Load() {
		reset = append([]byte{can}, reset...) // a sequence was cut off
	}
	if len(reset) == 0 {
		return
	}
	k, err := newWaker()
	if err != nil {
		return
	}
	defer k.close()
	timer := time.AfterFunc(answerWait, k.wake)
	defer timer.Stop()
	w := newFDWriter(o.to.file, k)
	defer w.close()
	_, _ = w.Write(reset)
}
