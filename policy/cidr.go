package policy

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/belljar-dev/belljar"
)

// A reserved range is one that no rule may touch.
type reserved struct {
	prefix netip.Prefix
	what   string
}

// reservedRanges are the addresses that no policy can allow. The gateway's address
// guard refuses them again when it dials.
var reservedRanges = sync.OnceValue(func() []reserved {
	var l []reserved
	for _, r := range [][2]string{
		{"0.0.0.0/8", "unspecified"},
		{"127.0.0.0/8", "loopback, which only the name localhost reaches"},
		{"169.254.0.0/16", "link-local, with the cloud's metadata service"},
		{"100.100.100.200/32", "a cloud's metadata service"},
		{"168.63.129.16/32", "a cloud's metadata service"},
		{"192.0.0.0/24", "a cloud's metadata service and protocol assignments"},
		{"224.0.0.0/4", "multicast"},
		{"240.0.0.0/4", "reserved and broadcast"},
		{"::/96", "unspecified, loopback and embedded IPv4 addresses"},
		{"::ffff:0:0/96", "embedded IPv4 addresses"},
		{"64:ff9b::/96", "embedded IPv4 addresses"},
		{"64:ff9b:1::/48", "embedded IPv4 addresses"},
		{"2001::/32", "embedded IPv4 addresses"},
		{"2002::/16", "embedded IPv4 addresses"},
		{"fd00:ec2::/32", "a cloud's metadata service"},
		{"fd20:ce::/32", "a cloud's metadata service"},
		{"fe80::/10", "link-local"},
		{"fec0::/10", "site-local"},
		{"ff00::/8", "multicast"},
	} {
		l = append(l, reserved{netip.MustParsePrefix(r[0]), r[1]})
	}
	return append(l, reserved{belljar.NamesIPv4, "belljar's own addresses"}, reserved{belljar.NamesIPv6, "belljar's own addresses"})
})

// checkPrefix refuses a prefix that touches a reserved range.
func checkPrefix(p netip.Prefix) error {
	for _, r := range reservedRanges() {
		if r.prefix.Overlaps(p) {
			return fmt.Errorf("%s contains or lies in %s (%s)", p, r.prefix, r.what)
		}
	}
	return nil
}

// parsePrefix reads a CIDR strictly; an address alone stands for itself.
func parsePrefix(s string) (p netip.Prefix, suggestion string, err error) {
	if a, aerr := netip.ParseAddr(s); aerr == nil {
		if a.Zone() != "" {
			return p, "", fmt.Errorf("%q has a zone, which no rule can name", s)
		}
		a = a.Unmap()
		p = netip.PrefixFrom(a, a.BitLen())
		return p, "", checkPrefix(p)
	}
	p, err = netip.ParsePrefix(s)
	if err != nil {
		return p, "", fmt.Errorf("%q is neither an address nor a CIDR such as 10.20.0.0/16", s)
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, "", fmt.Errorf("%q embeds an IPv4 address: write it as IPv4", s)
	}
	if m := p.Masked(); m != p {
		return p, fmt.Sprintf("write %s, or %s/%d for the one address", m, p.Addr(), p.Addr().BitLen()),
			fmt.Errorf("%q has bits set behind its length", s)
	}
	return p, "", checkPrefix(p)
}
