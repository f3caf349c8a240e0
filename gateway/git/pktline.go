// Package git judges what git sends over HTTP: the query of info/refs, the request of
// a fetch, the commands of a push, and whether the pack behind them shows that each
// update is a fast-forward. It reads bytes and gives verdicts; it knows no network.
//
//	p, head, err := git.ReadPush(body, budget)
//	if no := p.Judge(patterns); no == nil {
//		send(io.MultiReader(head, p.Pack(ctx, body)))
//	}
//
// # Model
//
// The commands of a push stand at its head, in pkt-lines; what is unknown, malformed or
// too large there refuses the whole push. Of a command the server itself checks the old
// value, under its own lock: with the zero id it creates or fails, with another one it
// updates that very value or fails. So a creation is one, and an update is a
// fast-forward when the old commit is an ancestor of the new one. That is shown by the
// pack: it holds the new commits with their parents, back to what the server has. The
// pack is read while it is passed on, and its last bytes, without which no server takes
// it, are held back until every update is shown to be one.
//
// # Limitations
//
// A fast-forward to commits that the server already has (a branch that is set to
// another branch that contains it) is not in the pack and is refused. A reference that
// is a symbolic one on the server is judged by its own name. What a server does by
// itself when something is pushed (hooks, workflows) is not judged, nor are names in
// commits and trees. The ids and capabilities of a fetch are data that reach the server.
package git

import (
	"bufio"
	"errors"
	"io"
)

// maxPkt is the longest pkt-line, its length included.
const maxPkt = 65520

// ErrPkt is that what was read is no pkt-line.
var ErrPkt = errors.New("malformed pkt-line")

// A pktKind tells the special packets apart.
type pktKind int

const (
	pktData  pktKind = iota
	pktFlush         // 0000
	pktDelim         // 0001
	pktEnd           // 0002
)

// readPkt reads one pkt-line into what room gives for its data. A packet that is cut
// off is ErrPkt, the end before its first byte io.EOF. Lengths are hexadecimal of
// either case, as git reads them, and at least 4 with data.
func readPkt(r *bufio.Reader, room func(n int) ([]byte, error)) (pktKind, []byte, error) {
	if _, err := r.Peek(1); err != nil {
		return 0, nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, cutOff(err)
	}
	n := 0
	for _, c := range head {
		v := unhex(c)
		if v < 0 {
			return 0, nil, ErrPkt
		}
		n = n<<4 | v
	}
	switch {
	case n == 0:
		return pktFlush, nil, nil
	case n == 1:
		return pktDelim, nil, nil
	case n == 2:
		return pktEnd, nil, nil
	case n < 4, n > maxPkt:
		return 0, nil, ErrPkt
	}
	data, err := room(n - 4)
	if err != nil {
		return 0, nil, err
	}
	if _, err := io.ReadFull(r, data); err != nil {
		return 0, nil, cutOff(err)
	}
	return pktData, data, nil
}

// cutOff is the error of a read in the middle of something.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrPkt
	}
	return err
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendPkt appends s as a pkt-line; it is cut where it does not fit.
func appendPkt(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	s = s[:min(len(s), maxPkt-4)]
	n := len(s) + 4
	b = append(b, digits[n>>12], digits[n>>8&15], digits[n>>4&15], digits[n&15])
	return append(b, s...)
}
