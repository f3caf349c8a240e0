package gateway

import (
	"errors"
	"io"
	"sync"
)

const (
	smallBuffer = 16 << 10
	largeBuffer = 256 << 10
	// maxLarge bounds the large buffers in use at once.
	maxLarge = 64
)

// buffers hands out buffers for copying: small ones to everybody, large ones to
// connections that move much, as long as there are any.
type buffers struct {
	small sync.Pool
	large sync.Pool
	slots chan struct{}
}

func newBuffers() *buffers {
	return &buffers{
		small: sync.Pool{New: func() any { return new([smallBuffer]byte) }},
		large: sync.Pool{New: func() any { return new([largeBuffer]byte) }},
		slots: make(chan struct{}, maxLarge),
	}
}

// relay carries both directions until both have ended. When one side's
// connection breaks, the other's is broken too. The error is the way out's.
func (p *buffers) relay(in *inside, up *counted) error {
	var wg sync.WaitGroup
	var out error
	wg.Go(func() {
		if err := p.copyAll(up, in); err != nil {
			out = err
			_ = up.Close()
			in.abort()
			return
		}
		_ = up.CloseWrite()
		in.flow.half.Store(true)
	})
	if err := p.copyAll(in, up); err != nil {
		in.abort()
		_ = up.Close()
	} else {
		_ = in.CloseWrite()
		in.flow.half.Store(true)
	}
	wg.Wait()
	return out
}

// copyAll copies until src ends. It starts with a small buffer and takes a large
// one when the small one is filled.
func (p *buffers) copyAll(dst io.Writer, src io.Reader) error {
	small := p.small.Get().(*[smallBuffer]byte)
	n, err := copyWith(dst, src, small[:], true)
	p.small.Put(small)
	if err != nil || n == 0 {
		return ended(err)
	}
	buf, giveBack := p.lend() // it moves much
	if buf == nil {
		small := p.small.Get().(*[smallBuffer]byte)
		buf, giveBack = small[:], func() { p.small.Put(small) }
	}
	_, err = copyWith(dst, src, buf, false)
	giveBack()
	return ended(err)
}

// lend hands out a large buffer, as long as there are any.
func (p *buffers) lend() (buf []byte, giveBack func()) {
	if p == nil {
		return nil, func() {}
	}
	select {
	case p.slots <- struct{}{}:
	default:
		return nil, func() {}
	}
	large := p.large.Get().(*[largeBuffer]byte)
	return large[:], func() {
		p.large.Put(large)
		<-p.slots
	}
}

// readFrom copies src to dst and says how much it was.
func (p *buffers) readFrom(dst io.Writer, src io.Reader) (int64, error) {
	if p == nil {
		return io.Copy(struct{ io.Writer }{dst}, src) // not by its ReadFrom, which comes here
	}
	n := &measured{w: dst}
	err := p.copyAll(n, src)
	return n.n, err
}

// measured counts what is written.
type measured struct {
	w io.Writer
	n int64
}

func (m *measured) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.n += int64(n)
	return n, err
}

// copyWith copies through buf until src ends, or, where grow is set, until buf
// was filled; then it returns how much the last read brought.
func copyWith(dst io.Writer, src io.Reader, buf []byte, grow bool) (int, error) {
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return 0, werr
			}
		}
		if err != nil {
			return 0, err
		}
		if grow && n == len(buf) {
			return n, nil
		}
	}
}

// ended is nil for an orderly end.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
