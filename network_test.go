package belljar

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func testNetwork() *Network {
	return &Network{Rules: []NetRule{
		{Host: "api.example.com", Ports: []uint16{443}},
		{Host: "*.files.example.com", Ports: []uint16{443, 8443}},
		{Host: "api.example.com", Ports: []uint16{22}},
		{Host: Localhost, Ports: []uint16{9000}},
		{CIDR: netip.MustParsePrefix("10.20.0.0/24"), Ports: []uint16{5432}},
		{CIDR: netip.MustParsePrefix("2606:4700::/32"), Ports: []uint16{443}},
	}}
}

func TestDecide(t *testing.T) {
	addr := netip.MustParseAddr
	for _, c := range []struct {
		r     NetRequest
		allow bool
		text  string // of rule or nearest rule
		fix   string
	}{
		{NetRequest{Host: "api.example.com", Port: 443}, true, "api.example.com", ""},
		{NetRequest{Host: "api.example.com", Port: 22}, true, "api.example.com", ""},
		{NetRequest{Host: "api.example.com"}, true, "api.example.com", ""},
		{NetRequest{Host: "api.example.com", Port: 80}, false, "api.example.com", "--allow api.example.com:80"},
		{NetRequest{Host: "x.api.example.com", Port: 443}, false, "api.example.com", "--allow x.api.example.com"},
		{NetRequest{Host: "a.files.example.com", Port: 443}, true, "*.files.example.com", ""},
		{NetRequest{Host: "a.b.files.example.com", Port: 8443}, true, "*.files.example.com", ""},
		{NetRequest{Host: "files.example.com", Port: 443}, false, "*.files.example.com", "--allow files.example.com"},
		{NetRequest{Host: "afiles.example.com", Port: 443}, false, "api.example.com", "--allow afiles.example.com"},
		{NetRequest{Host: ".files.example.com", Port: 443}, false, "*.files.example.com", "--allow .files.example.com"},
		{NetRequest{Host: "a.files.example.com.evil.test", Port: 443}, false, "", "--allow a.files.example.com.evil.test"},
		{NetRequest{Host: "example.net", Port: 443}, false, "", "--allow example.net"},
		{NetRequest{Host: "other.com", Port: 443}, false, "", "--allow other.com"},
		{NetRequest{Host: "localhost", Port: 9000}, true, "localhost", ""},
		{NetRequest{Host: "localhost", Port: 443}, false, "localhost", "--allow localhost:443"},
		{NetRequest{Host: "x.localhost", Port: 9000}, false, "", "--allow x.localhost:9000"},
		{NetRequest{Addr: addr("10.20.0.5"), Port: 5432}, true, "10.20.0.0/24", ""},
		{NetRequest{Addr: addr("::ffff:10.20.0.5"), Port: 5432}, true, "10.20.0.0/24", ""},
		{NetRequest{Addr: addr("10.20.0.5"), Port: 22}, false, "10.20.0.0/24", "--allow 10.20.0.5:22"},
		{NetRequest{Addr: addr("10.20.1.5"), Port: 5432}, false, "", "--allow 10.20.1.5:5432"},
		{NetRequest{Addr: addr("10.20.1.5")}, false, "", "--allow 10.20.1.5"},
		{NetRequest{Addr: addr("2606:4700::1"), Port: 443}, true, "2606:4700::/32", ""},
		{NetRequest{Addr: addr("2606:4701::1"), Port: 80}, false, "", "--allow [2606:4701::1]:80"},
		{NetRequest{Host: "api.example.com", Addr: addr("10.20.0.5"), Port: 5432}, false, "api.example.com", "--allow api.example.com:5432"},
		{NetRequest{Port: 443}, false, "", ""},
		{NetRequest{}, false, "", ""},
	} {
		d := testNetwork().Decide(c.r)
		text := ""
		for _, r := range []*NetRule{d.Rule, d.Nearest} {
			if r != nil && r.Host != "" {
				text = r.Host
			} else if r != nil {
				text = r.CIDR.String()
			}
		}
		if d.Allow != c.allow || text != c.text || d.Fix != c.fix || (d.Reason == "") != c.allow {
			t.Errorf("%+v: %+v, rule %q", c.r, d, text)
		}
	}
}

func TestZeroNetworkAllowsNothing(t *testing.T) {
	var n Network
	for _, r := range []NetRequest{{Host: "localhost", Port: 80}, {Host: "a.example"}, {Addr: netip.MustParseAddr("1.1.1.1"), Port: 443}, {}} {
		if n.Decide(r).Allow {
			t.Errorf("%+v is allowed", r)
		}
	}
}

// FuzzDecide holds Decide against the plainest reading of the rules.
func FuzzDecide(f *testing.F) {
	f.Add("a.files.example.com", uint16(443))
	f.Add("files.example.com", uint16(443))
	f.Add("evil.test", uint16(0))
	f.Fuzz(func(t *testing.T, host string, port uint16) {
		n := testNetwork()
		d := n.Decide(NetRequest{Host: host, Port: port})
		want := false
		switch {
		case host == "api.example.com":
			want = port == 0 || port == 443 || port == 22
		case host == Localhost:
			want = port == 0 || port == 9000
		case len(host) > len(".files.example.com") && strings.HasSuffix(host, ".files.example.com"):
			want = port == 0 || port == 443 || port == 8443
		}
		if d.Allow != want {
			t.Fatalf("%q port %d: %v", host, port, d.Allow)
		}
	})
}

// BenchmarkDecide refuses with ten thousand rules, the slow way.
func BenchmarkDecide(b *testing.B) {
	n := &Network{}
	for i := range 10_000 {
		n.Rules = append(n.Rules, NetRule{Host: fmt.Sprintf("h%d.example.com", i), Ports: []uint16{443}})
	}
	for b.Loop() {
		n.Decide(NetRequest{Host: "evil.example.net", Port: 443})
	}
}
