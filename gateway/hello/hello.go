// Package hello reads the TLS ClientHello at the beginning of a connection that
// is passed through, for the name that the client asks for.
//
// It is strict where a lenient reader and the server might understand different
// names: an extension or a host name that appears twice, bytes after the message
// and lengths that do not fit are errors. A message may be spread over records
// and packets in any way.
//
// # Limitations
//
// Only the outer name of an encrypted ClientHello is seen.
package hello

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxSize bounds the bytes of a ClientHello with its record headers.
const MaxSize = 64 << 10

// ErrNotTLS says that the connection does not begin with a TLS handshake.
var ErrNotTLS = errors.New("not a TLS handshake")

var errShort = errors.New("a length in the ClientHello does not fit")

// A Hello is what a ClientHello asks for.
type Hello struct {
	ServerName string // as sent; empty when there is none
	ECH        bool   // an encrypted ClientHello, or grease that looks like one
}

const (
	recordHandshake = 22
	maxRecord       = 1<<14 + 256
	extServerName   = 0
	extECH          = 0xfe0d
)

// Read reads records from r until the ClientHello is complete, never a byte
// further. It returns every byte read, also with an error, so that the caller
// can pass them on.
func Read(r io.Reader) (Hello, []byte, error) {
	var raw, msg []byte
	for len(msg) < 4 || len(msg) < messageSize(msg) {
		at := len(raw)
		raw = append(raw, make([]byte, 5)...)
		if n, err := io.ReadFull(r, raw[at:]); err != nil {
			return Hello{}, raw[:at+n], fmt.Errorf("read record: %w", err)
		}
		if raw[at] != recordHandshake || raw[at+1] != 3 {
			return Hello{}, raw, ErrNotTLS
		}
		size := int(binary.BigEndian.Uint16(raw[at+3:]))
		if size == 0 || size > maxRecord || len(raw)+size > MaxSize {
			return Hello{}, raw, errors.New("a record of the ClientHello is empty or too large")
		}
		raw = append(raw, make([]byte, size)...)
		if n, err := io.ReadFull(r, raw[at+5:]); err != nil {
			return Hello{}, raw[:at+5+n], fmt.Errorf("read record: %w", err)
		}
		msg = append(msg, raw[at+5:]...)
		if msg[0] != 1 {
			return Hello{}, raw, ErrNotTLS
		}
		if len(msg) >= 4 && messageSize(msg) > MaxSize {
			return Hello{}, raw, errors.New("the ClientHello is too large")
		}
	}
	if len(msg) != messageSize(msg) {
		return Hello{}, raw, errors.New("bytes follow the ClientHello in its record")
	}
	h, err := parse(msg[4:])
	return h, raw, err
}

func messageSize(msg []byte) int { return 4 + int(msg[1])<<16 + int(msg[2])<<8 + int(msg[3]) }

// A cursor takes fields off the front of a message; once a length does not fit
// it stays bad.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n > len(c.b) {
		c.bad = true
		return nil
	}
	f := c.b[:n]
	c.b = c.b[n:]
	return f
}

// number takes a big-endian number of n bytes.
func (c *cursor) number(n int) int {
	v := 0
	for _, x := range c.take(n) {
		v = v<<8 | int(x)
	}
	return v
}

// vector takes a field whose length stands before it in n bytes.
func (c *cursor) vector(n int) cursor {
	f := c.take(c.number(n))
	return cursor{b: f, bad: c.bad}
}

func parse(body []byte) (Hello, error) {
	var h Hello
	c := cursor{b: body}
	c.take(2 + 32) // version, random
	c.vector(1)    // session
	suites, compression := c.vector(2), c.vector(1)
	if c.bad || len(suites.b) < 2 || len(compression.b) < 1 {
		return h, errShort
	}
	if len(c.b) == 0 {
		return h, nil // no extensions
	}
	exts := c.vector(2)
	if c.bad || len(c.b) != 0 {
		return h, errShort
	}
	seen := make(map[int]bool)
	for len(exts.b) > 0 {
		kind := exts.number(2)
		data := exts.vector(2)
		if exts.bad {
			return h, errShort
		}
		if seen[kind] {
			return h, fmt.Errorf("extension %d appears twice", kind)
		}
		seen[kind] = true
		switch kind {
		case extECH:
			h.ECH = true
		case extServerName:
			name, err := serverName(data)
			if err != nil {
				return h, err
			}
			h.ServerName = name
		}
	}
	return h, nil
}

// serverName reads a server_name extension: a list with exactly one host name.
func serverName(c cursor) (string, error) {
	list := c.vector(2)
	if c.bad || len(c.b) != 0 {
		return "", errShort
	}
	kind := list.number(1)
	name := list.vector(2)
	switch {
	case list.bad:
		return "", errShort
	case len(list.b) != 0:
		return "", errors.New("more than one server name")
	case kind != 0:
		return "", errors.New("a server name that is no host name")
	case len(name.b) == 0:
		return "", errors.New("an empty server name")
	}
	return string(name.b), nil
}
