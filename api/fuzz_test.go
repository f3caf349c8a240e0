package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"testing"

	"github.com/belljar-dev/belljar"
)

func seedFrames(f *testing.F) {
	f.Add(exitFrame(3, 0))
	f.Add(append(sizeFrame(24, 80), creditFrame(chanOut, 5)...))
	f.Add(appendFrame(nil, frameData, []byte{chanErr}, []byte("x")))
	f.Add(appendFrame(appendFrame(nil, frameEnd, []byte{chanIn}), frameData, []byte{chanIn}, []byte("after the end")))
	f.Add(appendFrame(nil, frameSignal, []byte{65}))
	f.Add([]byte{'d', 0xff, 0xff, 0xff})
	b, _ := json.Marshal(faultOf(&belljar.Error{Kind: belljar.KindRefused, Err: io.EOF}))
	f.Add(appendFrame(nil, frameFault, b))
	f.Add(appendFrame(nil, frameNote, []byte(`{"osc":3}`)))
	f.Add(bytes.Repeat(appendFrame(nil, frameData, []byte{chanOut}, make([]byte, maxFrame-1)), 6))
}

// fuzzMux gives b to one end of a connection and wants it to stay within its bounds and to end.
func fuzzMux(t *testing.T, b []byte, order func(*mux) func(frame) error) {
	a, z := net.Pipe()
	defer z.Close()
	go func() { _, _ = io.Copy(io.Discard, z) }()
	m := &mux{}
	m = newMux(a, bytes.NewReader(b), func(f frame) error { return order(m)(f) })
	m.run()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.in {
		if len(m.in[i].buf) > window || m.credit[i] > window {
			t.Errorf("channel %d: %d bytes, credit %d", i, len(m.in[i].buf), m.credit[i])
		}
	}
	if m.ended == nil {
		t.Error("it did not end")
	}
}

// FuzzServerFrames: what a caller may send to the supervisor.
func FuzzServerFrames(f *testing.F) {
	seedFrames(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &fakeProcess{}
		x := &execution{proc: p}
		fuzzMux(t, b, func(*mux) func(frame) error { return x.order })
		if p.worst < 0 || p.worst > maxSignal {
			t.Errorf("signal %d", p.worst)
		}
	})
}

// FuzzTakerFrames: what who took a sandbox may send.
func FuzzTakerFrames(f *testing.F) {
	seedFrames(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &Caller{x: &execution{proc: &fakeProcess{}}, signals: make(chan belljar.Signal, 8), printed: make(chan map[string]int, 1)}
		fuzzMux(t, b, func(*mux) func(frame) error { return c.order })
		for len(c.signals) > 0 {
			if s := <-c.signals; s < 1 || s > maxSignal {
				t.Errorf("signal %d", s)
			}
		}
		if len(c.printed) > 0 && len(<-c.printed) > maxDropped {
			t.Error("more than is taken")
		}
	})
}

// FuzzClientFrames: what a supervisor that was taken over may send.
func FuzzClientFrames(f *testing.F) {
	seedFrames(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Stream{name: "box", exited: make(chan struct{})}
		fuzzMux(t, b, func(m *mux) func(frame) error {
			s.m = m
			return s.order
		})
		if st := s.status.Status(); st < 0 || st > 128+maxSignal && s.status.Signal != 0 || st > 255 {
			t.Errorf("status %d", st)
		}
	})
}

type fakeProcess struct {
	belljar.Process
	worst int
}

func (p *fakeProcess) Signal(s belljar.Signal) error {
	p.worst = max(p.worst, int(s))
	if s < 1 {
		p.worst = -1
	}
	return nil
}

func (p *fakeProcess) Resize(belljar.WindowSize) error { return nil }

// TestFrameBounds: frames that break the rules end the connection.
func TestFrameBounds(t *testing.T) {
	data := appendFrame(nil, frameData, []byte{chanIn}, make([]byte, maxFrame-1))
	for name, b := range map[string][]byte{
		"more than the window": bytes.Repeat(data, window/maxFrame+2),
		"data after the end":   append(appendFrame(nil, frameEnd, []byte{chanIn}), data...),
		"unknown kind":         appendFrame(nil, 'Q'),
		"no channel":           appendFrame(nil, frameData),
		"credit for nothing":   creditFrame(chanOut, 1),
		"too long":             {'d', 1, 0, 0},
		"no such signal":       appendFrame(nil, frameSignal, []byte{0}),
		"an exit of ours":      exitFrame(0, 0),
		"half a frame":         {'d', 0, 0, 9, 0},
	} {
		a, z := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, z) }()
		m := newMux(a, bytes.NewReader(b), (&execution{proc: &fakeProcess{}}).order)
		m.run()
		if m.ended == nil || m.ended == io.EOF {
			t.Errorf("%s: %v", name, m.ended)
		}
		_ = z.Close()
	}
}
