package gateway

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestClassify(t *testing.T) {
	for c, list := range map[class]string{
		public: "1.1.1.1 93.184.216.34 8.8.8.8 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 192.0.1.1 198.17.0.1 198.20.0.1 223.255.255.255 " +
			"2606:4700::1111 2a00:1450::1 64:ff9b::5db8:d822 ::ffff:93.184.216.34 2002:5db8:d822::1",
		private: "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255 fc00::1 fd12:3456::1 ::ffff:10.0.0.1",
		never: "127.0.0.1 127.255.255.254 ::1 0.0.0.0 0.1.2.3 :: 169.254.0.1 169.254.169.254 fe80::1 fec0::1 224.0.0.1 239.1.1.1 ff02::1 255.255.255.255 240.0.0.1 " +
			"198.18.0.1 198.19.255.255 fdbe:117a:5::1 192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1 192.0.0.1 192.0.0.192 192.88.99.1 " +
			"100.100.100.200 168.63.129.16 fd00:ec2::254 fd20:ce::254 " +
			"::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:198.18.0.1 ::127.0.0.1 ::10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::a00:1 64:ff9b:1::1 " +
			"2002:7f00:1::1 2002:a9fe:a9fe::1 2002:c0a8:1::1 2001:0:7f00:1::1 2001:0:5db8:d822:0:0:80ff:fffe 2606:4700::5efe:127.0.0.1 2606:4700::200:5efe:10.0.0.1 " +
			"100::1 4000::1 1::1 5f00::1 e000::1",
	} {
		for _, s := range strings.Fields(list) {
			if got, why := classify(netip.MustParseAddr(s)); got != c || (why == "") != (c == public) {
				t.Errorf("%s: class %d (%s), want %d", s, got, why, c)
			}
		}
	}
	if c, _ := classify(netip.Addr{}); c != never {
		t.Error("no address at all may be dialled")
	}
	if c, _ := classify(netip.MustParseAddr("fe80::1%eth0")); c != never {
		t.Error("a zone may be dialled")
	}
}

// FuzzClassify: whatever an address embeds, a forbidden IPv4 address stays so.
func FuzzClassify(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{8, 8, 8, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 4 {
			return
		}
		v4 := netip.AddrFrom4([4]byte(b))
		c, _ := classify(v4)
		mapped, _ := classify(netip.AddrFrom16(v4.As16()))
		if mapped != c {
			t.Fatalf("%s: mapped %d, plain %d", v4, mapped, c)
		}
		nat := netip.MustParseAddr("64:ff9b::").As16()
		copy(nat[12:], b)
		six := netip.MustParseAddr("2002::1").As16()
		copy(six[2:], b)
		for _, a := range [][16]byte{nat, six} {
			if got, _ := classify(netip.AddrFrom16(a)); (got == public) != (c == public) || got == private {
				t.Fatalf("%s: class %d, embedded %d", netip.AddrFrom16(a), got, c)
			}
		}
	})
}

func TestOwnAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var own []net.Addr
		var fail error
		g := &guard{list: func() ([]net.Addr, error) { return own, fail }}
		a := netip.MustParseAddr("93.184.216.34")
		if why, _ := g.check(a, false); why != "" {
			t.Error(why)
		}
		own = []net.Addr{&net.IPNet{IP: net.ParseIP("93.184.216.34"), Mask: net.CIDRMask(24, 32)}}
		time.Sleep(ownAge + time.Millisecond) // of the bubble's clock
		for _, allowPrivate := range []bool{false, true} {
			if why, fixable := g.check(a, allowPrivate); why != "an address of this host" || fixable {
				t.Error(why, fixable)
			}
		}
		if why, _ := g.check(netip.MustParseAddr("::ffff:93.184.216.34"), true); why == "" {
			t.Error("the mapped form is not known")
		}
		fail = errors.New("no")
		time.Sleep(ownAge + time.Millisecond)
		if why, _ := g.check(netip.MustParseAddr("8.8.8.8"), true); why == "" {
			t.Error("a host that does not tell its addresses is trusted")
		}
	})
}

func TestCanonicalName(t *testing.T) {
	for in, want := range map[string]string{
		"Example.COM": "example.com", "example.com.": "example.com", "a_b.example": "a_b.example", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"localhost": "localhost", "1a.example": "1a.example", "0xg.example": "0xg.example", "1.2.3.4.example": "1.2.3.4.example",
	} {
		if got, err := canonicalName(in); got != want || err != nil {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", ".", "..", "example.com..", ".example.com", "a..b", "-a.example", "a-.example", "bücher.example", "github\u3002com",
		"a b", "a\x00.example", "a\r\nb", "a@b", "a/b", "a:80", "[::1]", "1.2.3.4", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x.example.0x7f", "a.0",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "example", `a\046b.example`, "a%00b", "*.example",
	} {
		if got, err := canonicalName(in); err == nil {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func FuzzAuthority(f *testing.F) {
	for _, s := range []string{"example.com:443", "[::1]:80", "1.2.3.4:1", "a:b:c", "example.com:0443", "[fe80::1%eth0]:1", "a@b:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseAuthority(s, 443)
		if err != nil {
			return
		}
		if (got.host == "") == !got.addr.IsValid() || got.port == 0 || got.addr.Zone() != "" || got.addr.Is4In6() {
			t.Fatalf("%q: %+v", s, got)
		}
		if got.host == "" {
			return
		}
		again, err := canonicalName(got.host)
		if err != nil || again != got.host {
			t.Fatalf("%q: %q is not canonical: %q, %v", s, got.host, again, err)
		}
		if _, err := netip.ParseAddr(got.host); err == nil {
			t.Fatalf("%q: the name is an address", s)
		}
	})
}
