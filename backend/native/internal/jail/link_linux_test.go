package jail

import (
	"net/netip"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestAddresses: the copy in this package is the contract's.
func TestAddresses(t *testing.T) {
	for _, c := range []struct{ have, want netip.Addr }{
		{netip.AddrFrom4(guestIPv4), belljar.GuestIPv4},
		{netip.AddrFrom4(gatewayIPv4), belljar.GatewayIPv4},
		{netip.AddrFrom16(guestIPv6), belljar.GuestIPv6},
		{netip.AddrFrom16(gatewayIPv6), belljar.GatewayIPv6},
	} {
		if c.have != c.want {
			t.Errorf("%s, want %s", c.have, c.want)
		}
	}
	if bitsIPv4 != belljar.NamesIPv4.Bits() || bitsIPv6 != belljar.NamesIPv6.Bits() {
		t.Errorf("prefixes of %d and %d bits, want %d and %d", bitsIPv4, bitsIPv6, belljar.NamesIPv4.Bits(), belljar.NamesIPv6.Bits())
	}
}
