package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar"
)

func TestSocks(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("db.example.com", 5432, 5433, 5434), rule("localhost", 9000)}})
	w.raw("db.example.com", "93.184.216.34:5432", func(c net.Conn) { _, _ = io.WriteString(c, "db") })
	w.raw("", "127.0.0.1:9000", func(c net.Conn) { _, _ = io.WriteString(c, "local") })
	w.named("in.example.com", "10.0.0.1")
	ours := w.addr("db.example.com").As4()
	five := func(kind byte, addr string, port uint16) string {
		if kind == 3 {
			addr = string([]byte{byte(len(addr))}) + addr
		}
		return "\x05\x01\x00\x05\x01\x00" + string([]byte{kind}) + addr + string([]byte{byte(port >> 8), byte(port)})
	}
	const yes, no = "\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x00\x05\x02"
	for _, c := range []struct{ name, in, want string }{
		{"name", five(3, "db.example.com", 5432), yes + "db"},
		{"name in capitals", five(3, "DB.example.com.", 5432), yes + "db"},
		{"our address for the name", five(1, string(ours[:]), 5432), yes + "db"},
		{"localhost", five(3, "localhost", 9000), yes + "local"},
		{"loopback", five(1, "\x7f\x00\x00\x01", 9000), yes + "local"},
		{"4a", "\x04\x01\x15\x38\x00\x00\x00\x01\x00db.example.com\x00", "\x00\x5a\x00\x00\x00\x00\x00\x00db"},
		{"other port", five(3, "db.example.com", 22), no},
		{"loopback, other port", five(1, "\x7f\x00\x00\x01", 22), no},
		{"metadata", five(1, "\xa9\xfe\xa9\xfe", 80), no},
		{"address as a name", five(3, "10.0.0.1", 5432), no},
		{"NUL", five(3, "evil.example\x00.db.example.com", 5432), no},
		{"CR", five(3, "db.example.com\r\n", 5432), no},
		{"decimal", five(3, "2130706433", 9000), no},
		{"port 0", five(3, "db.example.com", 0), no},
		{"nobody there", five(3, "db.example.com", 5433), "\x05\x00\x05\x05"},
		{"4, refused", "\x04\x01\x00\x50\x01\x02\x03\x04\x00", "\x00\x5b"},
		{"bind", "\x05\x01\x00\x05\x02\x00\x01\x01\x02\x03\x04\x00\x50", "\x05\x00\x05\x07"},
	} {
		if got := w.talk("198.18.0.1", 3128, c.in); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for _, d := range w.dials() {
		if !strings.HasPrefix(d, "93.184.216.34:543") && d != "127.0.0.1:9000" {
			t.Errorf("dialled %s", d)
		}
	}
}

