package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/certs"
)

// A secureWorld is a world whose outside has an authority of its own.
type secureWorld struct {
	*world
	inside, outer *certs.Authority
}

func pool509(t testing.TB, pem string) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(pem)) {
		t.Fatal("no certificate")
	}
	return p
}

func newSecureWorld(t testing.TB, n belljar.Network, change ...func(*Options)) *secureWorld {
	t.Helper()
	in, err := certs.New()
	if err != nil {
		t.Fatal(err)
	}
	outer, err := certs.New()
	if err != nil {
		t.Fatal(err)
	}
	set := func(o *Options) { o.Authority, o.Roots = in, pool509(t, outer.PEM()) }
	return &secureWorld{newWorld(t, n, append([]func(*Options){set}, change...)...), in, outer}
}

// confined is a rule that allows some requests only.
func confined(host string, port uint16, methods, paths string) belljar.NetRule {
	r := rule(host, port)
	r.Methods, r.Paths = strings.Fields(methods), strings.Fields(paths)
	return r
}

// site serves h by TLS under a name at an address, by HTTP/2 too where h2 is set.
func (w *secureWorld) site(name, addrport string, h2 bool, h http.HandlerFunc) *httptest.Server {
	w.t.Helper()
	leaf, err := w.outer.Leaf(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.siteWith(name, addrport, h2, leaf, h)
}

func (w *secureWorld) siteWith(name, addrport string, h2 bool, leaf *tls.Certificate, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = h2
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*leaf}}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	w.serve(name, addrport, s.Listener)
	return s
}

// agent is a client inside that trusts the sandbox's authority.
func (w *secureWorld) agent(h2 bool) *http.Client {
	c := w.client(false)
	tr := c.Transport.(*http.Transport)
	tr.TLSClientConfig = &tls.Config{RootCAs: pool509(w.t, w.inside.PEM())}
	tr.ForceAttemptHTTP2 = h2
	return c
}

// tls dials inside and completes a handshake.
func (w *secureWorld) tls(host string, port uint16, change func(*tls.Config)) (*tls.Conn, error) {
	w.t.Helper()
	c, err := w.dial(host, port)
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { c.Close() })
	cfg := &tls.Config{RootCAs: pool509(w.t, w.inside.PEM()), ServerName: host}
	if change != nil {
		change(cfg)
	}
	s := tls.Client(c, cfg)
	_ = c.SetDeadline(time.Now().Add(hangs))
	return s, s.HandshakeContext(w.ctx)
}

// say sends text by TLS and returns everything that comes back.
func (w *secureWorld) say(host string, text string) string {
	w.t.Helper()
	c, err := w.tls(host, 443, nil)
	if err != nil {
		return err.Error()
	}
	if _, err := io.WriteString(c, text); err != nil {
		return err.Error()
	}
	b, _ := io.ReadAll(c)
	return string(b)
}

const apiAddr = "93.184.216.34:443"

func apiNetwork() belljar.Network {
	return belljar.Network{Rules: []belljar.NetRule{
		confined("api.example.com", 443, "GET POST", "/v1/**"),
		confined("read.example.com", 443, "GET", ""),
		confined("*.wild.example.com", 443, "GET", "/ok"),
		confined("clear.example.com", 80, "GET", "/ok"),
		confined("odd.example.com", 8443, "GET", "/ok"),
		rule("pass.example.com", 443),
	}}
}

// echo says what arrived.
func echo(rw http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	fmt.Fprintf(rw, "%s %s %s %s %d", r.Proto, r.Method, r.Host, r.RequestURI, len(b))
}

