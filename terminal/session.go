package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/belljar-dev/belljar"
)

// Options say what a [Session] relays.
type Options struct {
	// Stdin, Stdout and Stderr are the caller's. They stay the caller's: they are
	// neither closed nor made non-blocking, and never handed to the sandbox. A nil
	// one is empty, or swallows what is written.
	Stdin, Stdout, Stderr *os.File
	// NoTTY relays three pipes even where all three are terminals.
	NoTTY  bool
	Filter FilterOptions
}

// A Session relays between the caller's three descriptors and one command inside.
//
// When all three are terminals the command gets a terminal of its own inside, and
// the caller's is in raw mode while [Session.Run] runs. Otherwise the command gets
// three pipes: an end of standard input is passed on, and when standard output is
// closed (`| head`) the pipe inside is closed too, so that the command ends by
// SIGPIPE as it would outside. Whatever goes to a terminal passes a [Filter].
type Session struct {
	o    Options
	tty  bool
	size belljar.WindowSize

	inner []*os.File // the sandbox's ends, until they are handed over
	in    *os.File   // write end, feeds the command
	outs  []*output
	wake  *waker

	reading atomic.Bool
	read    chan struct{} // closed when the reader of standard input has ended

	turn sync.Mutex // to write to a terminal

	mu  sync.Mutex
	raw *term.State // of the caller's terminal before raw mode
}

// An output is one stream from inside to a descriptor of the caller.
type output struct {
	from   *os.File
	to     *fdWriter // nil: swallowed
	filter *Filter   // nil: passed as it is
	err    error
}

// NewSession makes the pipes of a session. Nothing is read and no terminal is
// changed until [Session.Run].
func NewSession(o Options) (*Session, error) {
	s := &Session{o: o, read: make(chan struct{})}
	s.tty = !o.NoTTY && isTerminal(o.Stdin) && isTerminal(o.Stdout) && isTerminal(o.Stderr) &&
		foreground(int(o.Stdin.Fd())) // a background job would be stopped at once
	if s.tty {
		s.size = sizeOf(o.Stdout)
	}
	var err error
	if s.wake, err = newWaker(); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	if err := s.open(); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open session: %w", err)
	}
	return s, nil
}

func (s *Session) open() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.in = w
	s.inner = append(s.inner, r)
	to := []*os.File{s.o.Stdout, s.o.Stderr}
	if s.tty {
		to = to[:1]
	}
	for _, f := range to {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		s.inner = append(s.inner, w)
		s.outs = append(s.outs, s.newOutput(r, f))
	}
	for _, f := range s.inner {
		_ = f.Fd() // blocking, as a program expects its standard streams to be
	}
	return nil
}

func (s *Session) newOutput(from, to *os.File) *output {
	o := &output{from: from}
	if to == nil {
		return o
	}
	o.to = newFDWriter(to, s.wake)
	if isTerminal(to) {
		fo := s.o.Filter
		fo.NoQueries = fo.NoQueries || !s.tty // nobody would read the answers
		fo.SaveTitle = true
		o.to.turn = &s.turn
		o.filter = NewFilter(o.to, fo)
	}
	return o
}

// TTY says whether the command gets a terminal.
func (s *Session) TTY() bool { return s.tty }

// Command fills in TTY, Size and the three files of c. The files then belong to
// c, and whoever starts it closes them. It may be called once.
func (s *Session) Command(c *belljar.Command) {
	c.TTY, c.Size = s.tty, s.size
	c.Stdin, c.Stdout = s.inner[0], s.inner[1]
	if !s.tty {
		c.Stderr = s.inner[2]
	}
	s.inner = nil
}

// Run relays until everything that the command printed has been written, which
// is when the last process inside has closed its outputs, or until ctx is done. It
// does not wait for the caller's standard input. A terminal is put back in order
// before Run returns, also when it panics. resize is told the size of the
// caller's terminal when it changes; it may be nil.
//
// The error says that output of the command could not be written; a closed pipe
// is none, the command was told of it.
func (s *Session) Run(ctx context.Context, resize func(belljar.WindowSize) error) error {
	if s.tty {
		if err := s.enterRaw(); err != nil {
			return fmt.Errorf("terminal to raw mode: %w", err)
		}
	}
	defer s.finish()
	stop := context.AfterFunc(ctx, s.wake.wake)
	defer stop()

	if s.tty {
		quit, watched := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			s.watch(quit, resize)
		}()
		defer func() {
			close(quit)
			select {
			case <-watched:
			case <-time.After(time.Second): // it is in resize, which hangs
			}
		}()
	}
	var out sync.WaitGroup
	go s.copyIn()
	s.reading.Store(true)
	for _, o := range s.outs {
		out.Go(o.copy)
	}
	done := make(chan struct{})
	go func() { out.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		for _, o := range s.outs {
			_ = o.from.SetReadDeadline(time.Now())
		}
		if !s.release(done) {
			return nil // an output still hangs: its error is its own, and the session is over
		}
	}
	var err error
	for _, o := range s.outs {
		if o.err != nil && !errors.Is(o.err, errWoken) && !errors.Is(o.err, os.ErrDeadlineExceeded) {
			err = errors.Join(err, o.err)
		}
	}
	return err
}

