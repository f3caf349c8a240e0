package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// TestSeenThroughUpstream: the company's proxy is asked for the checked address, and TLS
// with the server goes through it.
func TestSeenThroughUpstream(t *testing.T) {
	n := streamNetwork()
	n.Upstream = "proxy.corp:8080"
	w := newSecureWorld(t, n, func(o *Options) { o.UpstreamAuth = "me:secret" })
	s := w.site("api.example.com", apiAddr, true, echo)
	asked := make(chan string, 4)
	w.raw("", "10.9.9.9:8080", func(c net.Conn) {
		br := bufio.NewReader(c)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		asked <- r.Method + " " + r.RequestURI
		up, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		both(c, up)
	})
	w.mu.Lock()
	w.servers["proxy.corp:8080"] = w.servers["10.9.9.9:8080"]
	w.mu.Unlock()
	if status, body := w.get(w.agent(true), "https://api.example.com/v1/x"); status != 200 {
		t.Fatal(status, body)
	}
	w.g.pool.closeIdle()
	if got := <-asked; got != "CONNECT 93.184.216.34:443" {
		t.Errorf("the proxy was asked %q", got)
	}
}

// TestRefusalsFlood: ten thousand refusals are counted, not written one by one, and
// none is lost.
func TestRefusalsFlood(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	const each, clients = 500, 8
	began := time.Now()
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for range each / 100 {
				p := w.h2peer("api.example.com")
				for i := range uint32(100) {
					if err := p.head(2*i+1, ":method", "GET", ":scheme", "https", ":authority", "api.example.com", ":path", fmt.Sprintf("/no/%d/%d", c, i)); err != nil {
						t.Error(err)
						return
					}
					if got := p.answer(2*i + 1); got != "403" {
						t.Errorf("%d: %s", i, got)
						return
					}
				}
				p.c.Close()
			}
		})
	}
	wg.Wait()
	w.g.rec.tell(w.ctx)
	var written int
	var counted int64
	for _, e := range w.rec.of(belljar.EventRefuse) {
		written++
		counted += max(1, e.Count)
	}
	// Each path once, and the numbers of what came again each time they are told.
	told := 2 + int(time.Since(began)/tellEvery)
	if counted < each*clients || written > told*(maxKept+1) {
		t.Errorf("%d refusals, %d written, %d counted in %v", each*clients, written, counted, time.Since(began))
	}
	if d := w.dials(); len(d) != 0 {
		t.Errorf("dialled %v", d)
	}
}

// TestUpstreamIsBounded: connections to the outside have a bound, and what does not fit
// is told.
func TestUpstreamIsBounded(t *testing.T) {
	w := newSecureWorld(t, streamNetwork())
	w.site("api.example.com", apiAddr, false, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w.g.pool.flows.atMost(3)
	c := w.agent(true)
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	for range 3 {
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://api.example.com/v1/x", nil)
		go func() {
			if resp, err := c.Do(req); err == nil {
				resp.Body.Close()
			}
		}()
	}
	for len(w.dials()) < 3 {
		runtime.Gosched()
	}
	status, body := w.get(c, "https://api.example.com/v1/x")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "too many connections") {
		t.Errorf("%d %s", status, body)
	}
}

// TestMemoryStaysFlat: neither many requests nor many open connections keep memory.
func TestMemoryStaysFlat(t *testing.T) {
	if !soak() {
		t.Skip("takes a minute; BELLJAR_SOAK=1 runs it")
	}
	w := newSecureWorld(t, streamNetwork())
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "hello") })
	at := loopback(t, w)
	heap := func() int64 {
		w.rec.mu.Lock()
		w.rec.events = nil
		w.rec.mu.Unlock()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	open := func(n int) (all []*tls.Conn) {
		cfg := &tls.Config{RootCAs: pool509(t, w.inside.PEM()), ServerName: "api.example.com"}
		for range n {
			c, err := tls.Dial("tcp", at, cfg)
			if err != nil {
				t.Fatal(err)
			}
			askOn(t, c, 1)
			all = append(all, c)
		}
		return all
	}
	first := open(1)
	base := heap()
	many := open(1000)
	t.Logf("1000 open connections: %d KiB each, with their clients", (heap()-base)>>10/1000)
	if grown := heap() - base; grown > 64<<20 {
		t.Errorf("1000 open connections hold %d MiB", grown>>20)
	}
	for _, c := range many {
		c.Close()
	}
	for len(w.g.flows.list()) > 1 {
		runtime.Gosched()
	}
	askOn(t, first[0], 1000)
	before := heap()
	askOn(t, first[0], 100_000)
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("100 000 requests left %d KiB", grown>>10)
	}
	first[0].Close()
}

