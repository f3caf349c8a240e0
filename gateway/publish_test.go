package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestLocalhost(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("localhost", 9000)}})
	w.http("", "127.0.0.1:9000", false, greet)
	w.http("", "127.0.0.1:9001", false, greet)
	if code, body := w.get(w.client(false), "http://198.18.0.3:9000/"); code != 403 {
		t.Errorf("an address that is not localhost's: %d %q", code, body)
	}
	for _, host := range []string{"localhost:9000", "127.0.0.1:9000", "[::1]:9000", "localhost"} {
		if got := w.talk("198.18.0.3", 9000, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "200 OK") {
			t.Errorf("%s: %q", host, got)
		}
		if got := w.talk(belljar.LocalhostIPv6.String(), 9000, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "200 OK") {
			t.Errorf("%s: %q", host, got)
		}
	}
	if c, err := w.dial("198.18.0.3", 9001); err == nil {
		c.Close()
		t.Error("port 9001 was accepted")
	}
	for _, u := range []string{"http://localhost:9000/", "http://127.0.0.1:9000/"} {
		req, _ := http.NewRequest("GET", u, nil)
		tr := w.client(true).Transport.(*http.Transport)
		tr.Proxy = func(*http.Request) (*url.URL, error) { return mustURL("http://198.18.0.1:3128"), nil }
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 {
			t.Errorf("%s: %d", u, resp.StatusCode)
		}
		resp.Body.Close()
	}
	if e := w.rec.wait(t, belljar.EventRefuse, "localhost", "9001"); e.Fix != "--allow localhost:9001" {
		t.Errorf("event %+v", e)
	}
}

func TestPublish(t *testing.T) {
	port := freePort(t)
	w := newWorld(t, belljar.Network{Publish: []belljar.PublishRule{{Port: port}}})
	l, err := w.guest.ListenTCP(netip.AddrPortFrom(belljar.GuestIPv4, port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	e := w.rec.wait(t, belljar.EventPublish, fmt.Sprint(port))
	a := netip.MustParseAddr(e.Addr)
	if !a.IsLoopback() || a.String() == "127.0.0.1" {
		t.Errorf("published at %s", a)
	}
	c, err := net.Dial("tcp", netip.AddrPortFrom(a, port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "ping")
	_ = c.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(c); string(b) != "ping" {
		t.Errorf("got %q, %v", b, err)
	}
	// A second sandbox of the same name gets another address.
	other, _ := New(Options{Network: &belljar.Network{Publish: []belljar.PublishRule{{Port: port}}}, Events: w.rec, Name: t.Name()})
	la, lb := socketPair(t)
	defer lb.File.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- other.Run(ctx) }()
	if err := other.Attach(la); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Close(); <-done }()
	if es := w.rec.of(belljar.EventPublish); len(es) < 2 && len(es) != 1 || len(es) == 2 && es[0].Addr == es[1].Addr {
		t.Errorf("published at %+v", es)
	}
}

func freePort(t *testing.T) uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}
