package policy

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestHost(t *testing.T) {
	for in, want := range map[string]string{
		"example.com":                   "example.com",
		"EXAMPLE.Com":                   "example.com",
		"example.com.":                  "example.com",
		"bücher.example":                "xn--bcher-kva.example",
		"BÜCHER.example":                "xn--bcher-kva.example",
		"xn--bcher-kva.example":         "xn--bcher-kva.example",
		"XN--BCHER-KVA.example":         "xn--bcher-kva.example",
		"ｅｘａｍｐｌｅ.com":                   "example.com",
		"example。com":                   "example.com",
		"example.com。":                  "example.com",
		"ex\u00adample.com":             "example.com", // a soft hyphen is mapped to nothing
		"faß.example":                   "xn--fa-hia.example",
		"r3---sn-abc.example.com":       "r3---sn-abc.example.com",
		"localhost":                     "localhost",
		"LOCALHOST.":                    "localhost",
		"1.2.3.example":                 "1.2.3.example",
		"0xaf.example.com":              "0xaf.example.com",
		"a1":                            "a1",
		strings.Repeat("a", 63):         strings.Repeat("a", 63),
		strings.Repeat("a.", 126) + "a": strings.Repeat("a.", 126) + "a",
	} {
		got, err := Host(in)
		if err != nil || got != want {
			t.Errorf("Host(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestHostRefuses(t *testing.T) {
	for _, in := range []string{
		"", ".", "..", "a..b", ".a", "a..", " a", "a ", "a b", "a\tb", "a\nb", "a\x00b", "a\x00.example.com", "a\x7fb", "a\u0085b", "a\u2028b", "a\xffb",
		"-a.com", "a-.com", "a.-b.com", "a_b.com", "*.a.com", "*", "a.*", "a:80", "user@a.com", "a/b", `a\b`, "a?b", "a#b", "[a]", "a%2eb", "a%b",
		"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0", "1.2.3", "256.1.1.1", "1.2.3.4.", "a.1", "a.0x", "a.0x7f", "a.09",
		"::1", "[::1]", "[::ffff:1.2.3.4]", "fe80::1%eth0", "１２７.0.0.1", "127。0。0。1", "①②⑦.1", "0X7F000001",
		"xn--", "xn--a", "xn--localhost-", "a.xn--\u0430", "\u202ea.com", "a\u200bb.com\u0000", "\u0301a.com",
		strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a", strings.Repeat("a", 2000),
	} {
		if got, err := Host(in); err == nil {
			t.Errorf("Host(%q) = %q, want an error", in, got)
		}
	}
}

func TestRulePattern(t *testing.T) {
	for in, want := range map[string]string{
		"*.example.com": "*.example.com", "*.EXAMPLE.com.": "*.example.com", "*.bücher.example.com": "*.xn--bcher-kva.example.com",
		"localhost": "localhost", "*.internal.acme.dev": "*.internal.acme.dev", "db": "db",
	} {
		if got, err := rulePattern(in); err != nil || got != want {
			t.Errorf("rulePattern(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"*", "*.", "*.*", "*.*.example.com", "a.*.example.com", "*a.example.com", "*.com", "*.co.uk", "*.github.io", "*.internal", "*.ck", "**.example.com",
		"*.localhost", "x.localhost", "*.belljar", "policy.belljar", "belljar", "*.127.0.0.1", "*.1", "＊.example.com", "*." + strings.Repeat("a.", 126) + "aa",
	} {
		if got, err := rulePattern(in); err == nil {
			t.Errorf("rulePattern(%q) = %q, want an error", in, got)
		}
	}
}

func TestParseRule(t *testing.T) {
	for in, want := range map[string]string{
		"docs.example.com":       "docs.example.com",
		"docs.example.com:443":   "docs.example.com",
		"docs.example.com:8443":  "docs.example.com:8443",
		"*.example.com:80":       "*.example.com:80",
		"localhost:9000":         "localhost:9000",
		"localhost:443":          "localhost:443",
		"10.0.0.5:5432":          "10.0.0.5:5432",
		"10.0.0.5":               "10.0.0.5",
		"[2a00::1]:80":           "[2a00::1]:80",
		"2a00::1":                "[2a00::1]",
		"[2a00::1]":              "[2a00::1]",
		"[::ffff:10.0.0.5]:5432": "10.0.0.5:5432",
	} {
		r, _, err := parseRule(in)
		if err != nil || ruleText(r) != want {
			t.Errorf("parseRule(%q) = %s, %v; want %s", in, ruleText(r), err, want)
			continue
		}
		if again, _, err := parseRule(ruleText(r)); err != nil || ruleText(again) != want {
			t.Errorf("parseRule(%q) = %s, %v", ruleText(r), ruleText(again), err)
		}
	}
	for _, in := range []string{
		"", ":443", "a:", "a:0", "a:65536", "a:+1", "a:-1", "a:1:2", "a: 80", "a:８０", "https://a.com", "a.com/x", "a.com:443/x", "10.0.0.0/8", "localhost",
		"127.0.0.1:80", "169.254.169.254", "0.0.0.0", "[::1]:80", "::1", "198.18.0.1:3128", "198.19.255.255", "[fdbe:117a:5::1]:53", "224.0.0.1", "[ff02::1]",
		"[fe80::1]", "fe80::1%eth0", "255.255.255.255", "[::ffff:127.0.0.1]:80", "[::127.0.0.1]:80", "[64:ff9b::7f00:1]:80", "[2002:7f00:1::]:80",
		"100.100.100.200", "[fd00:ec2::254]", "2130706433:80", "0x7f000001", "user@a.com", "[a.com]:80",
	} {
		if r, _, err := parseRule(in); err == nil {
			t.Errorf("parseRule(%q) = %s, want an error", in, ruleText(r))
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for in, want := range map[string]string{
		"10.20.0.5/32": "10.20.0.5/32", "10.20.0.5": "10.20.0.5/32", "10.0.0.0/8": "10.0.0.0/8", "2a00::/16": "2a00::/16", "fd12::/16": "fd12::/16",
		"192.168.1.0/24": "192.168.1.0/24",
	} {
		if p, _, err := parsePrefix(in); err != nil || p.String() != want {
			t.Errorf("parsePrefix(%q) = %v, %v", in, p, err)
		}
	}
	for _, in := range []string{
		"", "x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.1/8", "0.0.0.0/0", "::/0", "126.0.0.0/7", "127.0.0.0/8", "127.0.0.53/32", "128.0.0.0/1",
		"169.254.0.0/17", "198.18.0.0/15", "198.0.0.0/8", "fc00::/7", "fd00::/8", "fdbe:117a:5::/64", "::ffff:10.0.0.0/104", "::1/128", "224.0.0.0/4", "100.64.0.0/10",
		"fe80::/64", "010.0.0.1/32",
	} {
		if p, _, err := parsePrefix(in); err == nil {
			t.Errorf("parsePrefix(%q) = %v, want an error", in, p)
		}
	}
}

// A host that is canonical stays as it is, and no accepted host can be taken for
// an address, a wildcard or several names.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"example.com", "BÜCHER.example.", "xn--bcher-kva.de", "a。b", "127.1", "0x7f.1", "*.a.b", "a\x00b", "r3---sn.a", "\u00adlocalhost"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := Host(s)
		if err != nil {
			return
		}
		if again, err := Host(h); err != nil || again != h {
			t.Errorf("Host(%q) = %q, but Host of that is %q, %v", s, h, again, err)
		}
		if h == "" || len(h) > 253 || strings.Trim(h, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || numeric(h[strings.LastIndexByte(h, '.')+1:]) {
			t.Errorf("Host(%q) = %q", s, h)
		}
		r, _, err := parseRule(s)
		if err == nil && r.Host != h {
			t.Errorf("Host(%q) = %q, but the rule is about %q", s, h, r.Host)
		}
		if err == nil && r.Host == belljar.Localhost {
			t.Errorf("parseRule(%q) allows a whole loopback", s)
		}
	})
}
