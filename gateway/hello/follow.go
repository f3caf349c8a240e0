package hello

import (
	"encoding/binary"
	"errors"
	"io"
)

// The content types of records.
const (
	recordCipherSpec = 20
	recordAlert      = 21
)

// A follower reads what a client sends after its first ClientHello.
type follower struct {
	r       io.Reader
	check   func(Hello) error
	pending []byte // judged, not yet returned
	msg     []byte // of the handshake message that is being sent
	cipher  bool   // a change of cipher went before: what follows may be encrypted
	done    bool
	err     error
}

// Follow reads what a client sends after its first ClientHello. A server may
// answer that one by asking for another, in clear again and with a name again: it
// is given to check before its end is passed on, and an error of check ends the
// reading. From the first record on that cannot belong to a ClientHello, bytes
// pass unchanged.
func Follow(r io.Reader, check func(Hello) error) io.Reader { return &follower{r: r, check: check} }

func (f *follower) Read(b []byte) (int, error) {
	for len(f.pending) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		if f.done {
			return f.r.Read(b)
		}
		f.record()
	}
	n := copy(b, f.pending)
	f.pending = f.pending[n:]
	return n, nil
}

// record takes one record and judges it.
func (f *follower) record() {
	head := make([]byte, 5)
	n, err := io.ReadFull(f.r, head)
	if err != nil {
		f.pending, f.err = head[:n], unwrapEOF(err)
		return
	}
	size := int(binary.BigEndian.Uint16(head[3:]))
	if head[0] != recordHandshake && head[0] != recordCipherSpec && head[0] != recordAlert || size > maxRecord {
		f.pending, f.done = head, true
		return
	}
	rec := append(head, make([]byte, size)...)
	n, err = io.ReadFull(f.r, rec[5:])
	if err != nil {
		// A record that is cut off is nothing to the server: it is left out.
		f.err = unwrapEOF(err)
		return
	}
	switch head[0] {
	case recordCipherSpec:
		f.cipher = true
	case recordHandshake:
		if f.err = f.handshake(rec[5:]); f.err != nil {
			return
		}
	}
	f.pending = rec[:5+n]
}

// handshake judges a piece of a handshake message that may be encrypted.
func (f *follower) handshake(piece []byte) error {
	f.msg = append(f.msg, piece...)
	switch {
	case len(f.msg) == 0:
		return nil
	case f.msg[0] != 1:
		f.done, f.msg = true, nil
		return nil
	case len(f.msg) < 4 || len(f.msg) < messageSize(f.msg) && len(f.msg) <= MaxSize:
		return nil // incomplete: the server can make nothing of it yet
	}
	h, err := Hello{}, errors.New("a second ClientHello that does not fit its records")
	if len(f.msg) == messageSize(f.msg) {
		h, err = parse(f.msg[4:])
	}
	if err != nil && f.cipher {
		f.done, f.msg = true, nil // encrypted bytes that begin like a ClientHello
		return nil
	}
	if err == nil {
		err = f.check(h)
	}
	f.msg = nil
	return err
}

func unwrapEOF(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
