package gateway

import (
	"fmt"
	"io"
	"net/http"

	"github.com/belljar-dev/belljar"
)

// A longError says that an answer is longer than its rule allows.
type longError struct{ most, has int64 } // has is 0 where only that is known

// Error says how long it may be.
func (e *longError) Error() string {
	if e.has > 0 {
		return fmt.Sprintf("the policy allows answers of %d bytes at most, and this one has %d", e.most, e.has)
	}
	return fmt.Sprintf("the policy allows answers of %d bytes at most, and this one is longer", e.most)
}

// A boundBody is a body, or what comes back on an upgraded connection, that breaks off
// behind so many bytes as the server sends: chunks are not counted, what is compressed
// is not decoded, and trailers are part of it.
type boundBody struct {
	io.ReadCloser
	x    *exchange
	resp *http.Response
	left int64
}

// Read breaks off at the first byte too many.
func (b *boundBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return b.ReadCloser.Read(p)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	size := int64(n)
	if err == io.EOF {
		size += sizeOf(b.resp.Trailer)
	}
	if size <= b.left {
		b.left -= size
		return n, err
	}
	n, b.left = min(n, int(b.left)), 0
	clear(b.resp.Trailer)
	long := &longError{most: b.x.most}
	b.x.tellLong(belljar.Decision{Reason: b.x.t.name() + ": " + long.Error()})
	return n, long
}

// sizeOf is how many bytes a header has.
func sizeOf(h http.Header) (n int64) {
	for name, values := range h {
		for _, v := range values {
			n += int64(len(name) + len(": \r\n") + len(v))
		}
	}
	return n
}

// writableBody is the body of an upgraded connection.
type writableBody struct {
	*boundBody
	io.Writer
}

// tellLong records, once, that an answer was cut or refused for its length.
func (x *exchange) tellLong(d belljar.Decision) {
	x.long.Do(func() {
		x.mu.Lock()
		e := x.event
		x.mu.Unlock()
		x.g.rec.refuseRequest(x.ctx, e.Proto, x.t, d, belljar.NetEvent{Method: e.Method, Path: e.Path, Status: http.StatusForbidden})
	})
}
