package gateway

import (
	"net/netip"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/dns"
)

// zone tells the DNS server what exists.
type zone struct{ g *Gateway }

func (z zone) Find(asked string) dns.Result {
	name, err := canonicalName(asked)
	if err != nil {
		d := belljar.Decision{Reason: "a name that is no host name: " + printable(asked)}
		z.g.rec.refuse(z.g.context(), "dns", target{}, d)
		return dns.Result{Reason: "not a host name"}
	}
	switch {
	case name == belljar.Localhost || strings.HasSuffix(name, "."+belljar.Localhost):
		return dns.Result{Status: dns.Known, IPv4: netip.AddrFrom4([4]byte{127, 0, 0, 1}), IPv6: netip.IPv6Loopback()}
	case z.g.own(name):
		return dns.Result{Status: dns.Known, IPv4: belljar.GatewayIPv4, IPv6: belljar.GatewayIPv6}
	}
	t := target{host: name}
	d := z.g.judge(t.request())
	if !d.Allow {
		z.g.rec.refuse(z.g.context(), "dns", t, d)
		return dns.Result{Reason: explain(d)}
	}
	i, err := z.g.names.add(name)
	if err != nil {
		z.g.rec.refuse(z.g.context(), "dns", target{}, belljar.Decision{Nearest: d.Rule, Reason: err.Error()})
		return dns.Result{Status: dns.Full, Reason: err.Error()}
	}
	return dns.Result{Status: dns.Known, IPv4: addr4(i), IPv6: addr6(i)}
}

func (z zone) Name(a netip.Addr) (string, bool) {
	switch a {
	case belljar.GatewayIPv4, belljar.GatewayIPv6:
		return belljar.PolicyHost, true
	case belljar.LocalhostIPv4, belljar.LocalhostIPv6:
		return belljar.Localhost, true
	}
	if a.IsLoopback() {
		return belljar.Localhost, true
	}
	return z.g.names.name(a)
}

// explain is the reason of a refusal with what would allow it, in one line.
func explain(d belljar.Decision) string {
	if d.Fix == "" {
		return d.Reason
	}
	return d.Reason + "; allowed by: " + d.Fix
}

// printable keeps a raw name short and harmless.
func printable(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' && r != '…' {
			return '?'
		}
		return r
	}, s)
}
