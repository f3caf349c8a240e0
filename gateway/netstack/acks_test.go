package netstack

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// tcp4 is a packet of the gateway's to the guest.
func tcp4(from byte, port uint16, flags header.TCPFlags, options, data string) []byte {
	b := make([]byte, 40, 40+len(options)+len(data))
	b[0], b[9] = 0x45, protoTCP
	copy(b[12:], []byte{198, 18, 0, from, 198, 18, 0, 2})
	binary.BigEndian.PutUint16(b[20:], 443)
	binary.BigEndian.PutUint16(b[22:], port)
	b[32], b[33] = byte((20+len(options))/4)<<4, byte(flags)
	return append(append(b, options...), data...)
}

const (
	stamp = "\x01\x01\x08\x0a12345678"
	sack  = "\x01\x01\x05\x0a12345678"
)

// TestAcks: an acknowledgement is held back only where data followed at once each time, and
// never for longer than ackDelay.
func TestAcks(t *testing.T) {
	ack := func(port uint16) []byte { return tcp4(9, port, header.TCPFlagAck, stamp, "") }
	data := func(port uint16) []byte { return tcp4(9, port, header.TCPFlagAck|header.TCPFlagPsh, stamp, "data") }
	type step struct {
		packet []byte
		after  time.Duration // it comes so long after the one before
		sent   bool
	}
	turn := []step{{ack(1), 0, true}, {data(1), 0, true}}
	trusted := append(append([]step{}, turn...), turn...)
	for name, steps := range map[string][]step{
		"by turns":            append(trusted, step{ack(1), 0, false}, step{data(1), 0, true}, step{ack(1), 0, false}, step{data(1), 0, true}),
		"not at once":         append(trusted, step{ack(1), 0, false}, step{data(1), 2 * ackDelay, true}, step{ack(1), 0, true}),
		"two in a row":        append(trusted, step{ack(1), 0, false}, step{ack(1), 0, true}, step{data(1), 0, true}, step{ack(1), 0, true}),
		"another connection":  append(trusted, step{ack(2), 0, true}, step{ack(1), 0, false}),
		"received in pieces":  append(trusted, step{tcp4(9, 1, header.TCPFlagAck, sack, ""), 0, true}),
		"the end":             append(trusted, step{tcp4(9, 1, header.TCPFlagAck|header.TCPFlagFin, "", ""), 0, true}),
		"a slow server":       {turn[0], {data(1), 2 * ackDelay, true}, turn[0], {data(1), 2 * ackDelay, true}, turn[0], {data(1), 2 * ackDelay, true}, turn[0]},
		"only received":       {turn[0], turn[0], turn[0], turn[0]},
		"options cut short":   append(trusted, step{tcp4(9, 1, header.TCPFlagAck, "\x01\x01\x08\x0a", ""), 0, true}),
		"no TCP":              append(trusted, step{[]byte{0x45}, 0, true}, step{nil, 0, true}),
		"a window, held back": append(trusted, step{tcp4(9, 1, header.TCPFlagAck, "", ""), 0, false}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				late := make(chan []byte, 100)
				a := &acks{began: time.Now().Add(-time.Hour), write: func(b []byte) { late <- b }}
				held := 0
				for i, s := range steps {
					if s.after > 0 {
						<-time.After(s.after)
						if want := held; len(late) != want {
							t.Errorf("%d late packets before step %d, want %d", len(late), i, want)
						}
					}
					if sent, before := a.pass(s.packet); sent != s.sent || before != nil {
						t.Errorf("step %d: sent: %v, before: %q", i, sent, before)
					}
					if held = len(late); !s.sent {
						held++
					}
				}
				last := steps[len(steps)-1]
				<-time.After(2 * ackDelay)
				if !last.sent && (len(late) == 0 || !bytes.Equal(<-late, last.packet)) {
					t.Error("what was held back last is lost")
				}
			})
		})
	}
}

// TestAcksShareASlot: what is held back for a connection goes out before another takes its
// place.
func TestAcksShareASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &acks{began: time.Now().Add(-time.Hour), write: func([]byte) { t.Error("sent twice") }}
		one := tcp4(9, 1, header.TCPFlagAck, stamp, "")
		for range ackTrust {
			a.pass(one)
			a.pass(append(bytes.Clone(one), "data"...))
		}
		if sent, _ := a.pass(one); sent {
			t.Fatal("it was not held back")
		}
		key, _, _ := segment(one)
		for port := uint16(2); ; port++ {
			other := tcp4(9, port, header.TCPFlagAck, stamp, "")
			if k, _, _ := segment(other); k.slot() != key.slot() {
				continue
			}
			if sent, before := a.pass(other); !sent || !bytes.Equal(before, one) {
				t.Errorf("sent: %v, before: %q", sent, before)
			}
			break
		}
		<-time.After(4 * ackDelay)
	})
}

// TestAcksByTurns: of many requests and answers on one connection, most are not
// acknowledged apart; a sender that waits for an acknowledgement gets it. The link is one
// whose ends leave checksums out.
func TestAcksByTurns(t *testing.T) {
	a, b := pair(t)
	a.Unchecked, b.Unchecked = true, true
	st, err := New(Options{Link: a, Dropped: func(Drop) {}, TCP: func(r *Request) {
		c, err := r.Accept(window)
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 10)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	st.Start()
	g, err := NewGuest(b)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	c, err := g.DialTCP(ctx, netip.AddrPortFrom(belljar.GatewayIPv4, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 10)
	ask := func(pieces ...int) {
		for _, n := range pieces {
			if _, err := c.Write(buf[:n]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	}
	const turns = 200
	before := st.s.Stats().TCP.SegmentsSent.Value()
	trusted := func() (trust uint8) {
		st.link.acks.mu.Lock()
		defer st.link.acks.mu.Unlock()
		for i := range st.link.acks.slots {
			trust = max(trust, st.link.acks.slots[i].trust)
		}
		return trust
	}
	// A machine that is busy has some turns take longer than an acknowledgement may wait, and
	// the trust is earned anew: once it must be there.
	trust := uint8(0)
	for n := 0; n < turns || trust < ackTrust && ctx.Err() == nil; n++ {
		ask(10)
		trust = max(trust, trusted())
	}
	if sent := st.s.Stats().TCP.SegmentsSent.Value() - before; sent < turns || trust < ackTrust {
		t.Errorf("%d segments for %d answers, trust %d", sent, turns, trust)
	}
	for range 50 {
		ask(5, 5)
	}
}
