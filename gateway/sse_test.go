package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar/gateway/certs"
)

// pipes is an outside in memory: every name has one address, whose server listens on it.
type pipes struct{ in chan net.Conn }

func (p *pipes) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
}

func (p *pipes) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.in <- b:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	if c, ok := <-p.in; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestLongStreamOfEvents: a stream of events lives through ten minutes of heartbeats and an
// hour of silence, and what is sent arrives at that very instant: nothing waits for a
// buffer or for a clock, and no limit on idle connections cuts what is alive. The time is
// the bubble's.
func TestLongStreamOfEvents(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		synctest.Test(t, func(t *testing.T) { longStream(t, inner, outer) })
	})
}

func longStream(t *testing.T, inner, outer bool) {
	own, err := certs.New()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := certs.New()
	if err != nil {
		t.Fatal(err)
	}
	out := &pipes{in: make(chan net.Conn)}
	const every, beats, silent = 15 * time.Second, 40, time.Hour
	stop := serveEvents(t, out, theirs, outer, every, beats, silent)
	n := streamNetwork()
	g, err := New(Options{Network: &n, Events: &record{more: make(chan struct{}, 1)}, Dialer: out, Resolver: out, Authority: own, Roots: pool509(t, theirs.PEM())})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- g.Run(t.Context()) }()
	synctest.Wait()
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: inner,
		TLSClientConfig:   &tls.Config{RootCAs: pool509(t, own.PEM())},
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			a, b := net.Pipe()
			g.wg.Go(func() { seePipe(g, b) })
			return a, nil
		},
	}}
	start := time.Now()
	resp, err := client.Get("https://api.example.com/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	if want := map[bool]int{true: 2, false: 1}[inner]; resp.ProtoMajor != want {
		t.Errorf("by HTTP/%d inside", resp.ProtoMajor)
	}
	lines := bufio.NewScanner(resp.Body)
	got := 0
	for lines.Scan() {
		var sent int64
		if n, _ := fmt.Sscanf(strings.TrimLeft(lines.Text(), ":"), " %d", &sent); n == 1 {
			got++
			if now := time.Now().UnixNano(); now != sent {
				t.Errorf("line %d came %v late", got, time.Duration(now-sent))
			}
		}
	}
	if err := lines.Err(); err != nil || got != beats+1 {
		t.Errorf("%d lines, %v", got, err)
	}
	if d := time.Since(start); d < beats*every+silent {
		t.Errorf("it was over after %v", d)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	stop()
}

// serveEvents answers with a comment at each beat, each with the time at which it is sent,
// then nothing for silent, then an event.
func serveEvents(t *testing.T, l *pipes, a *certs.Authority, h2 bool, every time.Duration, beats int, silent time.Duration) (stop func()) {
	leaf, err := a.Leaf("api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := map[bool]int{true: 2, false: 1}[h2]; r.ProtoMajor != want {
			t.Errorf("by HTTP/%d outside", r.ProtoMajor)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for range beats {
			time.Sleep(every)
			fmt.Fprintf(w, ": %d\n", time.Now().UnixNano())
			_ = http.NewResponseController(w).Flush()
		}
		time.Sleep(silent)
		fmt.Fprintf(w, " %d\n\n", time.Now().UnixNano())
	})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	s.Protocols = protocols
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*leaf}}
	done := make(chan struct{})
	go func() { _ = s.ServeTLS(l, "", ""); close(done) }()
	return func() { close(l.in); <-done; _ = s.Close() }
}

// seePipe does with a connection in memory what accept does with one of the sandbox's.
func seePipe(g *Gateway, c net.Conn) {
	f, _ := g.flows.open()
	defer g.flows.done(f)
	f.own(c)
	in := &inside{Conn: &touched{Conn: c, flow: f}, abort: func() { c.Close() }, flow: f, buffers: g.buffers}
	in.br = bufio.NewReaderSize(in.Conn, sniffSize)
	t := target{host: "api.example.com", port: 443}
	g.see(g.context(), in, t, g.decide(t))
}