func TestProxyRequests(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("api.example.com", 80, 443), rule("b.example.com", 80)}})
	w.http("api.example.com", "93.184.216.34:80", false, greet)
	w.http("b.example.com", "93.184.216.35:80", false, greet)
	two := "GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n" +
		"GET http://b.example.com/ HTTP/1.1\r\nHost: b.example.com\r\n\r\n" +
		"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"
	got := w.talk("198.18.0.1", 3128, two)
	if !strings.Contains(got, "hello api.example.com") || !strings.Contains(got, "hello b.example.com") || !strings.Contains(got, "403 evil.example is not in the policy; allowed by: --allow evil.example:80") {
		t.Errorf("three hosts on one connection: %q", got)
	}
	for _, in := range []string{
		"GET http://api.example.com/ HTTP/1.0\r\n\r\n",
		"CONNECT api.example.com:80 HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n",
	} {
		if got := w.talk("198.18.0.1", 3128, in); !strings.HasSuffix(got, "hello api.example.com") {
			t.Errorf("HTTP/1.0: %q", got)
		}
	}
	for _, c := range []struct{ name, in, want string }{
		{"host differs", "GET http://api.example.com/ HTTP/1.1\r\nHost: b.example.com\r\n\r\n", " 403 "},
		{"userinfo", "GET http://api.example.com@evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", " 403 "},
		{"userinfo of an allowed one", "GET http://evil.example@api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", " 403 "},
		{"ftp", "GET ftp://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", " 403 "},
		{"clear text to 443", "GET http://api.example.com:443/ HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n", " 403 "},
		{"CONNECT 80 with another Host", "CONNECT api.example.com:80 HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", " 403 "},
		{"CONNECT in HTTP/1.0", "CONNECT api.example.com:80 HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", " 403 "},
		{"another host in HTTP/1.0", "GET http://evil.example/ HTTP/1.0\r\n\r\n", " 403 "},
		{"CONNECT with a path", "CONNECT api.example.com:443/x HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
		{"itself", "CONNECT 198.18.0.1:3128 HTTP/1.1\r\nHost: x\r\n\r\n", " 403 "},
		{"the page", "GET http://policy.belljar/?host=evil.example HTTP/1.1\r\nHost: policy.belljar\r\n\r\n", "--allow evil.example"},
		{"the page by a tunnel", "CONNECT policy.belljar:80 HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: policy.belljar\r\n\r\n", "b.example.com port 80"},
		{"the page by origin form", "GET / HTTP/1.1\r\nHost: 198.18.0.1:3128\r\n\r\n", "b.example.com port 80"},
		{"a write to the page", "PUT http://policy.belljar/ HTTP/1.1\r\nHost: policy.belljar\r\nContent-Length: 0\r\n\r\n", " 405 "},
		{"smuggling", "POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", " 400 "},
		{"nonsense", "\x16\x03\x01\x00\x00", ""},
	} {
		if got := w.talk("198.18.0.1", 3128, c.in); !strings.Contains(got, c.want) || strings.Contains(got, "hello") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestPageAsJSON(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("*.example.com", 443)}})
	w.lookup("evil.example", 1)
	got := w.talk("198.18.0.1", 80, "GET / HTTP/1.1\r\nHost: policy.belljar\r\nAccept: application/json\r\n\r\n")
	_, body, _ := strings.Cut(got, "\r\n\r\n")
	var o Overview
	if err := json.Unmarshal([]byte(body), &o); err != nil || len(o.Allowed) != 1 || len(o.Refused) != 1 || o.Refused[0].Host != "evil.example" {
		t.Errorf("%v: %q", err, got)
	}
}

func TestUpstreamProxy(t *testing.T) {
	for _, byName := range []bool{false, true} {
		t.Run(fmt.Sprint("byName=", byName), func(t *testing.T) {
			n := belljar.Network{Upstream: "proxy.corp:8080", UpstreamByName: byName, NoProxy: "open.example.com", Rules: []belljar.NetRule{
				rule("open.example.com", 8000), rule("api.example.com", 8000), rule("bad.example.com", 8000), {Host: "intern.corp", Ports: []uint16{8000}, Private: true},
				{Host: "mirror.corp", Ports: []uint16{8000}, Private: true},
			}}
			w := newWorld(t, n, func(o *Options) { o.UpstreamAuth = "me:secret" })
			asked := make(chan string, 10)
			w.raw("", "10.9.9.9:8080", func(c net.Conn) {
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				user, _, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
				asked <- r.Method + " " + r.RequestURI + " " + user
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nearly")
				_, _ = io.Copy(c, c)
			})
			w.mu.Lock()
			w.servers["proxy.corp:8080"] = w.servers["10.9.9.9:8080"]
			w.names["api.example.com"] = []string{"93.184.216.34"}
			w.names["bad.example.com"] = []string{"127.0.0.1"}
			w.mu.Unlock()
			w.raw("intern.corp", "10.0.0.7:8000", func(c net.Conn) { _, _ = io.WriteString(c, "direct") })
			w.raw("open.example.com", "93.184.216.35:8000", func(c net.Conn) { _, _ = io.WriteString(c, "open") })
			if got := w.talk("intern.corp", 8000, ""); got != "direct" {
				t.Errorf("a private host: %q", got)
			}
			if got := w.talk("open.example.com", 8000, ""); got != "open" {
				t.Errorf("a host of NO_PROXY: %q", got)
			}
			c, err := w.dial("api.example.com", 8000)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = io.WriteString(c, "x")
			b := make([]byte, 6)
			if _, err := io.ReadFull(c, b); err != nil || string(b) != "earlyx" {
				t.Errorf("got %q, %v", b, err)
			}
			want := "CONNECT 93.184.216.34:8000 me"
			if byName {
				want = "CONNECT api.example.com:8000 me"
			}
			if got := <-asked; got != want {
				t.Errorf("asked %q, want %q", got, want)
			}
			if byName { // what nobody here can resolve, the proxy may
				if c, err := w.dial("mirror.corp", 8000); err != nil {
					t.Error(err)
				} else if got := <-asked; got != "CONNECT mirror.corp:8000 me" {
					t.Errorf("asked %q for a private name that is not known here", got)
					c.Close()
				} else {
					c.Close()
				}
				return
			}
			if c, err := w.dial("mirror.corp", 8000); err == nil {
				c.Close()
				t.Error("a name that is not known here was asked of the proxy")
			}
			if c, err := w.dial("bad.example.com", 8000); err == nil {
				c.Close()
				t.Error("the guard does not hold behind the upstream proxy")
			}
		})
	}
}

