package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/belljar-dev/belljar"
)

// quickWorld is a key world whose server speaks HTTP/1.1 and was asked once: what it is
// asked from now on goes the quick way, where that takes it. The function counts connections.
func quickWorld(t *testing.T, h http.HandlerFunc) (w *secureWorld, standIn string, conns func() int) {
	w, standIn = newKeyWorld(t)
	var from sync.Map
	w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, r *http.Request) {
		from.Store(r.RemoteAddr, true)
		h(rw, r)
	})
	if status, _, body := w.ask(false, "GET", "https://api.example.com/first", "", "X-Api-Key", standIn); status != 200 {
		t.Fatal(status, body)
	}
	return w, standIn, func() (n int) {
		from.Range(func(any, any) bool { n++; return true })
		return n
	}
}

// TestQuickWay: on the quick way keys are put in and taken out as on the other: in interim
// answers, headers, bodies and trailers; and what is sent is on record.
func TestQuickWay(t *testing.T) {
	for _, inner := range []bool{false, true} {
		w, standIn, conns := quickWorld(t, func(rw http.ResponseWriter, r *http.Request) {
			got := r.Header.Get("X-Api-Key")
			if got != realKey {
				t.Errorf("the server got %q", got)
			}
			rw.Header().Set("Link", "<"+got+">")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Set("Trailer", "X-Sum")
			fmt.Fprint(rw, "you sent ", got[:9])
			_ = http.NewResponseController(rw).Flush()
			fmt.Fprint(rw, got[9:])
			rw.Header().Set("X-Sum", got)
		})
		before := conns()
		for _, method := range []string{"GET", "DELETE", "OPTIONS", "GET"} {
			var hints sync.Map
			ctx := httptrace.WithClientTrace(w.ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints.Store(code, h.Get("Link"))
				return nil
			}})
			req := must(http.NewRequestWithContext(ctx, method, "https://api.example.com/v1/x", nil))
			req.Header.Set("X-Api-Key", standIn)
			resp, err := w.agent(inner).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			hint, hinted := hints.Load(http.StatusEarlyHints)
			all := fmt.Sprint(resp.Header, resp.Trailer, string(b), hint)
			if err != nil || !hinted || strings.Contains(all, realKey) || !strings.HasPrefix(string(b), "you sent ") || resp.Trailer.Get("X-Sum") == "" {
				t.Errorf("%s: %v %v", method, err, all)
			}
		}
		if n := conns() - before; n != 1 {
			t.Errorf("%d further connections, not one for all", n)
		}
		e := w.rec.wait(t, belljar.EventRequest, "api.example.com 93.184.216.34")
		if e.Credential != "API_KEY" || e.Status != 200 {
			t.Errorf("recorded: %+v", e)
		}
	}
}

// TestQuickWayStreams: what a server says passes at once on the quick way, and the server
// learns that the client has gone.
func TestQuickWayStreams(t *testing.T) {
	for _, inner := range []bool{false, true} {
		next, gone := make(chan struct{}), make(chan struct{})
		w, standIn, _ := quickWorld(t, func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/events" {
				return
			}
			rw.Header().Set("Content-Type", "text/event-stream")
			for range 3 {
				<-next
				fmt.Fprint(rw, "data: x\n\n")
				_ = http.NewResponseController(rw).Flush()
			}
			<-r.Context().Done()
			close(gone)
		})
		ctx, cancel := context.WithCancel(w.ctx)
		req := must(http.NewRequestWithContext(ctx, "GET", "https://api.example.com/events", nil))
		req.Header.Set("X-Api-Key", standIn)
		go func() { next <- struct{}{} }()
		resp, err := w.agent(inner).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len("data: x\n\n"))
		for i := range 3 {
			if i > 0 {
				next <- struct{}{}
			}
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "data: x\n\n" {
				t.Fatalf("%q %v", b, err)
			}
		}
		cancel()
		resp.Body.Close()
		<-gone
	}
}

// TestQuickWayStolen: an answer that a server sends to nobody reaches nobody.
func TestQuickWayStolen(t *testing.T) {
	w, standIn, _ := quickWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/two" {
			fmt.Fprint(rw, r.URL.Path)
			return
		}
		c, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n/twoHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
		_, _ = io.Copy(io.Discard, c)
	})
	for range 3 {
		for _, path := range []string{"/two", "/one"} {
			if status, _, body := w.ask(false, "GET", "https://api.example.com"+path, "", "X-Api-Key", standIn); status != 200 || body != path {
				t.Errorf("%s: %d %q", path, status, body)
			}
		}
	}
}

// TestQuickWayLeft: a server that has learned HTTP/2 meanwhile is asked over HTTP/2, once,
// and told of once.
func TestQuickWayLeft(t *testing.T) {
	w, standIn := newKeyWorld(t)
	var asked atomic.Int64
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		rw.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(rw, r.Proto)
	})
	quick := w.g.pool.public.quick
	quick.Learn("api.example.com:443", &http.Response{ProtoMajor: 1, TLS: &tls.ConnectionState{}})
	var hints atomic.Int64
	ctx := httptrace.WithClientTrace(w.ctx, &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { hints.Add(1); return nil }})
	req := must(http.NewRequestWithContext(ctx, "GET", "https://api.example.com/v1/x", nil))
	req.Header.Set("X-Api-Key", standIn)
	if !quick.Takes(must(http.NewRequest("GET", "https://api.example.com:443/", nil))) {
		t.Fatal("it is not known")
	}
	resp, err := w.agent(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "HTTP/2.0" || asked.Load() != 1 || hints.Load() != 1 {
		t.Errorf("%q %v, asked %d times, told %d times", b, err, asked.Load(), hints.Load())
	}
	if quick.Takes(must(http.NewRequest("GET", "https://api.example.com:443/", nil))) {
		t.Error("it is still taken for what it was")
	}
}
