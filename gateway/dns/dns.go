// Package dns answers the sandbox's questions about names, by itself: nothing is
// ever asked of anybody else.
//
// [Answer] is a pure function from a message to a message; what exists is told
// by a [Zone]. Known names have one A and one AAAA record and nothing else; every
// other type is answered empty. Unknown names are REFUSED, with the reason as an
// extended error for clients that can show it.
//
// # Limitations
//
// One question per message, class IN. No negative-caching SOA is sent.
package dns

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Status says what a [Zone] knows of a name.
type Status int

// What can be known of a name.
const (
	Refused Status = iota // not in the policy
	Known
	Full // allowed, but no address is left for it
)

// A Result is what a name stands for.
type Result struct {
	Status     Status
	IPv4, IPv6 netip.Addr
	Reason     string // why it is refused
}

// A Zone knows names. Its methods are safe for concurrent use.
type Zone interface {
	// Find looks a name up; it is given without its trailing dot, otherwise as it was asked.
	Find(name string) Result
	// Name is the name that an address of ours stands for.
	Name(a netip.Addr) (string, bool)
}

const (
	ttl     = 60
	udpSize = 1232
	maxTCP  = 4 << 10 // a question is never larger
	tcpIdle = 10 * time.Second
	blocked = 15 // the extended error of that name
)

// Answer is the answer to msg, nil when there must be none.
func Answer(msg []byte, z Zone) []byte {
	if len(msg) < 12 || msg[2]&0x80 != 0 {
		return nil // no header, or itself an answer
	}
	var q dns.Msg
	if err := q.Unpack(msg); err != nil {
		return formErr(msg)
	}
	a := new(dns.Msg)
	a.SetReply(&q)
	a.RecursionAvailable, a.Compress = true, true
	switch {
	case q.Opcode != dns.OpcodeQuery:
		a.Rcode = dns.RcodeNotImplemented
	case len(q.Question) != 1 || len(q.Answer)+len(q.Ns) != 0:
		return formErr(msg)
	default:
		resolve(a, &q, z)
	}
	b, err := a.Pack()
	if err != nil {
		return formErr(msg)
	}
	return b
}

func resolve(a, q *dns.Msg, z Zone) {
	question := q.Question[0]
	opt := q.IsEdns0()
	if opt != nil {
		a.SetEdns0(udpSize, false)
		if opt.Version() != 0 {
			a.Rcode = dns.RcodeBadVers
			return
		}
	}
	if question.Qclass != dns.ClassINET || question.Qtype == dns.TypeAXFR || question.Qtype == dns.TypeIXFR {
		a.Rcode = dns.RcodeRefused
		return
	}
	if question.Qtype == dns.TypePTR && pointer(a, question.Name, z) {
		return
	}
	r := z.Find(strings.TrimSuffix(question.Name, "."))
	switch r.Status {
	case Known:
		addresses(a, question, r)
	case Full:
		a.Rcode = dns.RcodeServerFailure
	default:
		a.Rcode = dns.RcodeRefused
	}
	if o := a.IsEdns0(); o != nil && r.Reason != "" {
		o.Option = append(o.Option, &dns.EDNS0_EDE{InfoCode: blocked, ExtraText: r.Reason})
	}
}

func addresses(a *dns.Msg, q dns.Question, r Result) {
	h := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: ttl}
	switch {
	case q.Qtype == dns.TypeA && r.IPv4.IsValid():
		a.Answer = []dns.RR{&dns.A{Hdr: h, A: r.IPv4.AsSlice()}}
	case q.Qtype == dns.TypeAAAA && r.IPv6.IsValid():
		a.Answer = []dns.RR{&dns.AAAA{Hdr: h, AAAA: r.IPv6.AsSlice()}}
	}
}

// pointer answers the reverse question for an address of ours.
func pointer(a *dns.Msg, name string, z Zone) bool {
	addr, ok := reverse(name)
	if !ok {
		return false
	}
	n, ok := z.Name(addr)
	if !ok {
		return false
	}
	a.Answer = []dns.RR{&dns.PTR{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: ttl}, Ptr: dns.Fqdn(n)}}
	return true
}

// reverse reads the address out of a name below in-addr.arpa or ip6.arpa.
func reverse(name string) (netip.Addr, bool) {
	name = strings.ToLower(name)
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	switch {
	case strings.HasSuffix(name, ".in-addr.arpa.") && len(labels) == 6:
		a, err := netip.ParseAddr(strings.Join([]string{labels[3], labels[2], labels[1], labels[0]}, "."))
		return a, err == nil
	case strings.HasSuffix(name, ".ip6.arpa.") && len(labels) == 34:
		var s strings.Builder
		for i := 31; i >= 0; i-- {
			s.WriteString(labels[i])
			if i%4 == 0 && i > 0 {
				s.WriteByte(':')
			}
		}
		a, err := netip.ParseAddr(s.String())
		return a, err == nil
	}
	return netip.Addr{}, false
}

// formErr is a bare header that says so.
func formErr(msg []byte) []byte {
	b := make([]byte, 12)
	copy(b, msg[:4])
	b[2] = 0x80 | msg[2]&0x79
	b[3] = 0x80 | dns.RcodeFormatError
	return b
}

// ServeUDP answers datagrams until the socket is closed. Allowed is asked before
// each; what it does not allow is dropped.
func ServeUDP(pc net.PacketConn, z Zone, allowed func() bool) {
	b := make([]byte, 64<<10)
	for {
		n, from, err := pc.ReadFrom(b)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !temporary(err) {
				return
			}
			continue
		}
		if !allowed() {
			continue
		}
		if a := Answer(b[:n], z); a != nil {
			_, _ = pc.WriteTo(a, from)
		}
	}
}

func temporary(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// ServeTCP answers the questions of one connection until it is idle or closed.
func ServeTCP(c net.Conn, z Zone, allowed func() bool) {
	b := make([]byte, maxTCP)
	for allowed() {
		_ = c.SetDeadline(time.Now().Add(tcpIdle))
		var head [2]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(head[:]))
		if n > len(b) {
			return
		}
		if _, err := io.ReadFull(c, b[:n]); err != nil {
			return
		}
		a := Answer(b[:n], z)
		if a == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}
