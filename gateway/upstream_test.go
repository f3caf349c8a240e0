package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// hijacked answers a request by hand: what f writes, and the way the connection ends.
func hijacked(t *testing.T, f func(c net.Conn)) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		c, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		f(c)
	}
}

// reset ends a connection as a server that crashed does.
func reset(c net.Conn) {
	if s, ok := c.(*tls.Conn); ok {
		c = s.NetConn()
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// TestHostileServers: whatever a server does, the request gets an answer of the gateway's,
// is on record, and the next one works.
func TestHostileServers(t *testing.T) {
	line := "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct {
		name   string
		answer func(net.Conn)
		want   string // in the event's reason
	}{
		{"reset", reset, "could not"},
		{"nothing", func(net.Conn) {}, "could not"},
		{"garbage", func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0, 255, '\r', 'x'}, 1<<10)) }, "could not"},
		{"half a head", func(c net.Conn) { _, _ = io.WriteString(c, line+"X-A: b") }, "could not"},
		{"a head of a mebibyte", func(c net.Conn) {
			_, _ = io.WriteString(c, line+"X-A: "+strings.Repeat("b", 1<<20)+"\r\n\r\n")
		}, "could not"},
		{"a mebibyte of fields", func(c net.Conn) {
			_, _ = io.WriteString(c, line+strings.Repeat("X-A: b\r\n", 1<<17)+"\r\n")
		}, "could not"},
		{"interim answers without end", func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-A: "+strings.Repeat("b", 1000)+"\r\n\r\n", 100)); err != nil {
					return
				}
			}
		}, "could not"},
		{"two lengths", func(c net.Conn) {
			_, _ = io.WriteString(c, line+"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab")
		}, "could not"},
		{"a chunk that is none", func(c net.Conn) {
			_, _ = io.WriteString(c, line+"Transfer-Encoding: chunked\r\n\r\nzz\r\nab")
		}, "broke off"},
		{"a body cut by a reset", func(c net.Conn) {
			_, _ = io.WriteString(c, line+"Content-Length: 100\r\n\r\nab")
			reset(c)
		}, "broke off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newSecureWorld(t, streamNetwork())
			bad := hijacked(t, c.answer)
			w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/bad" {
					bad(rw, r)
				}
			})
			for _, h2 := range []bool{true, false} {
				client := w.agent(h2)
				resp, err := client.Get("https://api.example.com/v1/bad")
				if err != nil {
					t.Fatalf("h2 %v: no answer: %v", h2, err)
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if whole := resp.StatusCode == http.StatusOK && err == nil; whole {
					t.Errorf("h2 %v: a whole answer", h2)
				}
				if status, _ := w.get(client, "https://api.example.com/v1/good"); status != http.StatusOK {
					t.Errorf("h2 %v: the next request: %d", h2, status)
				}
			}
			w.rec.wait(t, belljar.EventRequest, "api.example.com", c.want)
		})
	}
}

// TestStallingServer: a server that accepts and says nothing is given up in a bounded time.
func TestStallingServer(t *testing.T) {
	t.Parallel() // it takes as long as a handshake may
	w := newSecureWorld(t, streamNetwork())
	done := make(chan struct{})
	w.raw("api.example.com", apiAddr, func(net.Conn) { <-done })
	t.Cleanup(func() { close(done) }) // before the server waits for it
	began := time.Now()
	c := w.agent(true)
	c.Timeout = hangs
	status, body := w.get(c, "https://api.example.com/v1/x")
	if status != http.StatusBadGateway && status != http.StatusGatewayTimeout {
		t.Errorf("%d %s", status, body)
	}
	if took := time.Since(began); took > dialTimeout+hangs/2 {
		t.Errorf("it took %v", took)
	}
	w.rec.wait(t, belljar.EventRequest, "api.example.com", "could not")
}

// issued is a certificate for name, valid between two times, and who signed it.
func issued(t *testing.T, name string, from, to time.Time) (*tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, c
}

// TestTimesOfCertificates: a certificate that has expired, or is not valid yet, is none,
// whoever signed it; the one beside them shows that its signer is trusted.
func TestTimesOfCertificates(t *testing.T) {
	now := time.Now()
	roots := x509.NewCertPool()
	w := newSecureWorld(t, belljar.Network{Rules: []belljar.NetRule{
		confined("expired.example.com", 443, "GET", ""), confined("early.example.com", 443, "GET", ""), confined("valid.example.com", 443, "GET", ""),
	}}, func(o *Options) { o.Roots = roots })
	for i, c := range []struct {
		name     string
		from, to time.Time
	}{
		{"expired", now.Add(-48 * time.Hour), now.Add(-time.Hour)},
		{"early", now.Add(time.Hour), now.Add(48 * time.Hour)},
		{"valid", now.Add(-time.Hour), now.Add(time.Hour)},
	} {
		name := c.name + ".example.com"
		cert, root := issued(t, name, c.from, c.to)
		roots.AddCert(root)
		w.siteWith(name, fmt.Sprintf("93.184.216.%d:443", 40+i), i == 1, cert, echo)
	}
	for _, name := range []string{"expired", "early"} {
		status, body := w.get(w.agent(true), "https://"+name+".example.com/")
		if status != http.StatusBadGateway || !strings.Contains(body, "expired or is not yet valid") {
			t.Errorf("%s: %d %s", name, status, body)
		}
		w.rec.wait(t, belljar.EventRequest, name+".example.com", "not accepted")
	}
	if status, body := w.get(w.agent(true), "https://valid.example.com/"); status != http.StatusOK {
		t.Errorf("valid: %d %s", status, body)
	}
}

