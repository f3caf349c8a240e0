package api

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A mux carries three channels of bytes and a few orders over one connection. Each channel
// has a window: more than that is never sent before the other side has taken some, so that
// a reader who does not read one channel holds up nothing else, and nobody has to keep
// more than a window for each. It is the same at both ends.
type mux struct {
	conn    net.Conn
	frames  *frameReader
	handle  func(frame) error // of orders; called by run alone
	writing sync.Mutex        // held for a whole frame

	mu     sync.Mutex
	change *sync.Cond
	in     [chans]inbox
	credit [chans]int // what may be sent
	ended  error      // why nothing comes or goes any more
	done   chan struct{}
}

// An inbox is what has come of a channel and was not taken yet.
type inbox struct {
	buf   []byte
	taken int // since credit was given
	eof   bool
}

var errEnded = errors.New("the connection has ended")

func newMux(conn net.Conn, r io.Reader, handle func(frame) error) *mux {
	m := &mux{conn: conn, frames: newFrameReader(r), handle: handle, done: make(chan struct{})}
	m.change = sync.NewCond(&m.mu)
	for i := range m.credit {
		m.credit[i] = window
	}
	return m
}

// run reads frames until the connection ends, or something comes that must not.
func (m *mux) run() {
	for {
		f, err := m.frames.next()
		if err == nil {
			err = m.take(f)
		}
		if err != nil {
			m.end(err)
			return
		}
	}
}

func (m *mux) take(f frame) error {
	switch f.kind {
	case frameData, frameEnd, frameCredit:
	default:
		return m.handle(f)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.change.Broadcast()
	box := &m.in[f.channel]
	switch f.kind {
	case frameEnd:
		box.eof = true
	case frameCredit:
		if m.credit[f.channel]+f.credit > window {
			return errFrame
		}
		m.credit[f.channel] += f.credit
	case frameData:
		if box.eof || len(box.buf)+box.taken+len(f.data) > window {
			return errFrame // more than it may send
		}
		box.buf = append(box.buf, f.data...)
	}
	return nil
}

// over says whether no more comes of a channel.
func (m *mux) over(channel byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.in[channel].eof
}

// end ends the mux, the first time.
func (m *mux) end(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended != nil {
		return
	}
	m.ended = err
	close(m.done)
	m.change.Broadcast()
	_ = m.conn.Close()
}

func (m *mux) close() { m.end(errEnded) }

// read takes bytes of a channel. What has come is there to be read after the connection's end.
func (m *mux) read(channel byte, p []byte) (int, error) {
	m.mu.Lock()
	box := &m.in[channel]
	for len(box.buf) == 0 {
		if box.eof || m.ended != nil {
			err := m.ended
			m.mu.Unlock()
			if box.eof {
				err = io.EOF
			}
			return 0, err
		}
		m.change.Wait()
	}
	n := copy(p, box.buf)
	if box.buf = box.buf[n:]; len(box.buf) == 0 {
		box.buf = nil
	}
	credit := 0
	if box.taken += n; box.taken >= window/4 && !box.eof {
		credit, box.taken = box.taken, 0
	}
	m.mu.Unlock()
	if credit > 0 {
		_ = m.send(creditFrame(channel, credit)) // who does not get it has gone
	}
	return n, nil
}

// write sends bytes of a channel, as the other side takes them.
func (m *mux) write(channel byte, p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := m.reserve(channel, min(len(p)-done, maxFrame-1))
		if err != nil {
			return done, err
		}
		if err := m.send(appendFrame(make([]byte, 0, headSize+1+n), frameData, []byte{channel}, p[done:done+n])); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// reserve waits until some of n bytes may be sent, and says how many.
func (m *mux) reserve(channel byte, n int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.credit[channel] == 0 && m.ended == nil && !m.in[channel].eof {
		m.change.Wait()
	}
	if m.ended != nil {
		return 0, m.ended
	}
	if m.in[channel].eof { // the reader's end of it: nobody reads
		return 0, io.ErrClosedPipe
	}
	n = min(n, m.credit[channel])
	m.credit[channel] -= n
	return n, nil
}

// finish says that no more comes of a channel, or is read of it: each has one direction.
func (m *mux) finish(channel byte) error { return m.send(appendFrame(nil, frameEnd, []byte{channel})) }

// send writes whole frames.
func (m *mux) send(b []byte) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	if _, err := m.conn.Write(b); err != nil {
		m.end(err)
		return err
	}
	return nil
}

// hurry bounds what is still to be sent.
func (m *mux) hurry(d time.Duration) { _ = m.conn.SetWriteDeadline(time.Now().Add(d)) }

// A channel is one channel of a mux, for one direction.
type channel struct {
	m  *mux
	id byte
}

// Read implements [io.Reader].
func (c channel) Read(p []byte) (int, error) { return c.m.read(c.id, p) }

// Write implements [io.Writer].
func (c channel) Write(p []byte) (int, error) { return c.m.write(c.id, p) }

// Close implements [io.Closer]: the other side reads the end, or cannot write any more.
func (c channel) Close() error { return c.m.finish(c.id) }
