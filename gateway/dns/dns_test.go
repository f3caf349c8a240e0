package dns

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// zone knows a few names.
type zone struct{ asked []string }

func (z *zone) Find(name string) Result {
	z.asked = append(z.asked, name)
	switch strings.ToLower(name) {
	case "api.example.com":
		return Result{Status: Known, IPv4: netip.MustParseAddr("198.18.0.16"), IPv6: netip.MustParseAddr("fdbe:117a:5::1:0:0")}
	case "full.example.com":
		return Result{Status: Full}
	}
	return Result{Reason: "not in the policy"}
}

func (z *zone) Name(a netip.Addr) (string, bool) {
	return "api.example.com", a == netip.MustParseAddr("198.18.0.16") || a == netip.MustParseAddr("fdbe:117a:5::1:0:0")
}

func ask(t *testing.T, name string, qtype uint16, change func(*dns.Msg)) *dns.Msg {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), qtype)
	if change != nil {
		change(q)
	}
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	a := new(dns.Msg)
	if err := a.Unpack(Answer(b, &zone{})); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnswer(t *testing.T) {
	for _, c := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string // of the one answer; empty for none
	}{
		{"api.example.com", dns.TypeA, dns.RcodeSuccess, "198.18.0.16"},
		{"API.Example.com", dns.TypeAAAA, dns.RcodeSuccess, "fdbe:117a:5::1:0:0"},
		{"api.example.com", dns.TypeHTTPS, dns.RcodeSuccess, ""},
		{"api.example.com", dns.TypeSVCB, dns.RcodeSuccess, ""},
		{"api.example.com", dns.TypeTXT, dns.RcodeSuccess, ""},
		{"api.example.com", dns.TypeANY, dns.RcodeSuccess, ""},
		{"api.example.com", dns.TypeAXFR, dns.RcodeRefused, ""},
		{"evil.example", dns.TypeA, dns.RcodeRefused, ""},
		{"evil.example", dns.TypeTXT, dns.RcodeRefused, ""},
		{"full.example.com", dns.TypeA, dns.RcodeServerFailure, ""},
		{"16.0.18.198.in-addr.arpa", dns.TypePTR, dns.RcodeSuccess, "api.example.com."},
		{"8.8.8.8.in-addr.arpa", dns.TypePTR, dns.RcodeRefused, ""},
		{"0.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.0.0.0.0.5.0.0.0.a.7.1.1.e.b.d.f.ip6.arpa", dns.TypePTR, dns.RcodeSuccess, "api.example.com."},
	} {
		a := ask(t, c.name, c.qtype, nil)
		got := ""
		if len(a.Answer) > 0 {
			f := strings.Fields(a.Answer[0].String())
			got = f[len(f)-1]
		}
		if a.Rcode != c.rcode || got != c.want || len(a.Answer) > 1 {
			t.Errorf("%s %s: %v", c.name, dns.TypeToString[c.qtype], a)
		}
	}
}

func TestOddQuestions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*dns.Msg)
		rcode  int
	}{
		{"notify", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, dns.RcodeNotImplemented},
		{"update", func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		{"chaos", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
		{"two", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.RcodeFormatError},
		{"none", func(m *dns.Msg) { m.Question = nil }, dns.RcodeFormatError},
		{"answer in it", func(m *dns.Msg) {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: ".", Rrtype: 1, Class: 1}, A: []byte{1, 2, 3, 4}}}
		}, dns.RcodeFormatError},
		{"edns version", func(m *dns.Msg) { m.SetEdns0(4096, false); m.IsEdns0().SetVersion(3) }, dns.RcodeBadVers},
	} {
		if a := ask(t, "api.example.com", dns.TypeA, c.change); a.Rcode != c.rcode {
			t.Errorf("%s: %s", c.name, dns.RcodeToString[a.Rcode])
		}
	}
	for _, b := range [][]byte{nil, []byte("short"), append([]byte{1, 2, 0x80}, make([]byte, 9)...)} {
		if a := Answer(b, &zone{}); a != nil {
			t.Errorf("%q was answered", b)
		}
	}
	if a := Answer(append([]byte{1, 2, 1, 0, 0, 1}, make([]byte, 6)...), &zone{}); a == nil || a[3]&0xf != dns.RcodeFormatError {
		t.Errorf("a cut question: %v", a)
	}
}

func TestReasonIsTold(t *testing.T) {
	a := ask(t, "evil.example", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1232, false) })
	if o := a.IsEdns0(); o == nil || len(o.Option) != 1 || !strings.Contains(o.Option[0].String(), "not in the policy") {
		t.Errorf("got %v", a)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, n := range []string{"api.example.com.", "x.", "16.0.18.198.in-addr.arpa."} {
		q := new(dns.Msg)
		q.SetQuestion(n, dns.TypeA)
		q.SetEdns0(1232, true)
		b, _ := q.Pack()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		z := &zone{}
		a := Answer(b, z)
		if a == nil {
			return
		}
		if len(a) > 2048 || a[2]&0x80 == 0 || a[0] != b[0] || a[1] != b[1] {
			t.Fatalf("odd answer %x", a)
		}
		if len(z.asked) > 1 {
			t.Fatal("more than one name was looked up")
		}
	})
}
