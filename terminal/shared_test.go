package terminal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// A stage is a Shared whose command the test plays.
type stage struct {
	*Shared
	t     *testing.T
	print *os.File // what the command prints on
	keys  *os.File
	mu    sync.Mutex
	sizes []belljar.WindowSize
	done  chan error
}

func newStage(t *testing.T, log io.Writer) *stage {
	t.Helper()
	s, err := NewShared(SharedOptions{TTY: true, Size: belljar.WindowSize{Rows: 24, Cols: 80}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	var c belljar.Command
	s.Command(&c)
	x := &stage{Shared: s, t: t, print: c.Stdout, keys: c.Stdin, done: make(chan error, 1)}
	go func() {
		x.done <- s.Run(t.Context(), func(w belljar.WindowSize) error {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.sizes = append(x.sizes, w)
			return nil
		})
	}()
	t.Cleanup(func() {
		_ = x.print.Close()
		_ = x.keys.Close()
		if err := <-x.done; err != nil {
			t.Error(err)
		}
		_ = s.Close()
	})
	return x
}

func (x *stage) say(s string) {
	x.t.Helper()
	if _, err := x.print.WriteString(s); err != nil {
		x.t.Fatal(err)
	}
}

// until reads what v sees until it has seen text.
func until(t *testing.T, v *Viewer, text string) string {
	t.Helper()
	timeout := time.AfterFunc(hangs, func() { _ = v.Close() })
	defer timeout.Stop()
	var all strings.Builder
	for !strings.Contains(all.String(), text) {
		b, err := v.Next()
		if err != nil {
			t.Fatalf("%v before %q: %q", err, text, all.String())
		}
		all.Write(b)
	}
	return all.String()
}

func TestSharedViewers(t *testing.T) {
	var log bytes.Buffer
	x := newStage(t, &log)
	x.say("early \x1b[6n\x1b]52;c;aGk=\x07line\r\n")
	early := x.Attach(ViewOptions{ReadOnly: true}) // until it is there
	until(t, early, "line")
	_ = early.Close()
	a := x.Attach(ViewOptions{Size: belljar.WindowSize{Rows: 30, Cols: 90}})
	if got := until(t, a, "line\r\n"); got != "early line\r\n" {
		t.Errorf("%q", got)
	}
	b := x.Attach(ViewOptions{})
	x.say("both \x1b[6n")
	x.say("see\r\n")
	if got := until(t, a, "see"); got != "both \x1b[6nsee\r\n" {
		t.Errorf("who writes sees %q", got)
	}
	if got := until(t, b, "see"); !strings.Contains(got, "somebody else writes") || !strings.HasSuffix(got, "both see\r\n") {
		t.Errorf("who watches sees %q", got)
	}
	read := func(want string) {
		t.Helper()
		buf := make([]byte, 100)
		n, err := x.keys.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("typed %q %v, want %q", buf[:n], err, want)
		}
	}
	_, _ = b.Write([]byte("not me"))
	_, _ = a.Write([]byte("me"))
	read("me")
	_ = a.Close()
	_, _ = b.Write([]byte("now me"))
	read("now me")
	c := x.Attach(ViewOptions{Take: true})
	_, _ = b.Write([]byte("no more"))
	_, _ = c.Write([]byte("taken"))
	read("taken")
	ro := x.Attach(ViewOptions{ReadOnly: true})
	_, _ = c.Close(), b.Close()
	_, _ = ro.Write([]byte("never"))
	_ = x.keys.SetReadDeadline(time.Now().Add(-time.Second))
	if n, err := x.keys.Read(make([]byte, 9)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d %v", n, err)
	}
	if !strings.Contains(log.String(), "\x1b]52;c;aGk=\x07") {
		t.Errorf("the log has %q", log.String())
	}
}

// told waits until the command was told these sizes last.
func told(x *stage, want ...belljar.WindowSize) bool {
	deadline := time.Now().Add(hangs)
	for time.Now().Before(deadline) {
		x.mu.Lock()
		same := len(x.sizes) >= len(want) && slices.Equal(x.sizes[len(x.sizes)-len(want):], want)
		x.mu.Unlock()
		if same {
			return true
		}
		runtime.Gosched()
	}
	return false
}

// TestSharedScreen: who attaches to a program on the whole screen gets its modes, and no
// piece of the past.
func TestSharedScreen(t *testing.T) {
	x := newStage(t, nil)
	a := x.Attach(ViewOptions{})
	x.say("past\x1b[?1049h\x1b[?25l\x1b[?2004h drawn ")
	until(t, a, "drawn")
	b := x.Attach(ViewOptions{})
	x.say("anew")
	got := until(t, b, "anew")
	if !told(x, belljar.WindowSize{Rows: 23, Cols: 80}, belljar.WindowSize{Rows: 24, Cols: 80}) {
		t.Errorf("the program was not made to draw anew: %v", x.sizes)
	}
	if strings.Contains(got, "past") || strings.Contains(got, "drawn") || !strings.Contains(got, "\x1b[?1049h\x1b[?25l\x1b[?2004h") {
		t.Errorf("%q", got)
	}
}

// TestSharedSlow: a viewer who does not read holds up nobody, and is told of what was left
// out; one who reads misses nothing.
func TestSharedSlow(t *testing.T) {
	x := newStage(t, nil)
	slow, fast := x.Attach(ViewOptions{}), x.Attach(ViewOptions{ReadOnly: true})
	const size = 3 * maxBehind
	var all sync.WaitGroup
	total := 0
	all.Go(func() {
		for total < size {
			b, err := fast.Next()
			if err != nil {
				t.Error(err)
				return
			}
			total += len(b)
		}
	})
	line := strings.Repeat("x", 1023) + "\n"
	for n := 0; n < size; n += len(line) {
		x.say(line)
		// One who reads keeps up, whatever the machine is busy with.
		x.Shared.mu.Lock()
		behind := x.ring.end - fast.pos
		x.Shared.mu.Unlock()
		for behind > maxBehind/2 {
			x.Shared.mu.Lock()
			behind = x.ring.end - fast.pos
			x.Shared.mu.Unlock()
		}
	}
	all.Wait()
	if total != size {
		t.Errorf("%d of %d bytes", total, size)
	}
	x.say("the end")
	if got := until(t, slow, "the end"); !strings.Contains(got, "left out here") || len(got) > maxBehind {
		t.Errorf("%d bytes, %q…", len(got), got[:100])
	}
	x.Shared.mu.Lock()
	defer x.Shared.mu.Unlock()
	if kept := x.ring.end - x.ring.first; kept > maxBehind {
		t.Errorf("%d bytes are kept", kept)
	}
}

// TestRing: any cut of the stream is read whole, from any position that is kept, and small
// parts cost little.
func TestRing(t *testing.T) {
	var r ring
	var all []byte
	for i := range 3 * maxBehind / 10 {
		p := bytes.Repeat([]byte{byte(i)}, i%20)
		all = append(all, p...)
		r.add(p)
		if i%1000 == 0 {
			r.trim(r.end - scrollback)
		}
	}
	if n := len(r.pieces); int64(n) > (r.end-r.first)/(leastPiece/2)+1 {
		t.Errorf("%d pieces for %d bytes", n, r.end-r.first)
	}
	for pos := r.from(scrollback); pos < r.end; {
		b := r.at(pos)
		if len(b) == 0 || len(b) > maxPiece || !bytes.Equal(b, all[pos:pos+int64(len(b))]) {
			t.Fatalf("at %d of %d: %d bytes", pos, r.end, len(b))
		}
		pos += int64(len(b))
	}
	if r.at(r.end) != nil || r.from(0) != r.end || r.end-r.from(scrollback) > scrollback || r.end-r.from(scrollback) < scrollback/2 {
		t.Errorf("the end is %d, %d back", r.end, r.end-r.from(scrollback))
	}
}

func TestSharedEnd(t *testing.T) {
	s, err := NewShared(SharedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var c belljar.Command
	s.Command(&c)
	if c.TTY || c.Stdin != nil || c.Stderr != c.Stdout {
		t.Errorf("%+v", c)
	}
	v := s.Attach(ViewOptions{})
	done := make(chan error, 1)
	go func() { done <- s.Run(context.WithoutCancel(t.Context()), nil) }()
	_, _ = c.Stdout.WriteString("last words")
	_ = c.Stdout.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if b, err := v.Next(); string(b) != "last words" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if _, err := v.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	_ = s.Close()
}
