package gateway

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
)

// class says whether an address may be dialled.
type class int

const (
	public  class = iota
	private       // needs a rule that says so
	never         // no rule, option or build relaxes this
)

type block struct {
	prefix netip.Prefix
	why    string
}

func blocks(why string, prefixes ...string) []block {
	var bs []block
	for _, p := range prefixes {
		bs = append(bs, block{netip.MustParsePrefix(p), why})
	}
	return bs
}

func join(lists ...[]block) (all []block) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

var neverBlocks = join(
	blocks("a loopback address", "127.0.0.0/8", "::1/128"),
	blocks("a metadata service", "169.254.169.254/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
		"fd00:ec2::254/128", "fd20:ce::254/128"),
	blocks("a link-local address", "169.254.0.0/16", "fe80::/10", "fec0::/10"),
	blocks("an unspecified address", "0.0.0.0/8", "::/128"),
	blocks("a broadcast address", "255.255.255.255/32"),
	blocks("a multicast address", "224.0.0.0/4", "ff00::/8"),
	blocks("an address of the sandbox's own network", "198.18.0.0/15", "fdbe:117a:5::/64"),
	blocks("a documentation address", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
	blocks("a reserved address", "192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4",
		"100::/64", "100:0:0:1::/64", "64:ff9b:1::/48", "2001:2::/48", "2001:10::/28", "2001:20::/28", "5f00::/16"),
)

var privateBlocks = blocks("a private address", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

// classify judges an address by its number alone.
func classify(a netip.Addr) (class, string) {
	if !a.IsValid() || a.Zone() != "" {
		return never, "not an address"
	}
	a = a.Unmap()
	for _, b := range neverBlocks {
		if b.prefix.Contains(a) {
			return never, b.why
		}
	}
	for _, b := range privateBlocks {
		if b.prefix.Contains(a) {
			return private, b.why
		}
	}
	for _, e := range embedded(a) {
		if c, why := classify(e); c != public {
			return never, "an address that leads to " + why
		}
	}
	if a.Is6() && a.As16()[0]>>5 != 1 && !nat64.Contains(a) {
		return never, "a reserved address"
	}
	return public, ""
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32")
	compatible = netip.MustParsePrefix("::/96")
)

// embedded lists the IPv4 addresses that an IPv6 address carries.
func embedded(a netip.Addr) []netip.Addr {
	if !a.Is6() {
		return nil
	}
	b := a.As16()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case nat64.Contains(a), compatible.Contains(a):
		return []netip.Addr{at(12)}
	case sixToFour.Contains(a):
		return []netip.Addr{at(2)}
	case teredo.Contains(a):
		client := at(12).As4()
		for i := range client {
			client[i] = ^client[i]
		}
		return []netip.Addr{at(4), netip.AddrFrom4(client)}
	case b[9] == 0 && b[8]&^3 == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP
		return []netip.Addr{at(12)}
	}
	return nil
}

// ownAge is how long this host's addresses are believed.
const ownAge = 2 * time.Second

// A guard knows which addresses may be dialled from this host.
type guard struct {
	list func() ([]net.Addr, error) // this host's addresses

	mu   sync.Mutex
	read time.Time
	own  map[netip.Addr]bool
}

func newGuard() *guard { return &guard{list: net.InterfaceAddrs} }

// check says why a must not be dialled; empty when it may be. Fixable is true
// when a rule could allow it.
func (g *guard) check(a netip.Addr, allowPrivate bool) (why string, fixable bool) {
	c, why := classify(a)
	switch {
	case ablate.Off(ablate.Guard):
		return "", false
	case c == never:
		return why, false
	case g.isOwn(a):
		return "an address of this host", false
	case c == private && !allowPrivate:
		return why, true
	}
	return "", false
}

// isOwn says whether a is an address of this host. When the host does not tell,
// everything is.
func (g *guard) isOwn(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.own == nil || time.Since(g.read) > ownAge {
		g.own, g.read = nil, time.Now()
		addrs, err := g.list()
		if err != nil {
			return true
		}
		g.own = make(map[netip.Addr]bool, len(addrs))
		for _, n := range addrs {
			if p, err := netip.ParsePrefix(n.String()); err == nil {
				g.own[p.Addr().Unmap().WithZone("")] = true
			}
		}
	}
	return g.own[a.Unmap()]
}

// literal says why an address that a program named itself can never be allowed,
// and what would be instead.
func (g *guard) literal(t target) (refused bool, d belljar.Decision) {
	why, fixable := g.check(t.addr, true)
	if why == "" || fixable {
		return false, d
	}
	d.Reason = "the address " + t.addr.String() + " is " + why + ", which no rule can allow"
	if t.addr.IsLoopback() {
		d.Fix = "--allow localhost:" + strconv.Itoa(int(t.port))
	}
	return true, d
}
