package credential

import (
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/belljar-dev/belljar"
)

// Argv0 is argv[0] of the process that reads files and runs commands for a supervisor
// that may do neither: see [Keys.Detach].
const Argv0 = "belljar-keys"

// readerSetup is what the process is told first, and all that it is told: it reads these
// sources and no others, whatever becomes of the supervisor.
type readerSetup struct {
	Sources []belljar.CredentialSource
	Host    Host
}

// What an answer of the process is: a head of three big-endian numbers, and so many bytes.
const (
	readValue = iota
	readError
	headSize = 12
)

var errReader = errors.New("the process that reads credentials has ended")

// A reader is the supervisor's hold on the process. It is safe for concurrent use.
type reader struct {
	conn io.ReadWriteCloser

	mu      sync.Mutex
	waiting map[uint32]chan answerRead // by the number of the source; nil once it has ended
}

type answerRead struct {
	value secret
	err   error
}

func newReader(conn io.ReadWriteCloser, s readerSetup) (*reader, error) {
	if err := gob.NewEncoder(conn).Encode(s); err != nil {
		return nil, fmt.Errorf("tell the sources: %w", err)
	}
	r := &reader{conn: conn, waiting: map[uint32]chan answerRead{}}
	go r.take()
	return r, nil
}

// read has source i read. Nobody else reads it meanwhile.
func (r *reader) read(i int) (secret, error) {
	got := make(chan answerRead, 1)
	r.mu.Lock()
	if r.waiting == nil {
		r.mu.Unlock()
		return secret{}, errReader
	}
	r.waiting[uint32(i)] = got
	_, err := r.conn.Write(binary.BigEndian.AppendUint32(nil, uint32(i)))
	r.mu.Unlock()
	if err != nil {
		return secret{}, errReader
	}
	a := <-got
	return a.value, a.err
}

// take takes answers until there are no more.
func (r *reader) take() {
	for {
		i, a, err := readAnswer(r.conn)
		r.mu.Lock()
		if err != nil {
			for _, w := range r.waiting {
				w <- answerRead{err: errReader}
			}
			r.waiting = nil
			r.mu.Unlock()
			return
		}
		if w := r.waiting[i]; w != nil {
			w <- a
			delete(r.waiting, i)
		}
		r.mu.Unlock()
	}
}

func readAnswer(conn io.Reader) (i uint32, a answerRead, err error) {
	var head [headSize]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return 0, a, err
	}
	i, kind, size := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	if size > maxFile+1 {
		return 0, a, errors.New("an answer is too long")
	}
	a.value = newSecret(int(size))
	if _, err := io.ReadFull(conn, a.value.region().b); err != nil {
		a.value.wipe()
		return 0, a, err
	}
	if kind != readValue {
		a.err = errors.New(a.value.copy())
		a.value.wipe()
		a.value = secret{}
	}
	return i, a, nil
}

// serveReads is the process: it answers until nobody asks any more.
func serveReads(conn io.ReadWriter) error {
	var s readerSetup
	// One byte at a time: what follows the setup is not the decoder's.
	if err := gob.NewDecoder(byteReader{conn}).Decode(&s); err != nil {
		return err
	}
	var mu sync.Mutex
	send := func(i, kind uint32, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, i), kind), uint32(len(b)))
		if _, err := conn.Write(head); err == nil {
			_, _ = conn.Write(b) // nobody asks any more, then
		}
	}
	for {
		var number [4]byte
		if _, err := io.ReadFull(conn, number[:]); err != nil {
			return err
		}
		i := binary.BigEndian.Uint32(number[:])
		if int(i) >= len(s.Sources) {
			return errors.New("there is no such source")
		}
		go func() {
			src := source{from: s.Sources[i], host: func() *Host { return &s.Host }}
			v, err := src.read(context.Background())
			if err != nil {
				text := err.Error()
				send(i, readError, []byte(text[:min(len(text), maxFile)]))
				return
			}
			v.with(func(b []byte) { send(i, readValue, b) })
			v.wipe()
		}()
	}
}

// A byteReader is a reader of which a decoder takes no more than it needs.
type byteReader struct{ io.Reader }

// ReadByte implements [io.ByteReader].
func (r byteReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r.Reader, b[:])
	return b[0], err
}

// Detach has files and commands be read by a process of its own from now on, where there
// are any, so that this one can be confined: it must not open or execute anything for them
// any more. What that process reads is fixed. stop ends it; sources have no new values
// then. It comes before the keys are used.
func (k *Keys) Detach() (stop func() error, err error) {
	setup := readerSetup{}
	later := false
	for _, e := range k.entries {
		from := belljar.CredentialSource{}
		if e.src.later() && !e.plan.Withheld {
			from, later = e.src.from, true
			setup.Host = *e.src.host()
		}
		setup.Sources = append(setup.Sources, from)
	}
	if !later {
		return func() error { return nil }, nil
	}
	conn, end, err := startReader()
	if err != nil {
		return nil, &belljar.Error{Op: "start", ID: Argv0, Kind: belljar.KindInternal, Err: err}
	}
	r, err := newReader(conn, setup)
	if err != nil {
		_ = end()
		return nil, &belljar.Error{Op: "start", ID: Argv0, Kind: belljar.KindInternal, Err: err}
	}
	for i, e := range k.entries {
		if e.src.later() && !e.plan.Withheld {
			e.src.elsewhere = func() (secret, error) { return r.read(i) }
		}
	}
	return end, nil
}

// readerDone ends the process: main's way out of [serveReads].
func readerDone(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		os.Exit(1)
	}
	os.Exit(0)
}
