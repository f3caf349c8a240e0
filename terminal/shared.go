package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
)

// SharedOptions say how a [Shared] relays.
type SharedOptions struct {
	// TTY gives the command a terminal of Size. Without, what it prints on both outputs is
	// one stream, and its input is empty.
	TTY  bool
	Size belljar.WindowSize
	// Log gets everything that the command prints, as it is. Its errors are its own.
	Log    io.Writer
	Filter FilterOptions
}

// A Shared relays between one command inside and any number of viewers who come and go: one
// of them writes, all see the same. What is printed passes one [Filter], and each viewer's
// own. The command never waits for a viewer: one who does not read, and is a few MiB
// behind, misses what is between, is told so, and has a program on the whole screen draw anew.
type Shared struct {
	o      SharedOptions
	inner  []*os.File
	in     *os.File // write end; nil without a terminal
	out    *os.File
	filter *Filter

	mu      sync.Mutex
	change  *sync.Cond
	ring    ring
	viewers []*Viewer // in the order in which they came
	writer  *Viewer
	size    belljar.WindowSize
	resize  func(belljar.WindowSize) error
	wanted  int // how often somebody wanted the screen drawn anew
	kicking bool
	over    bool
}

// A Viewer is one who is attached to a [Shared]. Next is for one goroutine; the other
// methods are safe for concurrent use.
type Viewer struct {
	s      *Shared
	o      ViewOptions
	filter *Filter
	out    []byte // of filter

	pos    int64  // guarded by s.mu, as all below
	live   int64  // where v began to write: questions before that are not v's to answer
	before []byte // shown first
	size   belljar.WindowSize
	closed bool
}

// ViewOptions say how somebody attaches.
type ViewOptions struct {
	Size     belljar.WindowSize
	ReadOnly bool // never writes
	Take     bool // writes from now on, whoever did before
}

// NewShared makes the pipes of a shared session.
func NewShared(o SharedOptions) (*Shared, error) {
	s := &Shared{o: o, size: o.Size}
	s.change = sync.NewCond(&s.mu)
	s.filter = NewFilter(ringWriter{s}, o.Filter)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	s.out = r
	if !o.TTY {
		_ = w.Fd()
		s.inner = []*os.File{nil, w}
		return s, nil
	}
	in, feed, err := os.Pipe()
	if err != nil {
		_, _ = r.Close(), w.Close()
		return nil, fmt.Errorf("open session: %w", err)
	}
	_, _ = w.Fd(), in.Fd()
	s.in, s.inner = feed, []*os.File{in, w}
	return s, nil
}

// Command fills in TTY, Size and the files of c, which then belong to c. It may be called once.
func (s *Shared) Command(c *belljar.Command) {
	c.TTY, c.Size = s.o.TTY, s.o.Size
	c.Stdin, c.Stdout = s.inner[0], s.inner[1]
	if !s.o.TTY {
		c.Stderr = c.Stdout
	}
	s.inner = nil
}

// Run relays until everything that the command printed has been taken, or until ctx is
// done. resize is told the size that the writer's terminal has.
func (s *Shared) Run(ctx context.Context, resize func(belljar.WindowSize) error) error {
	s.mu.Lock()
	s.resize = resize
	if s.size != s.o.Size { // somebody was faster
		go s.setSize(s.size)
	}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = s.out.SetReadDeadline(time.Now()) })
	defer stop()
	defer s.finish()
	buf := make([]byte, 64<<10)
	for {
		n, err := s.out.Read(buf)
		if n > 0 {
			if s.o.Log != nil {
				_, _ = s.o.Log.Write(buf[:n])
			}
			_, _ = s.filter.Write(buf[:n])
		}
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read output: %w", err)
		}
	}
}

// finish tells the viewers that nothing more comes.
func (s *Shared) finish() {
	_ = s.filter.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.change.Broadcast()
}

// ringWriter gets what passes the filter.
type ringWriter struct{ s *Shared }

func (w ringWriter) Write(p []byte) (int, error) {
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring.add(p)
	least := s.ring.end - scrollback
	for _, v := range s.viewers {
		least = min(least, v.pos)
	}
	s.ring.trim(least)
	s.change.Broadcast()
	return len(p), nil
}

// Note shows a line of belljar's own, without control characters, to everybody, and logs it.
func (s *Shared) Note(line string) {
	if s.o.Log != nil {
		_, _ = io.WriteString(s.o.Log, line+"\n")
	}
	_, _ = ringWriter{s}.Write([]byte("\r\n" + line + "\r\n"))
}

// Ring rings the bell of everybody's terminal.
func (s *Shared) Ring() { _, _ = ringWriter{s}.Write([]byte{'\a'}) }

// Dropped says what was kept from viewers, and how often.
func (s *Shared) Dropped() map[string]int { return s.filter.Dropped() }

// Close releases the pipes. It is idempotent.
func (s *Shared) Close() error {
	for _, f := range s.inner {
		if f != nil {
			_ = f.Close()
		}
	}
	s.inner = nil
	if s.in != nil {
		_ = s.in.Close()
	}
	_ = s.out.Close()
	s.finish()
	return nil
}

// Viewers says how many are attached.
func (s *Shared) Viewers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.viewers)
}

