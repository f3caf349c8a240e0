package gateway

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/miekg/dns"
)

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func greet(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s", r.Host) }

func TestAllowedNamesWork(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("api.example.com", 443, 80), rule("*.files.example", 443)}})
	w.http("api.example.com", "93.184.216.34:443", true, greet)
	w.http("", "93.184.216.34:80", false, greet)
	w.http("a.b.files.example", "93.184.216.35:443", true, greet)
	for _, proxy := range []bool{false, true} {
		for u, want := range map[string]string{
			"https://api.example.com/":        "hello api.example.com",
			"http://api.example.com/x":        "hello api.example.com",
			"https://a.b.files.example/":      "hello a.b.files.example",
			"https://API.Example.com:443/q?x": "hello API.Example.com:443",
		} {
			if proxy {
				want = strings.Replace(want, "API.Example.com:443", "API.Example.com", 1)
			}
			code, body := w.get(w.client(proxy), u)
			if code != 200 || !strings.HasPrefix(body, strings.TrimSuffix(want, ":443")) {
				t.Errorf("proxy %v, %s: %d %q", proxy, u, code, body)
			}
		}
	}
	w.g.Close()
	s := w.g.Summary()
	if len(s.Refused) != 0 || len(s.Reached) != 3 || s.Reached[0].Sent == 0 {
		t.Errorf("summary %+v", s)
	}
	if e := w.rec.wait(t, belljar.EventConnect, "tls api.example.com 93.184.216.34 443"); e.Rule == nil || e.Sent == 0 || e.Received == 0 {
		t.Errorf("event %+v", e)
	}
}

func TestNamesAreAnsweredWithoutAskingAnybody(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("api.example.com", 443), rule("*.files.example", 443)}})
	if a := w.addr("api.example.com"); !belljar.NamesIPv4.Contains(a) || a == belljar.GatewayIPv4 {
		t.Errorf("address %s", a)
	}
	if a, b := w.addr("secret.files.example"), w.addr("other.files.example"); a == b || a != w.addr("SECRET.files.example.") {
		t.Errorf("%s and %s", a, b)
	}
	if m := w.lookup("evil.example", dns.TypeA); m.Rcode != dns.RcodeRefused || !strings.Contains(m.IsEdns0().String(), "--allow evil.example") {
		t.Errorf("got %v", m)
	}
	if m := w.lookup("files.example", dns.TypeA); m.Rcode != dns.RcodeRefused {
		t.Errorf("the wildcard covers the name itself: %v", m)
	}
	if m := w.lookup("localhost", dns.TypeA); len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "127.0.0.1" {
		t.Errorf("got %v", m)
	}
	if a := w.addr("policy.belljar"); a != belljar.GatewayIPv4 {
		t.Errorf("policy page at %s", a)
	}
	c, err := w.guest.DialTCP(w.ctx, netip.AddrPortFrom(belljar.GatewayIPv6, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := new(dns.Msg)
	q.SetQuestion("api.example.com.", dns.TypeAAAA)
	co := &dns.Conn{Conn: c}
	if err := co.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	if m, err := co.ReadMsg(); err != nil || len(m.Answer) != 1 {
		t.Errorf("by TCP: %v, %v", m, err)
	}
	if asked := w.lookups(); len(asked) != 0 {
		t.Errorf("the resolver was asked for %q", asked)
	}
	w.rec.wait(t, belljar.EventRefuse, "dns evil.example", "not in the policy")
}

func TestOtherAddressesAreRefused(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{
		rule("api.example.com", 443),
		{CIDR: netip.MustParsePrefix("10.20.0.5/32"), Ports: []uint16{5432}},
	}})
	w.raw("", "10.20.0.5:5432", func(c net.Conn) { _, _ = io.WriteString(c, "db") })
	w.raw("", "127.0.0.1:5432", func(c net.Conn) { _, _ = io.WriteString(c, "leak") })
	for _, to := range []string{
		"1.1.1.1:443", "169.254.169.254:80", "10.20.0.6:5432", "10.20.0.5:22", "198.18.0.1:22", "198.19.200.1:443",
		"198.18.0.3:9000", "[2606:4700::1111]:443", "[fd00:ec2::254]:80", "[fdbe:117a:5::1]:22", "[fdbe:117a:5::1:0:99]:443", "[::ffff:10.20.0.5]:80",
	} {
		p := netip.MustParseAddrPort(to)
		if c, err := w.dial(p.Addr().Unmap().String(), p.Port()); err == nil {
			c.Close()
			t.Errorf("%s was accepted", to)
		}
	}
	if got := w.talk("10.20.0.5", 5432, ""); got != "db" {
		t.Errorf("the address that a rule names: %q", got)
	}
	if d := w.dials(); len(d) != 1 {
		t.Errorf("dialled %v", d)
	}
	if e := w.rec.wait(t, belljar.EventRefuse, "169.254.169.254"); e.Fix != "" || !strings.Contains(e.Reason, "metadata") {
		t.Errorf("event %+v", e)
	}
	if e := w.rec.wait(t, belljar.EventRefuse, "1.1.1.1"); !strings.Contains(e.Fix, "--allow 1.1.1.1") {
		t.Errorf("event %+v", e)
	}
}

