package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
)

const (
	benchKey   = "sk-bench-0123456789abcdefghijklmnop"
	bulkBody   = 64 << 20
	proxyTurns = 15 // of each side, at most: no turn begins after proxyTime
	proxyTime  = 15 * time.Second
)

// A client is one connection through a proxy.
type proxyClient struct {
	c   *http.Client
	url string
	key string
}

func (p *proxy) client(s *site) *proxyClient {
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as everywhere here: the proxies' authorities differ
		ReadBufferSize:  64 << 10, DisableCompression: true,
	}
	if p.addr != "" {
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: p.addr})
	}
	host := belljar.Localhost
	return &proxyClient{c: &http.Client{Transport: tr, Timeout: proxyTime}, url: "https://" + host + ":" + s.port(p.seen), key: p.key}
}

func (c *proxyClient) close() { c.c.CloseIdleConnections() }

// get fetches and counts.
func (c *proxyClient) get(path string, want int64) error {
	req, err := http.NewRequest(http.MethodGet, c.url+path, nil)
	if err != nil {
		return err
	}
	if c.key != "" {
		req.Header.Set("X-Api-Key", c.key)
	}
	r, err := c.c.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	got, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, min(want+1, 256<<10)))
	if err == nil && (got != want || r.StatusCode != http.StatusOK) {
		err = fmt.Errorf("%s: %d bytes in place of %d", r.Status, got, want)
	}
	return err
}

// A figure is what one turn of a side came to.
type figure struct {
	value float64       // as the work says
	cpu   time.Duration // of the proxy, per piece of work
	ends  time.Duration // of the client and the server together
}

// A meter measures the processor time of a turn.
type meter struct {
	p         *proxy
	s         *site
	cpu, ends time.Duration // before
}

func (p *proxy) meter(s *site) *meter { return &meter{p, s, p.spent(), s.ends()} }

// figure is what n pieces of work since the meter began came to.
func (m *meter) figure(value, n float64) figure {
	each := func(d time.Duration) time.Duration { return time.Duration(float64(d) / n) }
	return figure{value, each(m.p.spent() - m.cpu), each(m.s.ends() - m.ends)}
}

// A proxyWork is what every side does, turn about.
type proxyWork struct {
	unit  string // of value
	each  string // what processor time is per
	aims  map[string]string
	piece func(p *proxy, s *site) (figure, error)
}

// A pair is a turn of a side and one of the direct way, one right after the other: what
// else the machine does is the same for both.
type pair struct{ side, direct figure }

// proxies prints one line for each side.
func proxies(w *proxyWork) func(*bench) error {
	return func(b *bench) error {
		dir, err := os.MkdirTemp("", "belljar-bench-peers-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // for Squid, which becomes another user
			return err
		}
		s, err := newSite(dir)
		if err != nil {
			return err
		}
		defer s.close()
		sides := peers(dir, s)
		defer endAll(sides)
		all := make(map[*proxy][]pair)
		began := time.Now()
		for turn := 0; turn < 3 || turn < proxyTurns && time.Since(began) < proxyTime; turn++ {
			for _, p := range sides {
				if p.why != "" {
					continue
				}
				f, err := w.both(p, s, turn%2 == 1)
				if err != nil {
					p.why = err.Error()
				} else if turn > 0 {
					all[p] = append(all[p], f)
				}
			}
		}
		w.print(sides, all)
		return nil
	}
}

// both has p and the direct way do a piece of work, in this order or the other.
func (w *proxyWork) both(p *proxy, s *site, directFirst bool) (f pair, err error) {
	turns := []func() error{
		func() (err error) { f.side, err = w.piece(p, s); return err },
		func() (err error) { f.direct, err = w.piece(p.direct(), s); return err },
	}
	if directFirst {
		slices.Reverse(turns)
	}
	for _, turn := range turns {
		if err := turn(); err != nil {
			return f, err
		}
	}
	return f, nil
}

func endAll(sides []*proxy) {
	for _, p := range sides {
		p.end()
	}
}

