package h1

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
)

// A body is what an answer says. At its end the connection is free for another request;
// closed before, or broken off, the connection is over.
type body struct {
	src  io.Reader // net/http's: it reads the chunks' frames and the trailers
	pc   *conn
	ctx  context.Context // of the request
	stop func() bool     // ends waiting for ctx; false: it has ended
	keep bool            // the connection may carry another request

	over atomic.Bool // the connection is not the body's any more
	done error       // of the last read; used by Read only
}

var errClosed = errors.New("read of the body of an answer that was closed")

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.done != nil:
		return 0, b.done
	case b.over.Load():
		return 0, errClosed
	}
	n, err := b.src.Read(p)
	switch {
	case err == io.EOF:
		b.end(b.keep)
	case err != nil:
		if b.ctx.Err() != nil {
			err = context.Cause(b.ctx)
		}
		b.end(false)
	}
	b.done = err
	return n, err
}

// Close implements [io.Closer]. It does not wait for a read.
func (b *body) Close() error {
	b.end(false)
	return nil
}

// end gives the connection back, once.
func (b *body) end(keep bool) {
	if b.over.CompareAndSwap(false, true) {
		b.pc.finished(b.stop() && keep)
	}
}
