package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// cpu is the time that this process has spent.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// loopback is the gateway's way with a connection, without the sandbox's network
// stack: what is compared is the work on requests.
func loopback(b testing.TB, w *secureWorld) string {
	t := target{host: "api.example.com", port: 443}
	return accepting(b, func(c net.Conn) {
		f, _ := w.g.flows.open()
		defer w.g.flows.done(f)
		in := &inside{Conn: c, abort: func() { c.Close() }, flow: f, buffers: w.g.buffers}
		in.br = bufio.NewReaderSize(c, sniffSize)
		f.own(c)
		w.g.see(w.ctx, in, t, w.g.decide(t))
	}).Addr().String()
}

// stdFront is what net/http gives for ending TLS: a server and a reverse proxy.
func stdFront(b *testing.B, w *secureWorld, to string) string {
	leaf, err := w.inside.Leaf("api.example.com")
	if err != nil {
		b.Fatal(err)
	}
	tr := &http.Transport{
		DialContext: func(ctx context.Context, n, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, n, to)
		},
		TLSClientConfig: &tls.Config{RootCAs: pool509(b, w.outer.PEM())}, ForceAttemptHTTP2: true,
		DisableCompression: true, MaxIdleConnsPerHost: 64,
	}
	s := &http.Server{Handler: &httputil.ReverseProxy{Transport: tr, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL = &url.URL{Scheme: "https", Host: "api.example.com", Path: r.In.URL.Path}
	}}, TLSConfig: &tls.Config{Certificates: []tls.Certificate{*leaf}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ServeTLS(l, "", "") }()
	b.Cleanup(func() { s.Close(); tr.CloseIdleConnections(); <-done })
	return l.Addr().String()
}

// hammer asks n times over conns connections and returns the time and the processor
// time that one request took.
func hammer(b *testing.B, w *secureWorld, at string, conns int, n int64, roots string) (each, spent time.Duration) {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, nw, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, nw, at)
		},
		TLSClientConfig: &tls.Config{RootCAs: pool509(b, roots)}, MaxIdleConnsPerHost: conns, DisableCompression: true,
	}
	defer tr.CloseIdleConnections()
	ask := func() {
		resp, err := tr.RoundTrip(must(http.NewRequestWithContext(w.ctx, "GET", "https://api.example.com/v1/x", nil)))
		if err != nil {
			b.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	var wg sync.WaitGroup
	for range conns {
		wg.Go(ask)
	}
	wg.Wait()
	var left atomic.Int64
	left.Store(n)
	began, before := time.Now(), cpu()
	for range conns {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				ask()
			}
		})
	}
	wg.Wait()
	return time.Since(began) / time.Duration(n), (cpu() - before) / time.Duration(n)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// BenchmarkSeen compares small requests by TLS that is ended here with direct ones and
// with a reverse proxy of net/http; processor time is what each adds to direct.
func BenchmarkSeen(b *testing.B) {
	for _, outer := range []bool{false, true} {
		b.Run(map[bool]string{false: "h1", true: "h2"}[outer], func(b *testing.B) {
			w := newSecureWorld(b, streamNetwork())
			body := strings.Repeat("x", 512)
			s := w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, body) })
			direct := s.Listener.Addr().String()
			ours, std := loopback(b, w), stdFront(b, w, direct)
			var sum [3][2]time.Duration
			const n = 3000
			for b.Loop() {
				for i, at := range []string{direct, ours, std} {
					roots := w.inside.PEM()
					if i == 0 {
						roots = w.outer.PEM()
					}
					each, spent := hammer(b, w, at, 32, n, roots)
					sum[i][0] += each
					sum[i][1] += spent
				}
			}
			per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(b.N) }
			b.ReportMetric(float64(sum[0][0])/float64(sum[1][0]), "of-direct")
			b.ReportMetric(float64(sum[0][0])/float64(sum[2][0]), "std-of-direct")
			b.ReportMetric(per(sum[1][1]-sum[0][1]), "cpu-µs")
			b.ReportMetric(per(sum[2][1]-sum[0][1]), "std-cpu-µs")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// asked opens a connection, asks once and reads the answer; it says how much it was.
func asked(b *testing.B, w *secureWorld, at string, cfg *tls.Config) int64 {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, nw, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, nw, at)
		},
		TLSClientConfig: cfg, DisableCompression: true, ReadBufferSize: 64 << 10,
	}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(must(http.NewRequestWithContext(w.ctx, "GET", "https://api.example.com/v1/x", nil)))
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, make([]byte, 128<<10))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkSeenNew is a new connection with one small request; BenchmarkSeenBulk a
// large answer. Processor time is what is added to direct.
func BenchmarkSeenNew(b *testing.B) { benchAsked(b, 512, 200, "µs") }

// BenchmarkSeenBulk: see BenchmarkSeenNew.
func BenchmarkSeenBulk(b *testing.B) { benchAsked(b, 64<<20, 1, "µs-per-64MiB") }

func benchAsked(b *testing.B, size int64, times int, unit string) {
	w := newSecureWorld(b, streamNetwork())
	s := w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(rw, nothing(size)) })
	direct := s.Listener.Addr().String()
	ats := []string{direct, loopback(b, w), stdFront(b, w, direct)}
	inner, outer := &tls.Config{RootCAs: pool509(b, w.inside.PEM())}, &tls.Config{RootCAs: pool509(b, w.outer.PEM())}
	var sum [3][2]time.Duration
	for b.Loop() {
		for i, at := range ats {
			cfg := inner
			if i == 0 {
				cfg = outer
			}
			began, before := time.Now(), cpu()
			for range times {
				if n := asked(b, w, at, cfg); n != size {
					b.Fatal(n)
				}
			}
			sum[i][0] += time.Since(began)
			sum[i][1] += cpu() - before
		}
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(b.N*times) }
	b.ReportMetric(float64(sum[0][0])/float64(sum[1][0]), "of-direct")
	b.ReportMetric(float64(sum[0][0])/float64(sum[2][0]), "std-of-direct")
	b.ReportMetric(per(sum[1][1]-sum[0][1]), "cpu-"+unit)
	b.ReportMetric(per(sum[2][1]-sum[0][1]), "std-cpu-"+unit)
	b.ReportMetric(0, "ns/op")
}