// TestRedirects: where an answer points to is asked for like everything else.
func TestRedirects(t *testing.T) {
	n := streamNetwork()
	n.Rules = append(n.Rules, confined("inner.example.com", 443, "GET", ""))
	w := newSecureWorld(t, n)
	w.named("inner.example.com", "10.0.0.1")
	cases := map[string]struct{ to, refused string }{
		"name":     {"https://inner.example.com/", "10.0.0.1"},
		"address":  {"http://10.0.0.2/", "10.0.0.2"},
		"metadata": {"http://169.254.169.254/latest/meta-data/", "169.254.169.254"},
	}
	w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, cases[strings.TrimPrefix(r.URL.Path, "/v1/")].to, http.StatusFound)
	})
	for path, c := range cases {
		t.Run(path, func(t *testing.T) {
			before := len(w.dials())
			resp, err := w.agent(true).Get("https://api.example.com/v1/" + path)
			if err == nil {
				defer resp.Body.Close()
				if resp.StatusCode != http.StatusForbidden {
					t.Errorf("%s: %d", c.to, resp.StatusCode)
				}
			}
			if c.refused != "" {
				w.rec.wait(t, belljar.EventRefuse, c.refused)
			}
			for _, d := range w.dials()[before:] {
				if d != apiAddr {
					t.Errorf("dialled %s", d)
				}
			}
		})
	}
}

// TestLongHeadsOfClients: a head of a mebibyte is refused after a bounded part of it.
func TestLongHeadsOfClients(t *testing.T) {
	w := newSecureWorld(t, streamNetwork())
	w.site("api.example.com", apiAddr, true, echo)
	for _, head := range []string{
		"GET /v1/" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\nX-A: " + strings.Repeat("b", 1<<20) + "\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\n" + strings.Repeat("X-A: b\r\n", 1<<17) + "\r\n",
	} {
		c, err := w.tls("api.example.com", 443, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(c, head) }() // it is not read to its end
		b, _ := io.ReadAll(c)
		if got := string(b); got != "" && !strings.HasPrefix(got, "HTTP/1.1 431 ") && !strings.HasPrefix(got, "HTTP/1.1 414 ") {
			t.Errorf("%.30q: %.100q", head, got)
		}
		_ = c.Close()
	}
	if e := w.rec.of(belljar.EventRequest); len(e) != 0 {
		t.Errorf("sent: %+v", e)
	}
}

// untilServed asks until the gateway has a connection to the outside left for it: many
// requests at once may each want one before they share.
func untilServed(t *testing.T, c *http.Client, url string) io.ReadCloser {
	for range 100 {
		resp, err := c.Get(url)
		if err != nil {
			t.Error(err)
			return http.NoBody
		}
		if resp.StatusCode == http.StatusOK {
			return resp.Body
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %.300s", resp.Status, b)
			return http.NoBody
		}
	}
	t.Errorf("%s: never served", url)
	return http.NoBody
}

// TestUnreadAnswers: of answers that nobody reads little is taken, however many they are.
func TestUnreadAnswers(t *testing.T) {
	const (
		requests = 600
		client   = 64 << 10 // what each takes inside by itself
		most     = maxWide*(wideWindow+client) + (requests-maxWide)*(narrowWindow+client) + 24<<20
	)
	w := newSecureWorld(t, streamNetwork())
	var sent, begun atomic.Int64
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 16<<10)
		begun.Add(1)
		for {
			n, err := rw.Write(piece)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	a := w.agent(true)
	a.Timeout = 0
	a.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: client, MaxReceiveBufferPerConnection: 100 * client}
	// All are open at a time, but they do not begin at a time: so many handshakes at once
	// take longer than they may on a machine that is busy.
	const atOnce = 50
	bodies := make(chan io.Closer, atOnce)
	for range requests / atOnce {
		for range atOnce {
			go func() { bodies <- untilServed(t, a, "https://api.example.com/v1/x") }()
		}
		for range atOnce {
			defer (<-bodies).Close()
		}
	}
	// It has stopped when nothing moves any more, whatever else the machine does.
	last, still := int64(-1), 0
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for still < 20 && sent.Load() <= most {
		<-tick.C
		if now := sent.Load(); now != last {
			last, still = now, 0
		} else {
			still++
		}
	}
	t.Logf("%d requests, %d MiB sent, at most %d", begun.Load(), sent.Load()>>20, most>>20)
	if got := sent.Load(); got > most || begun.Load() != requests {
		t.Errorf("%d MiB of %d answers are taken, at most %d", got>>20, begun.Load(), most>>20)
	}
}
