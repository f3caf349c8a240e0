package gateway

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// idleFlow is how long a connection may carry nothing; idleHalf the same once
	// one side has ended its direction.
	idleFlow = 2 * time.Hour
	idleHalf = 5 * time.Minute
)

// flows are the connections of a sandbox, bounded.
type flows struct {
	max int

	mu     sync.Mutex
	all    map[*flow]struct{}
	closed bool
}

func newFlows(most int) *flows { return &flows{max: most, all: make(map[*flow]struct{})} }

// A flow is one connection of the sandbox with what belongs to it.
type flow struct {
	last atomic.Int64 // unix seconds of the last byte
	half atomic.Bool  // one direction has ended

	mu     sync.Mutex
	closed bool
	conns  map[io.Closer]struct{}
}

// open registers a flow; nil when there are too many or the gateway is closing.
// The number is how many there are with it.
func (fs *flows) open() (*flow, int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed || len(fs.all) >= fs.max {
		return nil, len(fs.all)
	}
	f := &flow{conns: make(map[io.Closer]struct{})}
	f.touch()
	fs.all[f] = struct{}{}
	return f, len(fs.all)
}

func (fs *flows) done(f *flow) {
	f.close()
	fs.mu.Lock()
	delete(fs.all, f)
	fs.mu.Unlock()
}

func (fs *flows) list() []*flow {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var l []*flow
	for f := range fs.all {
		l = append(l, f)
	}
	return l
}

func (fs *flows) closeIdle(now time.Time) {
	for _, f := range fs.list() {
		limit := idleFlow
		if f.half.Load() {
			limit = idleHalf
		}
		if now.Sub(time.Unix(f.last.Load(), 0)) > limit {
			f.close()
		}
	}
}

func (fs *flows) closeAll() {
	fs.mu.Lock()
	fs.closed = true
	fs.mu.Unlock()
	for _, f := range fs.list() {
		f.close()
	}
}

func (f *flow) touch() { f.last.Store(time.Now().Unix()) }

// own closes c with the flow, at once when the flow is closed already.
func (f *flow) own(c io.Closer) {
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.conns[c] = struct{}{}
	}
	f.mu.Unlock()
	if closed {
		_ = c.Close()
	}
}

// disown forgets a connection that was closed on its own.
func (f *flow) disown(c io.Closer) {
	f.mu.Lock()
	delete(f.conns, c)
	f.mu.Unlock()
}

// close ends everything that belongs to the flow. Idempotent.
func (f *flow) close() {
	f.mu.Lock()
	conns := f.conns
	f.conns, f.closed = nil, true
	f.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
}

// A counted connection counts its bytes.
type counted struct {
	net.Conn
	flow           *flow
	buffers        *buffers // for ReadFrom
	sent, received atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	c.flow.touch()
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	c.flow.touch()
	return n, err
}

// ReadFrom sends all of r. It is how net/http sends what is large.
func (c *counted) ReadFrom(r io.Reader) (int64, error) {
	return c.buffers.readFrom(c, r)
}

// Close closes the connection and forgets it.
func (c *counted) Close() error {
	c.flow.disown(c)
	return c.Conn.Close()
}

// SyscallConn implements [syscall.Conn], where the connection is one of the kernel's.
func (c *counted) SyscallConn() (syscall.RawConn, error) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return sc.SyscallConn()
}

// CloseWrite passes on the end of what is sent.
func (c *counted) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite ends one direction, where the connection can.
func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}
