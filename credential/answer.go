package credential

import (
	"io"
	"time"
)

const (
	// room is how much is read at once behind what is held back, and where a reader asks
	// for less.
	room = 32 << 10
	// patience is how long the end of a piece is held back because a value may begin in
	// it, where it is so short (less than minFound) that it may be passed on: a prompt. No
	// time is enough for more than that, because an agent can stall the connection with
	// other requests, and where it stops is where a value is cut.
	patience = time.Second
)

// An answer passes on what it reads from src, without the values of keys.
//
// What it holds back, how it cuts pieces and when it passes them on depends on the
// alphabet and on what arrives, never on a value: a host that sends what an agent chose
// would otherwise tell the agent how much of its guess is right, character by character.
// It holds back the run of characters at the end of a piece in which a value might begin,
// until more arrives or the answer ends; a short one until [patience] is over. What was
// passed on then is remembered: where it turns out to be the beginning of a value, the rest
// is replaced. What is held when an answer breaks off is dropped: an agent may have broken
// it off.
type answer struct {
	src  io.ReadCloser
	keys *Keys
	now  *known  // the last that was there
	ws   *frames // of a WebSocket; nil of anything else

	held   []byte // not settled yet, and before that
	passed int    // how many of its bytes were passed on all the same
	ready  []byte // settled, for a reader that asks for little
	err    error

	buf  []byte
	read chan int // the result of a read into buf that goes on; nil for none
	late error    // its error, once read was received from
	work []byte
}

// Read implements [io.Reader].
func (a *answer) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case len(a.ready) > 0:
			n := copy(p, a.ready)
			clear(a.ready[:n])
			a.ready = a.ready[n:]
			return n, nil
		case a.err != nil:
			return 0, a.err
		case len(a.held) > 0 || a.read != nil || len(p) < minFound:
			a.wait()
			continue
		}
		n, err := a.src.Read(p)
		a.err = err
		settled := len(a.settle(p[:n], n))
		clear(p[settled:n])
		if settled > 0 {
			return settled, nil
		}
	}
}

// wait reads behind what is held back, until something arrives or, where that is short,
// patience is over.
func (a *answer) wait() {
	if a.read == nil {
		if a.buf == nil {
			a.buf = make([]byte, room)
		}
		done := make(chan int, 1)
		a.read = done
		go func() {
			n, err := a.src.Read(a.buf)
			a.late = err
			done <- n
		}()
	}
	var over <-chan time.Time
	if len(a.held) > a.passed && len(a.held) < minFound {
		t := time.NewTimer(patience)
		defer t.Stop()
		over = t.C
	}
	select {
	case n := <-a.read:
		a.read, a.err = nil, a.late
		a.work = append(append(a.work[:0], a.held...), a.buf[:n]...)
		clear(a.buf[:n])
		a.ready = a.settle(a.work, n)
	case <-over:
		a.work = append(a.work[:0], a.held...)
		a.ready = a.letGo(a.work)
	}
}

// settle replaces the values in b, which begins with what is held and ends with n bytes
// that are new, and returns what can be passed on of it; the rest is held from now on.
func (a *answer) settle(b []byte, n int) []byte {
	k := a.known()
	hold := k.abc.hold
	if a.err == io.EOF {
		hold = whole
	} else if a.err == nil && a.ws != nil && a.ws.ends(b[len(b)-n:]) {
		return a.letGo(b)
	}
	settled, _ := k.mask(b, hold)
	from := min(a.passed, settled)
	a.held = append(a.held[:0], b[settled:]...)
	a.passed -= from
	return b[from:settled]
}

// letGo replaces the values in b, which begins with what is held, and returns all of it
// that was not passed on. In what may be the beginning of a value it is remembered.
func (a *answer) letGo(b []byte) []byte {
	k := a.known()
	from := a.passed
	_, behind := k.mask(b, whole)
	a.held = append(a.held[:0], b[k.abc.hold(b, behind):]...)
	a.passed = len(a.held)
	return b[from:]
}

// known is what is searched for now. What was closed is searched for until the answer
// ends.
func (a *answer) known() *known {
	if now := a.keys.values.Load(); now != nil {
		a.now = now
	}
	return a.now
}

// Close closes the source, also while it is read.
func (a *answer) Close() error { return a.src.Close() }
