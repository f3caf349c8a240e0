package h1

import "net"

// A wire is the connection beneath TLS. It knows whether it has given whole records only.
type wire struct {
	net.Conn
	probing bool // it gives nothing

	head [5]byte // of the next record: its kind, version and length
	have int     // of head
	left int     // of the record
}

// errNothing is what a read of a wire ends with that would have to wait. It is
// temporary: the connection goes on.
var errNothing error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing has been read yet" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// Read implements [net.Conn].
func (w *wire) Read(b []byte) (int, error) {
	if w.probing {
		return 0, errNothing
	}
	n, err := w.Conn.Read(b)
	w.follow(b[:n])
	return n, err
}

// follow counts records.
func (w *wire) follow(b []byte) {
	for len(b) > 0 {
		if w.left > 0 {
			n := min(w.left, len(b))
			w.left -= n
			b = b[n:]
			continue
		}
		n := copy(w.head[w.have:], b)
		w.have += n
		b = b[n:]
		if w.have == len(w.head) {
			w.have, w.left = 0, int(w.head[3])<<8|int(w.head[4])
		}
	}
}

// whole says that no record has been given in part.
func (w *wire) whole() bool { return w.have == 0 && w.left == 0 }
