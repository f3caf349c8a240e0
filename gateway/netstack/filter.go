package netstack

import (
	"encoding/binary"
	"net/netip"

	"github.com/belljar-dev/belljar"
)

// A Drop is a packet that went nowhere.
type Drop struct {
	Proto  string     // udp, icmp, ip
	Addr   netip.Addr // destination; invalid when the packet did not say
	Port   uint16     // of udp
	Reason string
}

type verdict int

const (
	deliver verdict = iota
	ignore          // chatter of any IP stack: neighbour discovery, group membership, errors
	refuse
)

const (
	protoICMP4 = 1
	protoIGMP  = 2
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
	protoHop   = 0
)

// judge says what becomes of one packet from the sandbox. It trusts nothing in
// it: every length is checked against the packet's own.
func judge(b []byte) (verdict, Drop) {
	if len(b) == 0 {
		return refuse, Drop{Proto: "ip", Reason: "empty packet"}
	}
	switch b[0] >> 4 {
	case 4:
		return judge4(b)
	case 6:
		return judge6(b)
	}
	return refuse, Drop{Proto: "ip", Reason: "neither IPv4 nor IPv6"}
}

func judge4(b []byte) (verdict, Drop) {
	if len(b) < 20 {
		return refuse, Drop{Proto: "ip", Reason: "truncated packet"}
	}
	src, dst := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	drop := func(reason string) (verdict, Drop) { return refuse, Drop{Proto: "ip", Addr: dst, Reason: reason} }
	total := int(binary.BigEndian.Uint16(b[2:4]))
	switch {
	case total < 20 || total > len(b):
		return drop("wrong length")
	case src.IsUnspecified() && dst.IsMulticast():
		return ignore, Drop{}
	case src != belljar.GuestIPv4:
		return drop("source is not the sandbox's address")
	case b[9] == protoIGMP:
		return ignore, Drop{} // group membership carries options
	case b[0]&0xf != 5:
		return drop("IP options")
	case binary.BigEndian.Uint16(b[6:8])&0x3fff != 0:
		return drop("fragment")
	}
	return judgePayload(payload{proto: b[9], dst: dst, body: b[20:total]})
}

func judge6(b []byte) (verdict, Drop) {
	if len(b) < 40 {
		return refuse, Drop{Proto: "ip", Reason: "truncated packet"}
	}
	src, dst := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	total := 40 + int(binary.BigEndian.Uint16(b[4:6]))
	switch {
	case total > len(b):
		return refuse, Drop{Proto: "ip", Addr: dst, Reason: "wrong length"}
	case dst.IsMulticast() && (b[6] == protoICMP6 || b[6] == protoHop):
		return ignore, Drop{}
	case b[6] == protoICMP6 && (src.IsLinkLocalUnicast() || src.IsUnspecified()):
		return ignore, Drop{}
	case src != belljar.GuestIPv6:
		return refuse, Drop{Proto: "ip", Addr: dst, Reason: "source is not the sandbox's address"}
	}
	return judgePayload(payload{proto: b[6], dst: dst, body: b[40:total], v6: true})
}

type payload struct {
	proto byte
	dst   netip.Addr
	body  []byte
	v6    bool
}

func judgePayload(p payload) (verdict, Drop) {
	switch {
	case p.proto == protoTCP:
		return deliver, Drop{}
	case p.proto == protoUDP && (p.dst.IsMulticast() || p.dst == netip.AddrFrom4([4]byte{255, 255, 255, 255})):
		drop := Drop{Proto: "udp", Addr: p.dst, Reason: "multicast and broadcast leave no sandbox"}
		if len(p.body) >= 4 {
			drop.Port = binary.BigEndian.Uint16(p.body[2:])
		}
		return refuse, drop
	case p.proto == protoUDP:
		return deliver, Drop{}
	case p.proto == protoICMP4 && !p.v6 || p.proto == protoICMP6 && p.v6:
		return judgeICMP(p)
	}
	return refuse, Drop{Proto: "ip", Addr: p.dst, Reason: "protocol is neither TCP nor UDP"}
}

func judgeICMP(p payload) (verdict, Drop) {
	if len(p.body) < 8 {
		return refuse, Drop{Proto: "icmp", Addr: p.dst, Reason: "truncated packet"}
	}
	kind, own, echo := p.body[0], belljar.GatewayIPv4, byte(8)
	if p.v6 {
		own, echo = belljar.GatewayIPv6, 128
	}
	switch {
	case kind == echo && p.dst == own:
		return deliver, Drop{}
	case kind == echo:
		return refuse, Drop{Proto: "icmp", Addr: p.dst, Reason: "ICMP leaves no sandbox"}
	case p.v6 && kind < 128, p.v6 && kind >= 130 && kind <= 137, p.v6 && kind == 143:
		return ignore, Drop{}
	case !p.v6 && (kind == 0 || kind == 3 || kind == 11 || kind == 12):
		return ignore, Drop{}
	}
	return refuse, Drop{Proto: "icmp", Addr: p.dst, Reason: "ICMP leaves no sandbox"}
}
