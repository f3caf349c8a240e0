package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// A site is the server behind every proxy, at two ports: one takes any request, the
// other wants the key.
type site struct {
	open, keyed *httptest.Server
	root, pair  string // files: its certificate, and a certificate with its key for Squid
}

func newSite(dir string) (*site, error) {
	cert, root, err := selfSigned(dir)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, err
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	s := &site{root: root, pair: filepath.Join(dir, "pair.pem")}
	if err := os.WriteFile(s.pair, both, 0o644); err != nil {
		return nil, err
	}
	small, piece := strings.Repeat("b", bodySize), make([]byte, 64<<10)
	serve := func(key string) *httptest.Server {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Api-Key") != key && key != "" {
				http.Error(w, "another key", http.StatusForbidden)
				return
			}
			if r.URL.Path != "/bulk" {
				_, _ = io.WriteString(w, small)
				return
			}
			w.Header().Set("Content-Length", strconv.Itoa(bulkBody))
			for range bulkBody / len(piece) {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}))
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		srv.StartTLS()
		return srv
	}
	s.open, s.keyed = serve(""), serve(benchKey)
	return s, nil
}

func (s *site) server(seen bool) *httptest.Server {
	if seen {
		return s.keyed
	}
	return s.open
}

func (s *site) port(seen bool) string {
	addr := s.server(seen).Listener.Addr().String()
	return addr[strings.LastIndexByte(addr, ':')+1:]
}

func (s *site) close() {
	s.open.Close()
	s.keyed.Close()
}

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

// A side's figures of one turn: what took how long, and the proxy's processor time.
type figure struct {
	value float64       // as the work says
	cpu   time.Duration // per piece of work
}

// A proxyWork is what every side does, turn about.
type proxyWork struct {
	unit  string // of value
	each  string // what cpu is per
	aims  map[string]string
	piece func(p *proxy, s *site) (figure, error)
}

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
		all := make(map[*proxy][]figure)
		began := time.Now()
		for turn := 0; turn < 3 || turn < proxyTurns && time.Since(began) < proxyTime; turn++ {
			for _, p := range sides {
				if p.why != "" {
					continue
				}
				f, err := w.piece(p, s)
				if err != nil {
					p.why = err.Error()
				}
				if turn > 0 {
					all[p] = append(all[p], f)
				}
			}
		}
		w.print(sides, all)
		return nil
	}
}

func endAll(sides []*proxy) {
	for _, p := range sides {
		p.end()
	}
}

func (w *proxyWork) print(sides []*proxy, all map[*proxy][]figure) {
	mid := func(p *proxy) (value, cpu float64) {
		var v, c []float64
		for _, f := range all[p] {
			v, c = append(v, f.value), append(c, float64(f.cpu.Nanoseconds())/1e3)
		}
		return median(v), median(c)
	}
	for _, p := range sides {
		if p.why != "" {
			fmt.Printf("  %-32s not measured: %s\n", p.name, p.why)
			continue
		}
		direct, _ := mid(sides[0])
		if p.seen {
			direct, _ = mid(sides[1])
		}
		value, cpu := mid(p)
		spent := ""
		if p.cmd != nil {
			spent = fmt.Sprintf("%.0f µs of processor %s, %.0f MB", cpu, w.each, p.resident())
		}
		fmt.Printf("  %-32s %10.1f %10.1f %-6s %7.2f  %-10s %s\n", p.name, value, direct, w.unit, value/direct, w.aims[p.aim], spent)
	}
}

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
	before, began := p.spent(), time.Now()
	err := each(clients, n)
	took, cpu := time.Since(began), p.spent()-before
	return figure{float64(n*conns) / took.Seconds(), cpu / time.Duration(n*conns)}, err
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
	var before time.Duration
	for i := range n + 1 {
		if i == 1 {
			before = p.spent()
		}
		began := time.Now()
		if err := c.get("/", bodySize); err != nil {
			return figure{}, err
		}
		if i > 0 {
			took = append(took, float64(time.Since(began).Nanoseconds())/1e3)
		}
	}
	return figure{median(took), (p.spent() - before) / time.Duration(n)}, nil
}

// anew makes a connection for every request; the value is connections per second.
func anew(p *proxy, s *site) (figure, error) {
	n := 150
	if p.few {
		n = 15
	}
	before, began := p.spent(), time.Now()
	for range n {
		c := p.client(s)
		if err := c.get("/", bodySize); err != nil {
			return figure{}, err
		}
		c.close()
	}
	return figure{float64(n) / time.Since(began).Seconds(), (p.spent() - before) / time.Duration(n)}, nil
}

// large fetches much at once; the value is MB/s.
func large(p *proxy, s *site) (figure, error) {
	c := p.client(s)
	defer c.close()
	before, began := p.spent(), time.Now()
	if err := c.get("/bulk", bulkBody); err != nil {
		return figure{}, err
	}
	const mb = float64(bulkBody) / 1e6
	return figure{mb / time.Since(began).Seconds(), time.Duration(float64(p.spent()-before) / mb)}, nil
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