func TestGuardIsAskedForEveryAnswer(t *testing.T) {
	n := belljar.Network{Rules: []belljar.NetRule{rule("*.example.com", 443, 80, 8000), {Host: "intern.example.net", Ports: []uint16{8000}, Private: true}}}
	w := newWorld(t, n)
	for _, a := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.5", "::1", "93.184.216.34", "10.1.1.1"} {
		w.raw("", netip.AddrPortFrom(netip.MustParseAddr(a), 8000).String(), func(c net.Conn) { _, _ = io.WriteString(c, a) })
	}
	for name, c := range map[string]struct {
		addrs []string
		want  string
	}{
		"loop.example.com":    {[]string{"127.0.0.1"}, "refused"},
		"meta.example.com":    {[]string{"169.254.169.254"}, "refused"},
		"mapped.example.com":  {[]string{"::ffff:127.0.0.1"}, "refused"},
		"private.example.com": {[]string{"10.0.0.5"}, "refused"},
		"mixed.example.com":   {[]string{"10.0.0.5", "::1", "93.184.216.34", "169.254.169.254"}, "93.184.216.34"},
		"intern.example.net":  {[]string{"10.1.1.1"}, "10.1.1.1"},
		"fake.example.com":    {[]string{"198.18.0.1"}, "refused"},
	} {
		w.named(name, c.addrs...)
		if got := w.talk(name, 8000, ""); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	for _, d := range w.dials() {
		if d != "93.184.216.34:8000" && d != "10.1.1.1:8000" {
			t.Errorf("dialled %s", d)
		}
	}
	if e := w.rec.wait(t, belljar.EventRefuse, "private.example.com", "private: true"); !strings.Contains(e.Fix, "private: true") {
		t.Errorf("event %+v", e)
	}
	// The reason can be read where the protocol allows it.
	if code, body := w.get(w.client(false), "http://meta.example.com/"); code != 403 || !strings.Contains(body, "metadata") {
		t.Errorf("got %d %q", code, body)
	}
}

func TestServerNameMustBeTheName(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("api.example.com", 443, 8443)}})
	reached := make(chan string, 10)
	for _, port := range []string{"443", "8443"} {
		w.http("", "93.184.216.34:"+port, true, func(_ http.ResponseWriter, r *http.Request) { reached <- r.TLS.ServerName })
	}
	w.named("api.example.com", "93.184.216.34")
	for _, port := range []uint16{443, 8443} {
		for _, sni := range []string{"evil.example", "x.api.example.com", ""} {
			c, err := w.dial("api.example.com", port)
			if err != nil {
				t.Fatal(err)
			}
			tc := tls.Client(c, &tls.Config{ServerName: sni, InsecureSkipVerify: true})
			_ = c.SetDeadline(time.Now().Add(hangs))
			err = tc.Handshake()
			if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("port %d, SNI %q: %v", port, sni, err)
			}
			c.Close()
		}
		if got := w.talk("api.example.com", 443, "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"); !strings.Contains(got, "403") || !strings.Contains(got, "TLS only") {
			t.Errorf("HTTP on 443: %q", got)
		}
		if got := w.talk("api.example.com", 443, "SSH-2.0-x\r\n"); got != "" {
			t.Errorf("SSH on 443: %q", got)
		}
	}
	w.rec.wait(t, belljar.EventRefuse, "tls api.example.com", "asks for evil.example")
	w.rec.wait(t, belljar.EventRefuse, "names no server")
	if len(reached) > 0 {
		t.Errorf("reached as %s", <-reached)
	}
}

