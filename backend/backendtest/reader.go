package backendtest

import (
	"os"
	"strings"
	"sync"
	"time"
)

// A reader collects what arrives and lets a test wait for a text.
type reader struct {
	mu   sync.Mutex
	got  strings.Builder
	more chan struct{} // replaced at each arrival
	end  bool
}

func newReader(f *os.File) *reader {
	r := &reader{more: make(chan struct{})}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			r.mu.Lock()
			r.got.Write(buf[:n])
			r.end = err != nil
			close(r.more)
			r.more = make(chan struct{})
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return r
}

func (r *reader) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.String()
}

// until waits until the text has arrived.
func (r *reader) until(text string, d time.Duration) bool { return r.untilAfter(0, text, d) }

// untilAfter waits for a text behind the first n bytes.
func (r *reader) untilAfter(n int, text string, d time.Duration) bool {
	deadline := time.After(d)
	for {
		r.mu.Lock()
		got, more, end := r.got.String(), r.more, r.end
		r.mu.Unlock()
		if len(got) >= n && strings.Contains(got[n:], text) {
			return true
		}
		if end {
			return false
		}
		select {
		case <-more:
		case <-deadline:
			return false
		}
	}
}