func TestRequestsAreJudged(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	w.site("api.example.com", apiAddr, true, echo)
	w.site("a.wild.example.com", "93.184.216.35:443", false, echo)
	w.http("clear.example.com", "93.184.216.36:80", false, echo)
	w.site("odd.example.com", "93.184.216.37:8443", false, echo)
	for _, h2 := range []bool{true, false} {
		c := w.agent(h2)
		for _, x := range []struct {
			method, url string
			status      int
			want        string
		}{
			{"GET", "https://api.example.com/v1/messages?q=%zz", 200, "HTTP/2.0 GET api.example.com /v1/messages?q=%zz 0"},
			{"POST", "https://api.example.com/v1/%6dessages", 200, "HTTP/2.0 POST api.example.com /v1/messages 0"},
			{"HEAD", "https://api.example.com/v1/x", 200, ""},
			{"DELETE", "https://api.example.com/v1/x", 403, "the policy allows this host, but not DELETE /v1/x"},
			{"GET", "https://api.example.com/v2/x", 403, `paths: ["/v2/x"]`},
			{"GET", "https://api.example.com/V1/x", 403, "not GET /V1/x"},
			{"GET", "https://api.example.com/v1", 403, "not GET /v1"},
			{"GET", "https://api.example.com/v1/%2e%2e/x", 403, "dot segment"},
			{"GET", "https://api.example.com/v1/a%2fb", 403, "an encoded slash"},
			{"GET", "https://api.example.com/v1/a%5cb", 403, "backslash"},
			{"GET", "https://api.example.com/v1/a%00", 403, "control byte"},
			{"GET", "https://a.wild.example.com/ok", 200, "HTTP/1.1 GET a.wild.example.com /ok 0"},
			{"GET", "https://a.wild.example.com/no", 403, "not GET /no"},
			{"GET", "http://clear.example.com/ok", 200, "HTTP/1.1 GET clear.example.com /ok 0"},
			{"GET", "http://clear.example.com/no", 403, "not GET /no"},
			{"GET", "https://odd.example.com:8443/ok", 200, "HTTP/1.1 GET odd.example.com:8443 /ok 0"},
			{"GET", "https://odd.example.com:8443/no", 403, "not GET /no"},
		} {
			req, err := http.NewRequestWithContext(w.ctx, x.method, x.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Errorf("h2 %v: %s %s: %v", h2, x.method, x.url, err)
				continue
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != x.status || !strings.Contains(string(b), x.want) {
				t.Errorf("h2 %v: %s %s: %d %q, want %d %q", h2, x.method, x.url, resp.StatusCode, b, x.status, x.want)
			}
			if want := map[bool]int{true: 2, false: 1}[h2]; strings.HasPrefix(x.url, "https") && resp.ProtoMajor != want {
				t.Errorf("h2 %v: answered by %s", h2, resp.Proto)
			}
			if x.status == 403 && (resp.Header.Get("X-Belljar-Reason") == "" || !strings.Contains(string(b), "belljar refused this request")) {
				t.Errorf("%s: the refusal is not readable: %q", x.url, b)
			}
		}
	}
	e := w.rec.wait(t, belljar.EventRequest, "api.example.com")
	if e.Method == "" || e.Path == "" || e.Status != 200 || e.Rule == nil || e.Addr != "93.184.216.34" || strings.Contains(e.Path, "zz") {
		t.Errorf("recorded: %+v", e)
	}
	if r := w.rec.wait(t, belljar.EventRefuse, "not DELETE /v1/x"); r.Method != "DELETE" || r.Path != "/v1/x" || r.Status != 403 || r.Fix == "" {
		t.Errorf("recorded: %+v", r)
	}
}

// TestNothingIsDialledForARefusal: an outside that is not to be asked hears nothing,
// and clients share the connections to one that is.
func TestNothingIsDialledForARefusal(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	w.site("api.example.com", apiAddr, true, echo)
	for range 3 {
		if status, body := w.get(w.agent(true), "https://api.example.com/no"); status != 403 {
			t.Fatal(status, body)
		}
	}
	if d := w.dials(); len(d) != 0 {
		t.Errorf("dialled %v", d)
	}
	for i := range 6 {
		if status, body := w.get(w.agent(i%2 == 0), "https://api.example.com/v1/x"); status != 200 {
			t.Fatal(status, body)
		}
	}
	if d := w.dials(); len(d) != 1 {
		t.Errorf("dialled %v", d)
	}
}

func TestAuthority(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	w.site("api.example.com", apiAddr, true, echo)
	for _, sni := range []string{"evil.example", "www.example.com", ""} {
		_, err := w.tls("api.example.com", 443, func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = sni, true })
		if err == nil {
			t.Errorf("SNI %q: the handshake was completed", sni)
		}
	}
	w.rec.wait(t, belljar.EventRefuse, "tls", "asks for evil.example")
	for _, host := range []string{"evil.example", "api.example.com:444", "api.example.com:0443", "api.example.com@evil.example", "93.184.216.34", "api.example.com."} {
		want := "HTTP/1.1 421 "
		if host == "api.example.com." {
			want = "HTTP/1.1 200 "
		}
		got := w.say("api.example.com", "GET /v1/x HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, want) {
			t.Errorf("Host %s: %.100q", host, got)
		}
	}
	for _, c := range []struct{ request, want string }{
		{"GET https://api.example.com/v1/x HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 "},
		{"GET https://evil.example/v1/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 421 "},
		{"GET http://api.example.com/v1/x HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "HTTP/1.1 421 "},
		{"GET https://api.example.com/v1/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 403 "},
		{"GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 400 "},
		{"GET /v1/x HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		{"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", "HTTP/1.1 421 "},
		{"POST /v1/x HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "},
		{"POST /v1/x HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "HTTP/1.1 400 "},
		{"POST /v1/x HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "},
		{"GET /v1/x HTTP/1.1\nHost: api.example.com\n\n", "HTTP/1.1 400 "},
		{"GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\n X: y\r\n\r\n", "HTTP/1.1 400 "},
		{"GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\nX: " + strings.Repeat("a", 70<<10) + "\r\n\r\n", "HTTP/1.1 431 "},
		{"GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n", "HTTP/1.1 200 "},
		{"GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\n\r\nGET /v2/y HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "not GET /v2/y"},
		{"POST /v1/x HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n1;\na\r\n0\r\n\r\nGET /v1/y HTTP/1.1\r\nHost: api.example.com\r\n\r\n", ""},
	} {
		got := w.say("api.example.com", c.request)
		if !strings.Contains(got, c.want) {
			t.Errorf("%.80q: %.200q, want %q", c.request, got, c.want)
		}
	}
}

// TestWhatIsNotHTTP: what cannot be seen is refused.
func TestWhatIsNotHTTP(t *testing.T) {
	n := belljar.Network{Rules: []belljar.NetRule{confined("odd.example.com", 8443, "GET", "/ok")}}
	w := newSecureWorld(t, n)
	if got := w.talk("odd.example.com", 8443, "SSH-2.0-x\r\n"); got != "" {
		t.Errorf("answered %q", got)
	}
	w.rec.wait(t, belljar.EventRefuse, "odd.example.com", "neither TLS nor HTTP/1")
	if got := w.talk("odd.example.com", 8443, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); got != "" {
		t.Errorf("answered %q", got)
	}
	c, err := w.dial("odd.example.com", 8443)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "\x16\x03\x01\x00\x04junk")
	w.rec.wait(t, belljar.EventRefuse, "tls", "malformed")
	if d := w.dials(); len(d) != 0 {
		t.Errorf("dialled %v", d)
	}
}

// TestServersAreVerified: no request goes to a server that cannot say who it is.
func TestServersAreVerified(t *testing.T) {
	other, err := certs.New()
	if err != nil {
		t.Fatal(err)
	}
	n := belljar.Network{Rules: []belljar.NetRule{
		confined("wrong.example.com", 443, "GET", ""), confined("self.example.com", 443, "GET", ""), confined("down.example.com", 443, "GET", ""),
		confined("inner.example.com", 443, "GET", ""), confined("garbage.example.com", 443, "GET", ""),
	}}
	w := newSecureWorld(t, n)
	asked := func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }
	wrong, _ := w.outer.Leaf("another.example.com")
	w.siteWith("wrong.example.com", "93.184.216.34:443", true, wrong, asked)
	self, _ := other.Leaf("self.example.com")
	w.siteWith("self.example.com", "93.184.216.35:443", true, self, asked)
	w.named("down.example.com", "93.184.216.36")
	w.named("inner.example.com", "10.0.0.1")
	w.raw("garbage.example.com", "93.184.216.37:443", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") })
	for _, h2 := range []bool{true, false} {
		for url, want := range map[string]string{
			"https://wrong.example.com/":   "502 certificate is not accepted",
			"https://self.example.com/":    "502 certificate is not accepted",
			"https://down.example.com/":    "502 could not reach",
			"https://inner.example.com/":   "403 private: true",
			"https://garbage.example.com/": "502 could not reach",
		} {
			status, body := w.get(w.agent(h2), url)
			code, words, _ := strings.Cut(want, " ")
			if fmt.Sprint(status) != code || !strings.Contains(body, words) {
				t.Errorf("%s: %d %s, want %s", url, status, body, want)
			}
		}
	}
	w.rec.wait(t, belljar.EventRequest, "wrong.example.com", "not accepted")
	w.rec.wait(t, belljar.EventRefuse, "inner.example.com", "10.0.0.1")
}

func TestProxyLeadsToTheSameJudgement(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	w.site("api.example.com", apiAddr, true, echo)
	w.http("clear.example.com", "93.184.216.36:80", false, echo)
	c := w.agent(true)
	c.Transport.(*http.Transport).Proxy = http.ProxyURL(mustURL("http://198.18.0.1:3128"))
	for url, want := range map[string]int{
		"https://api.example.com/v1/x": 200, "https://api.example.com/v2/x": 403,
		"http://clear.example.com/ok": 200, "http://clear.example.com/no": 403, "http://clear.example.com/%2e%2e/ok": 403,
	} {
		if status, body := w.get(c, url); status != want {
			t.Errorf("%s: %d %s", url, status, body)
		}
	}
}

func TestReadOnlyRuleTakesNoBody(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	w.site("read.example.com", apiAddr, true, echo)
	for _, h2 := range []bool{true, false} {
		req, _ := http.NewRequestWithContext(w.ctx, "GET", "https://read.example.com/@scope%2fname", strings.NewReader("upload"))
		resp, err := w.agent(h2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 403 {
			t.Errorf("a body was sent: %d", resp.StatusCode)
		}
		if status, body := w.get(w.agent(h2), "https://read.example.com/@scope%2fname"); status != 200 || !strings.Contains(body, "/@scope%2Fname") {
			t.Errorf("%d %s", status, body)
		}
	}
}

// TestNeedsAnAuthority: what could not be seen is refused before anything runs.
func TestNeedsAnAuthority(t *testing.T) {
	events := &record{more: make(chan struct{}, 1)}
	n := apiNetwork()
	if _, err := New(Options{Network: &n, Events: events}); err == nil || !strings.Contains(err.Error(), "api.example.com") {
		t.Error(err)
	}
	a, _ := certs.New()
	n = belljar.Network{Rules: []belljar.NetRule{{CIDR: netip.MustParsePrefix("192.0.2.0/24"), Ports: []uint16{443}, Methods: []string{"GET"}}}}
	if _, err := New(Options{Network: &n, Events: events, Authority: a}); err == nil {
		t.Error("a rule that cannot be judged is accepted")
	}
}