// NO_PROXY means to the gateway what it means to Go's programs.
func TestWithoutTheUpstreamProxy(t *testing.T) {
	u, err := newUpstream(&belljar.Network{Upstream: "proxy.corp:8080", NoProxy: "intern.corp, .deep.corp,10.0.0.0/8,192.0.2.1,odd.corp:8443, 2001:db8::1"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for where, through := range map[string]bool{
		"api.example.com:443": true, "intern.corp:443": false, "a.intern.corp:443": false, "xintern.corp:443": true,
		"deep.corp:443": true, "a.deep.corp:22": false, "10.1.2.3:5432": false, "11.1.2.3:5432": true, "192.0.2.1:80": false,
		"odd.corp:8443": false, "odd.corp:443": true, "[2001:db8::1]:443": false, "[2001:db8::2]:443": true,
	} {
		host, port, err := net.SplitHostPort(where)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(port)
		to := target{host: host, port: uint16(n)}
		if a, err := netip.ParseAddr(host); err == nil {
			to.host, to.addr = "", a
		}
		if got := u.serves(to); got != through {
			t.Errorf("%s: through the proxy %v", where, got)
		}
	}
	all, err := newUpstream(&belljar.Network{Upstream: "proxy.corp:8080", NoProxy: "*"}, "")
	if err != nil || all.serves(target{host: "api.example.com", port: 443}) {
		t.Errorf("NO_PROXY=* is not honoured: %v", err)
	}
	if none := (*upstream)(nil); none.serves(target{host: "api.example.com", port: 443}) {
		t.Error("no proxy serves")
	}
}

func TestWebSocketAndOtherUpgrades(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("ws.example.com", 80)}})
	w.raw("ws.example.com", "93.184.216.34:80", func(c net.Conn) {
		br := bufio.NewReader(c)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if up := r.Header.Get("Upgrade"); up != "" || r.URL.Path == "/odd" {
			fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", up)
			_, _ = io.Copy(c, br)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
	})
	c, err := w.dial("ws.example.com", 80)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(hangs))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: ws.example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	_, _ = io.WriteString(c, "frame")
	b := make([]byte, 5)
	if _, err := io.ReadFull(br, b); err != nil || string(b) != "frame" {
		t.Errorf("got %q, %v", b, err)
	}
	if got := w.talk("ws.example.com", 80, "GET / HTTP/1.1\r\nHost: ws.example.com\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"); !strings.Contains(got, "200 OK") {
		t.Errorf("h2c: %q", got)
	}
	if got := w.talk("ws.example.com", 80, "GET /odd HTTP/1.1\r\nHost: ws.example.com\r\n\r\n"); !strings.Contains(got, " 502 ") {
		t.Errorf("a switch that nobody asked for: %q", got)
	}
}