// print prints medians; the ratio is that of the pairs. What is said "by processor" does
// not hang on what else the machine does: the processor time that a piece of work takes
// directly, to what it takes through the proxy, whoever spends it. It is the ratio of
// rates where every processor is busy all the time with nothing else.
func (w *proxyWork) print(sides []*proxy, all map[*proxy][]pair) {
	for _, p := range sides {
		if p.why != "" {
			fmt.Printf("  %-32s not measured: %s\n", p.name, p.why)
			continue
		}
		mid := func(of func(f pair) float64) float64 {
			var v []float64
			for _, f := range all[p] {
				v = append(v, of(f))
			}
			return median(v)
		}
		value, direct := mid(func(f pair) float64 { return f.side.value }), mid(func(f pair) float64 { return f.direct.value })
		ratio := mid(func(f pair) float64 { return f.side.value / f.direct.value })
		cpu, ends := mid(func(f pair) float64 { return micros(f.side.cpu) }), mid(func(f pair) float64 { return micros(f.side.ends) })
		whole := mid(func(f pair) float64 { return micros(f.direct.ends) })
		fmt.Printf("  %-32s %10.1f %10.1f %-6s %7.2f  %-10s %.0f µs of processor %s, client and server %.0f (direct %.0f): %.2f by processor; %.0f MB\n",
			p.name, value, direct, w.unit, ratio, w.aims[p.aim], cpu, w.each, ends, whole, whole/(cpu+ends), p.resident())
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// together has every one of 32 connections ask, one request after the other.
func together(p *proxy, s *site) (figure, error) {
	clients := make([]*proxyClient, conns)
	for i := range clients {
		clients[i] = p.client(s)
		defer clients[i].close()
	}
	n := 100
	if p.few {
		n = 10
	}
	if err := each(clients, 1); err != nil {
		return figure{}, err
	}
	m, began := p.meter(s), time.Now()
	err := each(clients, n)
	all := float64(n * conns)
	return m.figure(all/time.Since(began).Seconds(), all), err
}

func each(clients []*proxyClient, n int) error {
	errs := make([]error, len(clients))
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			for range n {
				if errs[i] = c.get("/", bodySize); errs[i] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// alone asks over one connection; the value is the median time in microseconds.
func alone(p *proxy, s *site) (figure, error) {
	c := p.client(s)
	defer c.close()
	n := 600
	if p.few {
		n = 60
	}
	var took []float64
	var m *meter
	for i := range n + 1 {
		if i == 1 {
			m = p.meter(s)
		}
		began := time.Now()
		if err := c.get("/", bodySize); err != nil {
			return figure{}, err
		}
		if i > 0 {
			took = append(took, float64(time.Since(began).Nanoseconds())/1e3)
		}
	}
	return m.figure(median(took), float64(n)), nil
}

// anew makes a connection for every request; the value is connections per second.
func anew(p *proxy, s *site) (figure, error) {
	n := 150
	if p.few {
		n = 15
	}
	m, began := p.meter(s), time.Now()
	for range n {
		c := p.client(s)
		if err := c.get("/", bodySize); err != nil {
			return figure{}, err
		}
		c.close()
	}
	return m.figure(float64(n)/time.Since(began).Seconds(), float64(n)), nil
}

// large fetches much at once; the value is MB/s.
func large(p *proxy, s *site) (figure, error) {
	c := p.client(s)
	defer c.close()
	m, began := p.meter(s), time.Now()
	if err := c.get("/bulk", bulkBody); err != nil {
		return figure{}, err
	}
	const mb = float64(bulkBody) / 1e6
	return m.figure(mb/time.Since(began).Seconds(), mb), nil
}

// memory is what the gateway needs with 1000 connections open and after 100 000
// requests, beside when it began.
func memory(b *bench) error {
	dir, err := os.MkdirTemp("", "belljar-bench-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := newSite(dir)
	if err != nil {
		return err
	}
	defer s.close()
	sides := peers(dir, s)
	defer endAll(sides)
	i := slices.IndexFunc(sides, func(p *proxy) bool { return p.aim == "seen" })
	p := sides[i]
	if p.why != "" {
		return errors.New(p.why)
	}
	var open []*proxyClient
	for range 1000 {
		c := p.client(s)
		defer c.close()
		open = append(open, c)
	}
	began := p.resident()
	for part := range slices.Chunk(open, 50) { // all at once is another matter: a handshake needs memory
		if err := each(part, 1); err != nil {
			return err
		}
	}
	full := p.resident()
	var most float64
	for range 10 {
		if err := each(open[:conns], 100_000/conns/10); err != nil {
			return err
		}
		most = max(most, p.resident())
	}
	fmt.Printf("  %-32s %10.1f %10.1f %-6s %7.2f  %-10s with %d connections open, seen, a key; then %.1f MB at most over 100 000 requests\n",
		"belljar's gateway", full, began, "MB", full/began, "<=40MB", len(open), most)
	return nil
}
