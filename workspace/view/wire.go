package view

import (
	"encoding/binary"
	"errors"

	"github.com/belljar-dev/belljar"
)

// One message of the socket between supervisor and server is one packet: a kind,
// then what belongs to it. The server holds bytes of the agent, so the supervisor
// parses with suspicion; everything is bounded by the packet.
const (
	msgServe  = 1 // supervisor: view number; carries the device
	msgServed = 2 // server: view number
	msgFailed = 3 // server: text; it ends
	msgEvents = 4 // server: counts, file events
	msgLimit  = 5 // server: limit, used
	msgReady  = 6 // server: it is set up
	msgConfig = 7 // supervisor, first: carries a file with the configuration and the root of each view

	maxPacket = 60 << 10 // below every socket buffer
	maxName   = 5 << 10  // PATH_MAX and some
)

// counts are totals since the start.
type counts struct{ passed, held, refused, dropped uint64 }

type packet struct {
	kind   byte
	view   int
	text   string
	counts counts
	events []belljar.FileEvent
	max    int64
	used   int64
}

var errPacket = errors.New("damaged message from the file server")

func (p *packet) encode() []byte {
	b := []byte{p.kind}
	switch p.kind {
	case msgServe, msgServed:
		b = binary.AppendUvarint(b, uint64(p.view))
	case msgFailed:
		b = appendString(b, p.text)
	case msgLimit:
		b = binary.AppendUvarint(b, uint64(p.max))
		b = binary.AppendUvarint(b, uint64(p.used))
	case msgEvents:
		for _, n := range []uint64{p.counts.passed, p.counts.held, p.counts.refused, p.counts.dropped, uint64(len(p.events))} {
			b = binary.AppendUvarint(b, n)
		}
		for i := range p.events {
			b = appendEvent(b, &p.events[i])
		}
	}
	return b
}

func appendEvent(b []byte, e *belljar.FileEvent) []byte {
	for _, s := range []string{e.Path, e.Op, e.To, e.Verdict, e.Class, e.Reason} {
		b = appendString(b, s)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	if len(s) > maxName {
		s = s[:maxName]
	}
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decode parses one packet.
func decode(b []byte) (packet, error) {
	if len(b) == 0 {
		return packet{}, errPacket
	}
	r := reader{b: b[1:]}
	p := packet{kind: b[0]}
	switch p.kind {
	case msgReady, msgConfig:
	case msgServe, msgServed:
		p.view = int(r.number() & 0xffff)
	case msgFailed:
		p.text = r.text()
	case msgLimit:
		p.max, p.used = int64(r.number()), int64(r.number())
	case msgEvents:
		p.counts = counts{r.number(), r.number(), r.number(), r.number()}
		n := r.number()
		if n > uint64(len(r.b)/6) { // six strings of one byte at least
			return packet{}, errPacket
		}
		for range n {
			p.events = append(p.events, belljar.FileEvent{
				Path: r.text(), Op: r.text(), To: r.text(), Verdict: r.text(), Class: r.text(), Reason: r.text(),
			})
		}
	default:
		return packet{}, errPacket
	}
	if r.bad || len(r.b) != 0 {
		return packet{}, errPacket
	}
	return p, nil
}

type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reader) text() string {
	n := r.number()
	if n > maxName || n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
