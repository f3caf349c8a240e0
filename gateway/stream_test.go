package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// each runs f for every pair of protocols inside and outside.
func each(t *testing.T, f func(t *testing.T, inner, outer bool)) {
	for _, inner := range []bool{true, false} {
		for _, outer := range []bool{true, false} {
			name := map[bool]string{true: "h2", false: "h1"}
			t.Run(name[inner]+" to "+name[outer], func(t *testing.T) { f(t, inner, outer) })
		}
	}
}

func streamNetwork() belljar.Network {
	return belljar.Network{Rules: []belljar.NetRule{confined("api.example.com", 443, "GET POST", "/v1/**")}}
}

// TestEventsArriveAtOnce: each event of a stream is there before the next is sent, and
// the head before the first.
func TestEventsArriveAtOnce(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, streamNetwork())
		next := make(chan struct{})
		w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(rw).Flush()
			for i := range 5 {
				<-next
				fmt.Fprintf(rw, "data: %d\n\n", i)
				_ = http.NewResponseController(rw).Flush()
			}
		})
		resp, err := w.agent(inner).Get("https://api.example.com/v1/events")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		br := bufio.NewReader(resp.Body)
		for i := range 5 {
			next <- struct{}{}
			got, err := br.ReadString('\n')
			if err != nil || got != fmt.Sprintf("data: %d\n", i) {
				t.Fatal(got, err)
			}
			_, _ = br.ReadString('\n')
		}
	})
}

// TestBothDirectionsAtOnce: an answer begins before its request has ended, as in gRPC.
func TestBothDirectionsAtOnce(t *testing.T) {
	w := newSecureWorld(t, streamNetwork())
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Te") != "trailers" {
			t.Errorf("Te: %q", r.Header.Get("Te"))
		}
		rw.Header().Set("Trailer", "Grpc-Status")
		_ = http.NewResponseController(rw).Flush()
		br := bufio.NewReader(r.Body)
		for {
			l, err := br.ReadString('\n')
			if err != nil {
				break
			}
			_, _ = io.WriteString(rw, l)
			_ = http.NewResponseController(rw).Flush()
		}
		rw.Header().Set("Grpc-Status", "0")
	})
	pr, pw := io.Pipe()
	req, _ := http.NewRequestWithContext(w.ctx, "POST", "https://api.example.com/v1/chat", pr)
	req.Header.Set("Te", "trailers")
	resp, err := w.agent(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for i := range 20 {
		line := fmt.Sprintf("message %d\n", i)
		if _, err := io.WriteString(pw, line); err != nil {
			t.Fatal(err)
		}
		if got, err := br.ReadString('\n'); got != line {
			t.Fatal(got, err)
		}
	}
	pw.Close()
	if _, err := io.ReadAll(br); err != nil {
		t.Fatal(err)
	}
	if resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("trailers: %v", resp.Trailer)
	}
}

func TestTrailersAndInterim(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, streamNetwork())
		w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Link", "</style.css>")
			rw.WriteHeader(http.StatusEarlyHints)
			_, _ = io.Copy(io.Discard, r.Body)
			rw.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(rw, "sum follows")
			_ = http.NewResponseController(rw).Flush()
			rw.Header().Set("X-Sum", r.Trailer.Get("X-Up")+r.Trailer.Get("Authorization"))
		})
		var hints []string
		ctx := httptrace.WithClientTrace(w.ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h.Get("Link")))
			return nil
		}})
		req, _ := http.NewRequestWithContext(ctx, "POST", "https://api.example.com/v1/x", struct{ io.Reader }{strings.NewReader("body")})
		req.Trailer = http.Header{"X-Up": {"42"}}
		if !inner { // by HTTP/2 net/http refuses it
			req.Trailer.Set("Authorization", "Bearer x")
		}
		resp, err := w.agent(inner).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || string(b) != "sum follows" || resp.Trailer.Get("X-Sum") != "42" {
			t.Errorf("%q, trailers %v, %v", b, resp.Trailer, err)
		}
		if len(hints) != 1 || !strings.HasPrefix(hints[0], "103") || !strings.Contains(hints[0], "style.css") {
			t.Errorf("interim answers: %q", hints)
		}
	})
}

// TestExpectContinue: the server's word on a large body reaches the client before the
// body leaves it.
func TestExpectContinue(t *testing.T) {
	w := newSecureWorld(t, streamNetwork())
	w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "no") {
			rw.WriteHeader(http.StatusExpectationFailed)
			return
		}
		echo(rw, r)
	})
	for path, want := range map[string]string{"yes": "HTTP/1.1 100 Continue", "no": "HTTP/1.1 417 "} {
		c, err := w.tls("api.example.com", 443, nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST /v1/%s HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", path)
		br := bufio.NewReader(c)
		if got, err := br.ReadString('\n'); !strings.HasPrefix(got, want) {
			t.Fatal(got, err)
		}
		if path == "no" {
			continue
		}
		_, _ = br.ReadString('\n')
		_, _ = io.WriteString(c, "hello")
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		b, _ := io.ReadAll(resp.Body)
		if !strings.HasSuffix(string(b), " 5") {
			t.Errorf("%q", b)
		}
	}
}