// Attach attaches somebody, who first sees the end of what was printed, or, where a program
// has the whole screen, has it draw anew.
func (s *Shared) Attach(o ViewOptions) *Viewer {
	v := &Viewer{s: s, o: o, size: o.Size}
	v.filter = NewFilter(viewWriter{v}, s.o.Filter)
	s.mu.Lock()
	defer s.mu.Unlock()
	v.pos = s.ring.from(scrollback)
	whole, modes := s.filter.screen()
	if whole {
		v.pos = s.ring.end // what is on the screen cannot be told from a part of it
	}
	v.before = modes
	s.viewers = append(s.viewers, v)
	if !o.ReadOnly && s.o.TTY && (s.writer == nil || o.Take) {
		s.give(v)
	} else if !o.ReadOnly && s.o.TTY {
		v.before = append([]byte("[belljar: somebody else writes, you watch; with --take you write]\r\n"), v.before...)
	}
	s.kick()
	return v
}

// give makes v the one who writes; nil: nobody. s.mu is held.
func (s *Shared) give(v *Viewer) {
	if s.writer = v; v == nil {
		return
	}
	v.live = s.ring.end
	if v.size != s.size && v.size.Rows > 0 && v.size.Cols > 0 {
		s.size = v.size
		go s.setSize(v.size)
	}
}

func (s *Shared) setSize(w belljar.WindowSize) {
	s.mu.Lock()
	resize := s.resize
	s.mu.Unlock()
	if resize != nil {
		_ = resize(w) // it may have ended
	}
}

const (
	// kickPause is at least how long the size is another one for a program to draw anew.
	kickPause = 50 * time.Millisecond
	// kickWait is how long a program may take to print something at a new size: a busy
	// machine has it see neither size where both come at once.
	kickWait = 3 * time.Second
)

// kick has a program that draws on the screen do so anew: it is told of another size, and
// back. One that prints lines is left alone. Who comes meanwhile has it done once more. s.mu
// is held.
func (s *Shared) kick() {
	if !s.o.TTY || s.over || !s.filter.draws() {
		return
	}
	s.wanted++
	if s.kicking {
		return
	}
	s.kicking = true
	go func() {
		for {
			s.mu.Lock()
			wanted, other := s.wanted, s.size
			s.mu.Unlock()
			if other.Rows > 1 {
				other.Rows--
			} else {
				other.Rows++
			}
			s.setAndWait(other)
			s.mu.Lock()
			size := s.size
			s.mu.Unlock()
			s.setAndWait(size)
			s.mu.Lock()
			s.kicking = !s.over && s.wanted != wanted
			again := s.kicking
			s.mu.Unlock()
			if !again {
				return
			}
		}
	}()
}

// setAndWait sets the size and waits until something was printed since, for kickWait.
func (s *Shared) setAndWait(size belljar.WindowSize) {
	s.mu.Lock()
	before := s.ring.end
	s.mu.Unlock()
	began := time.Now()
	s.setSize(size)
	for time.Since(began) < kickWait {
		time.Sleep(kickPause)
		s.mu.Lock()
		printed := s.ring.end != before || s.over
		s.mu.Unlock()
		if printed {
			return
		}
	}
}

// Next waits for what comes next and returns it, filtered, until the next call. It returns
// io.EOF at the end of the session, and after [Viewer.Close].
func (v *Viewer) Next() ([]byte, error) {
	for {
		piece, err := v.piece()
		if err != nil {
			return nil, err
		}
		v.out = v.out[:0]
		_, _ = v.filter.Write(piece)
		if len(v.out) > 0 {
			return v.out, nil
		}
	}
}

// left is told to a viewer who missed something.
const left = "\r\n[belljar: some output was left out here]\r\n"

func (v *Viewer) piece() ([]byte, error) {
	s := v.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case v.closed:
			return nil, io.EOF
		case len(v.before) > 0:
			b := v.before
			v.before = nil
			return b, nil
		case v.pos < s.ring.first:
			whole, modes := s.filter.screen()
			v.pos = s.ring.from(scrollback)
			v.before = modes
			if whole {
				v.pos = s.ring.end
			}
			s.kick()
			_ = v.filter.Close()
			return []byte(left), nil
		case v.pos < s.ring.end:
			b := s.ring.at(v.pos)
			now := v.pos >= v.live
			if !now {
				b = b[:min(int64(len(b)), v.live-v.pos)]
			}
			v.filter.queries(now && s.writer == v)
			v.pos += int64(len(b))
			return b, nil
		case s.over:
			return nil, io.EOF
		}
		s.change.Wait()
	}
}

type viewWriter struct{ v *Viewer }

func (w viewWriter) Write(p []byte) (int, error) {
	w.v.out = append(w.v.out, p...)
	return len(p), nil
}

// Write types p, if v is the one who writes; else it is dropped. It waits while the program
// inside reads nothing.
func (v *Viewer) Write(p []byte) (int, error) {
	v.s.mu.Lock()
	mine := v.s.writer == v && !v.closed
	v.s.mu.Unlock()
	if !mine {
		return len(p), nil
	}
	return v.s.in.Write(p)
}

// Resize says which size v's terminal has.
func (v *Viewer) Resize(w belljar.WindowSize) {
	if w.Rows == 0 || w.Cols == 0 {
		return
	}
	s := v.s
	s.mu.Lock()
	defer s.mu.Unlock()
	v.size = w
	if s.writer == v && s.size != w {
		s.size = w
		go s.setSize(w)
	}
}

// Close detaches v. Where it wrote, the one who came first among the others does from now
// on. It is idempotent.
func (v *Viewer) Close() error {
	s := v.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	var next *Viewer
	for i, o := range s.viewers {
		if o == v {
			s.viewers = append(s.viewers[:i:i], s.viewers[i+1:]...)
			break
		}
	}
	for _, o := range s.viewers {
		if !o.o.ReadOnly && next == nil {
			next = o
		}
	}
	if s.writer == v {
		s.give(next)
	}
	s.change.Broadcast()
	return nil
}