// askOn asks n times on a connection.
func askOn(t *testing.T, c net.Conn, n int) {
	t.Helper()
	br := bufio.NewReaderSize(c, 1024)
	for range n {
		_, _ = io.WriteString(c, "GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
		r, err := http.ReadResponse(br, nil)
		if err != nil || r.StatusCode != 200 {
			t.Fatal(r, err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// TestCloseEndsWhatIsSeen: whatever is under way, the gateway ends at once, and every
// request is on record.
func TestCloseEndsWhatIsSeen(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, streamNetwork())
		w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(rw).EnableFullDuplex() // else net/http waits for the body
			_ = http.NewResponseController(rw).Flush()
			if strings.HasSuffix(r.URL.Path, "upload") {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			<-r.Context().Done()
		})
		c := w.agent(inner)
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		down, err := c.Do(must(http.NewRequestWithContext(ctx, "GET", "https://api.example.com/v1/events", nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer down.Body.Close()
		pr, pw := io.Pipe()
		defer pw.Close()
		req, _ := http.NewRequestWithContext(w.ctx, "POST", "https://api.example.com/v1/upload", pr)
		up, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer up.Body.Close()
		if err := w.g.Close(); err != nil {
			t.Error(err)
		}
		// The link may be gone before the client hears of it: it need not wait for ever.
		time.AfterFunc(time.Second, cancel)
		if _, err := io.ReadAll(down.Body); err == nil {
			t.Error("the stream ended as if it were whole")
		}
		if n := len(w.rec.of(belljar.EventRequest)); n != 2 {
			t.Errorf("%d requests are on record", n)
		}
		if n := len(w.g.pool.slots); n != 0 {
			t.Errorf("%d requests still count", n)
		}
		if n := len(w.rec.of(belljar.EventConnect)); n == 0 {
			t.Error("no connection is on record")
		}
	})
}

// TestWhatIsJudgedIsWhatServersRead: what some servers read in another way than others
// do is refused where methods or paths are judged.
func TestWhatIsJudgedIsWhatServersRead(t *testing.T) {
	w := newSecureWorld(t, apiNetwork())
	w.site("api.example.com", apiAddr, true, echo)
	for _, x := range []struct{ path, header, want string }{
		{"/v1/x", "X-HTTP-Method-Override: DELETE", "403"},
		{"/v1/x", "x_http_method_override: DELETE", "403"},
		{"/v1/x", "X-Original-URL: /v2/x", "403"},
		{"/v1/x", "X-Other: DELETE", "200"},
		{"/v1/%252e%252e/v2/x", "A: b", "403"},
		{"/v1/..;/v2/x", "A: b", "403"},
		{"/v1/..%20/v2/x", "A: b", "403"},
		{"/v1/100%25", "A: b", "200"},
		{"/v1/" + strings.Repeat("a", 9<<10), "A: b", "403"},
	} {
		got := w.say("api.example.com", "GET "+x.path+" HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"+x.header+"\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+x.want+" ") {
			t.Errorf("%.100s %s: %.200q", x.path, x.header, got)
		}
	}
	// A socket is asked for with a GET without a body.
	got := w.say("api.example.com", "POST /v1/x HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi")
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, "HTTP/2.0 POST") {
		t.Errorf("%q", got)
	}
}

// TestRefusalsKeepLittle: a flood of refusals with long texts holds no memory.
func TestRefusalsKeepLittle(t *testing.T) {
	rec := newRecorder(&record{more: make(chan struct{}, 1)})
	long := strings.Repeat("a", 32<<10)
	rec.refuse(t.Context(), "https", target{host: "a.example"}, belljar.Decision{Reason: long, Fix: long})
	s := rec.summary()
	if len(s.Refused) != 1 || len(s.Refused[0].Reason) > 2*maxText || s.Refused[0].Fix != "" {
		t.Errorf("%d refusals, reason %d, fix %d", len(s.Refused), len(s.Refused[0].Reason), len(s.Refused[0].Fix))
	}
}
