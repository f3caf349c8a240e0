// Package socks reads the requests of SOCKS clients: version 5 without
// authentication, version 4 and 4a; CONNECT only.
//
// Names are returned as they were sent; judging them is the caller's.
//
// # Limitations
//
// BIND, UDP ASSOCIATE and authentication are refused.
package socks

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// maxString bounds user and host of version 4.
const maxString = 255

// A Request asks for a connection to Name or Addr; exactly one is set.
type Request struct {
	Version byte // 4 or 5
	Name    string
	Addr    netip.Addr
	Port    uint16
}

// A Result is how a request ended, for the answer.
type Result int

// The results that the protocol can tell apart.
const (
	Connected   Result = iota
	NotAllowed         // by policy
	Unreachable        // no name, no route, no answer
	ConnRefused        // by the other side
)

// Read reads one request, answering the negotiation of version 5 on w. On error
// the client has been told as far as the protocol allows.
func Read(r *bufio.Reader, w io.Writer) (Request, error) {
	v, err := r.ReadByte()
	if err != nil {
		return Request{}, err
	}
	switch v {
	case 4:
		return read4(r, w)
	case 5:
		return read5(r, w)
	}
	return Request{}, fmt.Errorf("SOCKS version %d", v)
}

func read5(r *bufio.Reader, w io.Writer) (Request, error) {
	n, err := r.ReadByte()
	if err != nil {
		return Request{}, err
	}
	methods := make([]byte, n)
	if _, err := io.ReadFull(r, methods); err != nil {
		return Request{}, err
	}
	method := byte(0xff)
	for _, m := range methods {
		if m == 0 {
			method = 0
		}
	}
	if _, err := w.Write([]byte{5, method}); err != nil {
		return Request{}, err
	}
	if method != 0 {
		return Request{}, errors.New("client does not offer to go without authentication")
	}
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Request{}, err
	}
	if head[0] != 5 || head[1] != 1 || head[2] != 0 {
		_, _ = w.Write(reply5(7))
		return Request{}, errors.New("not a CONNECT request")
	}
	req := Request{Version: 5}
	if err := req.address5(r, head[3]); err != nil {
		_, _ = w.Write(reply5(8))
		return Request{}, err
	}
	return req, nil
}

func (req *Request) address5(r *bufio.Reader, kind byte) error {
	size := 0
	switch kind {
	case 1:
		size = 4
	case 4:
		size = 16
	case 3:
		n, err := r.ReadByte()
		if err != nil {
			return err
		}
		if size = int(n); size == 0 {
			return errors.New("an empty name")
		}
	default:
		return fmt.Errorf("address type %d", kind)
	}
	b := make([]byte, size+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	req.Port = binary.BigEndian.Uint16(b[size:])
	if kind == 3 {
		req.Name = string(b[:size])
	} else {
		a, _ := netip.AddrFromSlice(b[:size])
		req.Addr = a.Unmap()
	}
	return nil
}

func read4(r *bufio.Reader, w io.Writer) (Request, error) {
	var head [7]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Request{}, err
	}
	if head[0] != 1 {
		_, _ = w.Write(reply4(91))
		return Request{}, errors.New("not a CONNECT request")
	}
	req := Request{Version: 4, Port: binary.BigEndian.Uint16(head[1:]), Addr: netip.AddrFrom4([4]byte(head[3:]))}
	if _, err := readString(r); err != nil { // the user
		return Request{}, err
	}
	// 0.0.0.x, x not zero, announces a name.
	if head[3] == 0 && head[4] == 0 && head[5] == 0 && head[6] != 0 {
		name, err := readString(r)
		if err == nil && name == "" {
			err = errors.New("an empty name")
		}
		if err != nil {
			_, _ = w.Write(reply4(91))
			return Request{}, err
		}
		req.Name, req.Addr = name, netip.Addr{}
	}
	return req, nil
}

// readString reads up to a NUL.
func readString(r *bufio.Reader) (string, error) {
	var s []byte
	for {
		c, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if c == 0 {
			return string(s), nil
		}
		if s = append(s, c); len(s) > maxString {
			return "", errors.New("a string is too long")
		}
	}
}

func reply5(code byte) []byte { return []byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0} }
func reply4(code byte) []byte { return []byte{0, code, 0, 0, 0, 0, 0, 0} }

// Reply is the answer to a request of version v.
func (req Request) Reply(res Result) []byte {
	if req.Version == 4 {
		if res == Connected {
			return reply4(90)
		}
		return reply4(91)
	}
	return reply5([]byte{Connected: 0, NotAllowed: 2, Unreachable: 4, ConnRefused: 5}[res])
}
