package httpproxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// watchAfter is how long a request may take before its client is watched.
const watchAfter = 100 * time.Millisecond

// A watch notices that a client has gone while its request is being answered: an
// answer that nobody waits for may cost money. It begins once the request's body is
// read, and reads nothing out of the connection's reader.
type watch struct {
	s    *session
	b    *body // nil: the request has none
	gone func()

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	done    chan struct{} // not nil once it reads; closed when it does no more
}

// watch begins to watch; gone is called when the client has gone. The caller stops it
// before the connection is read again.
func (s *session) watch(b *body, gone func()) *watch {
	w := &watch{s: s, b: b, gone: gone}
	w.mu.Lock()
	w.timer = time.AfterFunc(watchAfter, w.begin)
	w.mu.Unlock()
	return w
}

func (w *watch) begin() {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return
	}
	if w.b != nil && !w.b.ended.Load() {
		w.timer.Reset(watchAfter)
		w.mu.Unlock()
		return
	}
	done := make(chan struct{})
	w.done = done
	w.mu.Unlock()
	defer close(done)
	_, err := w.s.br.Peek(1)
	var n net.Error
	switch {
	case err == nil: // the next request
	case errors.As(err, &n) && n.Timeout(): // stopped
	case w.s.endsAtOnce() || !errors.Is(err, io.EOF):
		w.gone()
	}
}

// stop ends watching. Idempotent.
func (w *watch) stop() {
	w.mu.Lock()
	w.stopped = true
	done := w.done
	w.done = nil
	w.timer.Stop()
	w.mu.Unlock()
	if done == nil {
		return
	}
	_ = w.s.c.SetReadDeadline(time.Unix(1, 0))
	<-done
	_ = w.s.c.SetReadDeadline(time.Time{})
}

// endsAtOnce says whether a client that ends its direction waits for no answer: so it
// is within TLS. In clear there are programs that send a request, end their direction
// and read.
func (s *session) endsAtOnce() bool {
	_, secure := s.c.(interface{ ConnectionState() tls.ConnectionState })
	return secure
}
