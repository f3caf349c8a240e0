package credential

import (
	"io"
)

// A stream passes on what it reads from src once judge has seen it. It holds back what
// is not settled, and nothing else: it keeps no buffer of its own but for that.
type stream struct {
	src io.ReadCloser
	// judge returns how many bytes of b are settled; the rest is shown again, with more
	// behind it. Where it returns an error nothing of b is passed on.
	judge func(b []byte, ended bool) (settled int, err error)
	held  []byte // not settled yet
	ready []byte // settled, for a reader that asks for little
	err   error
}

// Read implements [io.Reader].
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if len(s.ready) > 0 {
			n := copy(p, s.ready)
			s.ready = s.ready[n:]
			return n, nil
		}
		if s.err != nil {
			return 0, s.err
		}
		if len(p) > len(s.held)+minFound {
			if n := s.fill(p); n > 0 {
				return n, nil
			}
			continue
		}
		b := make([]byte, len(s.held)+room)
		s.ready = b[:s.fill(b)]
	}
}

// fill reads once into b, behind what was held, and returns how much of b is settled.
func (s *stream) fill(b []byte) int {
	total := copy(b, s.held)
	n, err := s.src.Read(b[total:])
	total += n
	settled, wrong := s.judge(b[:total], err != nil)
	if wrong != nil {
		s.held, s.err = nil, wrong
		clear(b[:total])
		return 0
	}
	s.held = append(s.held[:0], b[settled:total]...)
	clear(b[settled:total])
	s.err = err
	return settled
}

// Close closes the source.
func (s *stream) Close() error { return s.src.Close() }