func TestBodies(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("api.example.com", 80)}})
	w.http("api.example.com", "93.184.216.34:80", false, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early": // answers without reading
			rw.WriteHeader(413)
		case "/stream":
			for i := range 3 {
				fmt.Fprintf(rw, "part %d\n", i)
				rw.(http.Flusher).Flush()
			}
		default:
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(rw, "%d bytes", n)
		}
	})
	c := w.client(false)
	for range 2 {
		resp, err := c.Post("http://api.example.com/", "", io.LimitReader(zeros{}, 3<<20)) // chunked
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != fmt.Sprintf("%d bytes", 3<<20) {
			t.Errorf("got %q", b)
		}
		resp.Body.Close()
	}
	if code, body := w.get(c, "http://api.example.com/stream"); code != 200 || body != "part 0\npart 1\npart 2\n" {
		t.Errorf("%d %q", code, body)
	}
	head, err := c.Head("http://api.example.com/")
	if err != nil || head.StatusCode != 200 {
		t.Error(head, err)
	}
	got := w.talk("api.example.com", 80, "POST /early HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 1000000\r\n\r\nxx")
	if !strings.Contains(got, "413") || !strings.Contains(got, "Connection: close") {
		t.Errorf("early answer: %q", got)
	}
	got = w.talk("api.example.com", 80, "POST / HTTP/1.0\r\nHost: api.example.com\r\nContent-Length: 2\r\n\r\nxx")
	if !strings.HasSuffix(got, "2 bytes") {
		t.Errorf("HTTP/1.0: %q", got)
	}
	conn, err := w.dial("api.example.com", 80)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(hangs))
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	br := bufio.NewReader(conn)
	if l, _ := br.ReadString('\n'); l != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q", l)
	}
	_, _ = br.ReadString('\n')
	_, _ = io.WriteString(conn, "ok")
	if l, _ := br.ReadString('\n'); l != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("got %q", l)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestStaggeredDial(t *testing.T) { synctest.Test(t, staggeredDial) }

func staggeredDial(t *testing.T) {
	w := &way{dialer: dialFunc(func(ctx context.Context, a string) (net.Conn, error) {
		if strings.HasPrefix(a, "[") {
			<-ctx.Done() // a black hole
			return nil, ctx.Err()
		}
		c, d := net.Pipe()
		d.Close()
		return c, nil
	})}
	addrs := []netip.Addr{netip.MustParseAddr("2606:4700::1"), netip.MustParseAddr("93.184.216.34")}
	start := time.Now()
	const between = 10 * time.Millisecond // of the bubble's clock
	c, addr, err := w.dialAll(t.Context(), addrs, 443, between)
	if took := time.Since(start); err != nil || addr != "93.184.216.34" || took != between {
		t.Fatal(addr, err, took)
	}
	c.Close()
}

type dialFunc func(context.Context, string) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, _, a string) (net.Conn, error) { return f(ctx, a) }

// TestServeProxy: a stream that is handed in is the proxy's, under the same decisions;
// after the gateway's end it is closed at once.
func TestServeProxy(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("db.example.com", 5432)}})
	w.raw("db.example.com", "93.184.216.34:5432", func(c net.Conn) { _, _ = io.WriteString(c, "db") })
	w.addr("db.example.com")                // it answers: it runs
	ask := func(host, last string) string { // reads up to last, or to the end
		here, there := net.Pipe()
		done := make(chan struct{})
		go func() { defer close(done); w.g.ServeProxy(there) }()
		defer func() { here.Close(); <-done }()
		_ = here.SetDeadline(time.Now().Add(hangs))
		_, _ = fmt.Fprintf(here, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", host)
		var got strings.Builder
		for b := make([]byte, 1); !strings.HasSuffix(got.String(), last); got.Write(b) {
			if _, err := here.Read(b); err != nil {
				break
			}
		}
		return got.String()
	}
	if got := ask("db.example.com:5432", "db"); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.HasSuffix(got, "\r\n\r\ndb") {
		t.Errorf("allowed: %q", got)
	}
	if got := ask("db.example.com:22", "\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("another port: %q", got)
	}
	if err := w.g.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ask("db.example.com:5432", "\n"); got != "" {
		t.Errorf("after the end: %q", got)
	}
}
