package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/belljar-dev/belljar/credential"
)

const (
	// A request with a login's token is sent again when the upstream answers 401, at most
	// maxTries times: another sandbox, or the host, may have rotated the login meanwhile.
	maxTries = 3
	// Its body is kept for that, as long as it has at most maxRepeated bytes, and those of all
	// requests at most repeatedAll.
	maxRepeated = 4 << 20
	repeatedAll = 32 << 20
	// giveBack is how long the transport may take to leave a body alone.
	giveBack = 5 * time.Second
)

// repeating is rt, with another try where a token of v was rotated under a request.
func (g *Gateway) repeating(rt http.RoundTripper, v *credential.Verdict) http.RoundTripper {
	if v == nil || !v.Renewable() {
		return rt
	}
	return &repeater{g: g, rt: rt, v: v}
}

type repeater struct {
	g  *Gateway
	rt http.RoundTripper
	v  *credential.Verdict
}

// RoundTrip implements [http.RoundTripper].
func (h *repeater) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Trailer != nil {
		return h.rt.RoundTrip(r)
	}
	body := &keptBody{g: h.g, src: r.Body}
	defer body.release()
	for try := 1; ; try++ {
		out := r.Clone(r.Context())
		if r.Body != nil && r.Body != http.NoBody {
			out.Body = body.next()
		}
		resp, err := h.rt.RoundTrip(out)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || try == maxTries || !body.whole(r.Context()) {
			body.last()
			return resp, err
		}
		if !h.v.Renew(r.Context(), r.Header) {
			body.last()
			return resp, err
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // the connection is of use
		_ = resp.Body.Close()
	}
}

// A keptBody is the body of a request that may be sent again.
type keptBody struct {
	g   *Gateway
	src io.ReadCloser

	mu   sync.Mutex
	buf  []byte
	over bool    // it is too large to be kept
	cur  *replay // that the transport reads
	done bool    // the last attempt is under way
}

// replay is the body in one attempt: what was read before, then the rest.
type replay struct {
	b      *keptBody
	old    bytes.Reader
	closed chan struct{}
	once   sync.Once
}

// next is the body of the next attempt, once the one before was closed.
func (b *keptBody) next() io.ReadCloser {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cur = &replay{b: b, closed: make(chan struct{})}
	b.cur.old.Reset(b.buf)
	return b.cur
}

// whole says whether the body can be sent again, and waits until the transport has left
// it alone.
func (b *keptBody) whole(ctx context.Context) bool {
	b.mu.Lock()
	cur := b.cur
	b.mu.Unlock()
	if cur != nil {
		t := time.NewTimer(giveBack)
		defer t.Stop()
		select {
		case <-cur.closed:
		case <-t.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.over
}

// last lets go of what is kept: there is no further attempt.
func (b *keptBody) last() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = true
	cur := b.cur
	if cur == nil {
		return
	}
	select {
	case <-cur.closed:
		_ = b.src.Close()
	default: // whoever reads it closes it
	}
}

// release gives the memory back.
func (b *keptBody) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
}

func (b *keptBody) drop() {
	b.g.kept.Add(-int64(len(b.buf)))
	b.buf, b.over = nil, true
}

// Read implements [io.Reader].
func (r *replay) Read(p []byte) (int, error) {
	select {
	case <-r.closed:
		return 0, errors.New("read of a closed body")
	default:
	}
	if r.old.Len() > 0 {
		return r.old.Read(p)
	}
	n, err := r.b.src.Read(p)
	r.b.keep(p[:n])
	return n, err
}

// keep adds to what is kept, unless that is too much.
func (b *keptBody) keep(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over || len(p) == 0:
	case b.done || len(b.buf)+len(p) > maxRepeated || b.g.kept.Load()+int64(len(p)) > repeatedAll:
		b.drop()
	default:
		b.g.kept.Add(int64(len(p)))
		b.buf = append(b.buf, p...)
	}
}

// Close implements [io.Closer]. The client's body stays open for another attempt.
func (r *replay) Close() error {
	r.once.Do(func() { close(r.closed) })
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	if r.b.done {
		return r.b.src.Close()
	}
	return nil
}