// release waits for the outputs after the session was cancelled. A terminal that
// the user has halted with ^S would hold them for ever: what it has not shown
// yet is then given up. It says whether all outputs have ended.
func (s *Session) release(done <-chan struct{}) bool {
	for range 20 {
		select {
		case <-done:
			return true
		case <-time.After(100 * time.Millisecond):
		}
		for _, o := range s.outs {
			if o.filter != nil {
				flushOutput(int(o.to.file.Fd()))
			}
		}
	}
	return false
}

func (s *Session) copyIn() {
	defer close(s.read)
	defer s.in.Close()
	if s.o.Stdin == nil {
		return
	}
	r := &fdReader{file: s.o.Stdin, tty: isTerminal(s.o.Stdin), wake: s.wake}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n == 0 || err != nil {
			return
		}
		if _, err := s.in.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (o *output) copy() {
	// When the caller's end is gone, closing ours tells the command.
	defer o.from.Close()
	if o.to != nil {
		defer o.to.close()
	}
	w := io.Discard
	switch {
	case o.filter != nil:
		w = o.filter
	case o.to != nil:
		w = o.to
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := o.from.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				if !errors.Is(err, unix.EPIPE) {
					o.err = fmt.Errorf("write output: %w", err)
				}
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
				o.err = fmt.Errorf("read output: %w", err)
			}
			return
		}
	}
}

// finish ends what Run began.
func (s *Session) finish() {
	s.wake.wake() // the reader of standard input
	_ = s.in.Close()
	if s.reading.Load() {
		// It ends at once, unless somebody else took the input it was promised.
		select {
		case <-s.read:
		case <-time.After(answerWait):
		}
	}
	for _, o := range s.outs {
		if o.filter != nil {
			_ = o.filter.Close()
		}
	}
	if s.tty {
		s.leaveRaw()
	} else {
		for _, o := range s.outs {
			if o.filter != nil {
				restoreLooks(o)
			}
		}
	}
}

// Note prints a line of belljar's own for the user while [Session.Run] runs: to the
// caller's standard error, between what the command prints. It waits for a terminal that
// was halted. The line holds no control characters.
func (s *Session) Note(line string) {
	if s.o.Stderr == nil {
		return
	}
	if s.tty { // raw, and whatever the command draws stays where it is but for this line
		line = "\r\n" + line + "\r"
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	_, _ = io.WriteString(s.o.Stderr, line+"\n") // a caller who has left reads nothing
}

// Ring rings the bell of the caller's terminal, if they have one. As [Session.Note] it waits.
func (s *Session) Ring() {
	if !isTerminal(s.o.Stderr) {
		return
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	_, _ = io.WriteString(s.o.Stderr, "\a")
}

// Dropped says what was kept from the caller's terminal, and how often.
func (s *Session) Dropped() map[string]int {
	d := make(map[string]int)
	for _, o := range s.outs {
		if o.filter == nil {
			continue
		}
		for what, n := range o.filter.Dropped() {
			d[what] += n
		}
	}
	return d
}

// Close releases what [Session.Command] has not handed over and ends the session,
// also one that was never run: output that has not been written yet is lost. It is
// idempotent.
func (s *Session) Close() error {
	for _, f := range s.inner {
		_ = f.Close()
	}
	s.inner = nil
	if s.in != nil {
		_ = s.in.Close()
	}
	for _, o := range s.outs {
		_ = o.from.Close()
		if o.to != nil && !s.reading.Load() {
			o.to.close()
		}
	}
	s.wake.wake()
	return nil
}

func isTerminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

func sizeOf(f *os.File) belljar.WindowSize {
	w, h, err := term.GetSize(int(f.Fd()))
	if err != nil || w <= 0 || h <= 0 {
		return belljar.WindowSize{Rows: 24, Cols: 80}
	}
	return belljar.WindowSize{Rows: uint16(min(h, 1<<16-1)), Cols: uint16(min(w, 1<<16-1))}
}