func TestEveryRequestIsJudged(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("api.example.com", 80, 8080)}})
	var seen arrivals
	h := func(rw http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // a request whose body was cut off
		}
		seen.add(r.Host + r.URL.Path + string(b))
		greet(rw, r)
	}
	w.http("api.example.com", "93.184.216.34:80", false, h)
	w.http("", "93.184.216.34:8080", false, h)
	const good = "GET /1 HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
	for _, c := range []struct{ name, in, want string }{
		{"second of a connection", good + "GET /2 HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403"},
		{"first", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403"},
		{"absolute form", "GET http://evil.example/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "403"},
		{"other port", "GET / HTTP/1.1\r\nHost: api.example.com:81\r\n\r\n", "403"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: api.example.com\r\nHost: evil.example\r\n\r\n", "400"},
		{"folded", "GET / HTTP/1.1\r\nHost: api.example.com\r\nX: a\r\n b\r\n\r\n", "400"},
		{"CL and TE", "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "400"},
		{"bare LF", "GET / HTTP/1.1\nHost: api.example.com\n\n", "400"},
		{"space before colon", "GET / HTTP/1.1\r\nHost : api.example.com\r\n\r\n", "400"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
		{"userinfo", "GET / HTTP/1.1\r\nHost: api.example.com@evil.example\r\n\r\n", "403"},
		{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "403"},
		{"h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
		{"bare LF chunk", "POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n1;\nX\r\n0\r\n\r\n", "400"},
		{"ssh", "SSH-2.0-OpenSSH\r\n\r\n", "400"},
		{"huge head", "GET / HTTP/1.1\r\nHost: api.example.com\r\nX: " + strings.Repeat("a", 100<<10) + "\r\n\r\n", "431"},
	} {
		got := w.talk("api.example.com", 80, c.in)
		if !strings.Contains(got, "HTTP/1.1 "+c.want) || strings.Contains(got, "hello evil") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	for _, s := range seen.take() {
		if s != "api.example.com/1" {
			t.Errorf("reached the server: %q", s)
		}
	}
	// Other ports: the same for what is HTTP.
	for _, in := range []string{
		"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"ODD / http/1.1\r\nHost: evil.example\r\n\r\n",
	} {
		if got := w.talk("api.example.com", 8080, in); strings.Contains(got, "200") || !strings.Contains(got, "HTTP/1.1 40") {
			t.Errorf("%q: %q", in, got)
		}
	}
	if code, body := w.get(w.client(false), "http://api.example.com:8080/"); code != 200 {
		t.Errorf("port 8080: %d %q", code, body)
	}
	if n := len(seen.take()); n != 1 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestPortsOfARule(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("api.example.com", 443)}})
	w.raw("api.example.com", "93.184.216.34:22", func(net.Conn) {})
	if c, err := w.dial("api.example.com", 22); err == nil {
		c.Close()
		t.Error("port 22 was accepted")
	}
	got := w.talk("api.example.com", 80, "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	if !strings.Contains(got, "403 ") || !strings.Contains(got, "X-Belljar-Reason: ") || !strings.Contains(got, "--allow api.example.com:80") {
		t.Errorf("got %q", got)
	}
	// Nobody answers there: refused inside as well, and told.
	if c, err := w.dial("api.example.com", 443); err == nil {
		c.Close()
		t.Error("a port where nobody answers was accepted")
	}
	if e := w.rec.wait(t, belljar.EventConnect, "api.example.com", "refused"); e.Port != 443 {
		t.Errorf("event %+v", e)
	}
}

func TestOtherProtocols(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("db.example.com", 22, 5432, 6379, 8000, 8001)}})
	w.raw("db.example.com", "93.184.216.34:22", func(c net.Conn) { // speaks first
		_, _ = io.WriteString(c, "SSH-2.0-server\r\n")
		l, _ := bufio.NewReader(c).ReadString('\n')
		_, _ = io.WriteString(c, "got "+l)
	})
	echo := func(c net.Conn) { _, _ = io.Copy(c, c) }
	w.raw("", "93.184.216.34:5432", echo)
	for _, port := range []string{"6379", "8000", "8001"} {
		w.raw("", "93.184.216.34:"+port, echo)
	}
	// A request in pieces is not one that nobody judged.
	late, err := w.dial("db.example.com", 8000)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	_, _ = io.WriteString(late, "GET / ")
	b := make([]byte, 100)
	if n, err := late.Read(b); string(b[:n]) != "GET / " {
		t.Fatal(string(b[:n]), err)
	}
	_, _ = io.WriteString(late, "HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	if n, err := late.Read(b); err == nil {
		t.Errorf("a request in pieces passed: %q", b[:n])
	}
	w.rec.wait(t, belljar.EventRefuse, "in pieces")
	c, err := w.dial("db.example.com", 22)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	if l, err := br.ReadString('\n'); l != "SSH-2.0-server\r\n" {
		t.Fatal(l, err)
	}
	_, _ = io.WriteString(c, "SSH-2.0-client\r\n")
	if l, err := br.ReadString('\n'); l != "got SSH-2.0-client\r\n" {
		t.Fatal(l, err)
	}
	for port, in := range map[uint16]string{8000: "word", 8001: "0033git-upload-pack /p.git\x00host=x\x00", 5432: "\x00\x00\x00\x08\x04\xd2\x16\x2f", 6379: "*1\r\n$4\r\nPING\r\n"} {
		c, err := w.dial("db.example.com", port)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, in)
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
		if b, err := io.ReadAll(c); string(b) != in {
			t.Errorf("port %d: %q, %v", port, b, err)
		}
		c.Close()
	}
}