func TestWebSocket(t *testing.T) {
	w := newSecureWorld(t, streamNetwork())
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		c, br, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-Websocket-Accept: x\r\n\r\n")
		_, _ = io.Copy(c, br)
	})
	c, err := w.tls("api.example.com", 443, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET /v1/socket HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") != "x" {
		t.Fatal(resp, err)
	}
	for i := range 10 {
		line := fmt.Sprintf("frame %d\n", i)
		_, _ = io.WriteString(c, line)
		if got, err := br.ReadString('\n'); got != line {
			t.Fatal(got, err)
		}
	}
	c.Close()
	if e := w.rec.wait(t, belljar.EventRequest, "api.example.com"); e.Status != 101 || e.Sent == 0 || e.Received == 0 {
		t.Errorf("recorded: %+v", e)
	}
}

// nothing is a body of n bytes.
func nothing(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestLargeBodies: bodies of any size pass whole, in both directions, and memory does
// not grow with them.
func TestLargeBodies(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		size := int64(4 << 20)
		switch {
		case soak() && inner == outer:
			size = 10 << 30
		case soak():
			size = 1 << 30
		}
		w := newSecureWorld(t, streamNetwork())
		w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			rw.Header().Set("X-Got", fmt.Sprint(n))
			_, _ = io.Copy(rw, nothing(n))
		})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		req, _ := http.NewRequestWithContext(w.ctx, "POST", "https://api.example.com/v1/x", nothing(size))
		c := w.agent(inner)
		c.Timeout = 0
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, resp.Body)
		if n != size || err != nil || resp.Header.Get("X-Got") != fmt.Sprint(size) {
			t.Errorf("%d bytes back, %s arrived, %v", n, resp.Header.Get("X-Got"), err)
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.Sys) - int64(before.Sys); grown > 64<<20 {
			t.Errorf("memory grew by %d MiB", grown>>20)
		}
		if e := w.rec.wait(t, belljar.EventRequest, "api.example.com"); e.Sent != size || e.Received != size {
			t.Errorf("recorded: %+v", e)
		}
	})
}

// TestBodiesAreTheSameBytes: encoded or not, what arrives is what was sent.
func TestBodiesAreTheSameBytes(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, streamNetwork())
		gz := []byte("\x1f\x8b\x08\x00not really gzip")
		w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, r *http.Request) {
			if got := r.Header["Accept-Encoding"]; len(got) != 1 || got[0] != "gzip, br" {
				t.Errorf("Accept-Encoding: %q", got)
			}
			if got := r.Header["X-Odd"]; len(got) != 2 {
				t.Errorf("X-Odd: %q", got)
			}
			rw.Header()["Content-Encoding"], rw.Header()["Date"] = []string{"gzip"}, nil
			rw.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			_, _ = rw.Write(gz)
		})
		req, _ := http.NewRequestWithContext(w.ctx, "GET", "https://api.example.com/v1/x", nil)
		req.Header = http.Header{"Accept-Encoding": {"gzip, br"}, "X-Odd": {"1", "2"}}
		resp, err := w.agent(inner).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if !bytes.Equal(b, gz) || len(resp.Header["Set-Cookie"]) != 2 || resp.Header["Date"] != nil || resp.Header["Content-Type"] != nil {
			t.Errorf("%q, %v", b, resp.Header)
		}
		if resp.ContentLength != int64(len(gz)) {
			t.Errorf("length %d", resp.ContentLength)
		}
	})
}

// TestGoneClientsEndTheirRequests: a stream that is reset ends the request outside.
func TestGoneClientsEndTheirRequests(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, streamNetwork())
		began, gone := make(chan struct{}), make(chan struct{})
		w.site("api.example.com", apiAddr, outer, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			close(began)
			<-r.Context().Done() // before anything is answered
			close(gone)
		})
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "POST", "https://api.example.com/v1/x", strings.NewReader("think"))
		failed := make(chan error)
		go func() {
			resp, err := w.agent(inner).Do(req)
			if err == nil {
				resp.Body.Close()
			}
			failed <- err
		}()
		<-began
		cancel()
		if err := <-failed; err == nil {
			t.Error("an answer arrived")
		}
		select {
		case <-gone:
		case <-w.ctx.Done():
			t.Fatal("the request outside goes on")
		}
		w.rec.wait(t, belljar.EventRequest, "api.example.com")
	})
}

// TestBrokenAnswers: what breaks off outside breaks off inside, and is no whole answer.
func TestBrokenAnswers(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, streamNetwork())
		w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(rw, "half")
			_ = http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		})
		resp, err := w.agent(inner).Get("https://api.example.com/v1/x")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("a whole answer: %q", b)
		}
		w.rec.wait(t, belljar.EventRequest, "broke off")
	})
}

// soak says whether tests take their time.
func soak() bool { return os.Getenv("BELLJAR_SOAK") == "1" }
