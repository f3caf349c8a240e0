package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/netstack"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/miekg/dns"
)

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" { // a part of TestRealNetwork, which ends with its process
		os.Exit(m.Run())
	}
	os.Exit(testenv.RunWithoutLeaks(m))
}

// hangs is after how long something hangs, and is not slow: a busy machine may need long.
const hangs = 2 * time.Minute

// roleVariable tells this binary which part of TestRealNetwork it is.
const roleVariable = "BELLJAR_TEST_NETNS_ROLE"

// socketPair is both ends of a link.
func socketPair(t testing.TB) (a, b belljar.Link) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	return belljar.Link{File: os.NewFile(uintptr(fds[0]), "gateway"), MTU: 65520},
		belljar.Link{File: os.NewFile(uintptr(fds[1]), "guest"), MTU: 65520}
}

// record keeps events.
type record struct {
	mu     sync.Mutex
	events []belljar.Event
	more   chan struct{}
}

func (r *record) Record(_ context.Context, e belljar.Event) error {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
	return nil
}

func (r *record) of(k belljar.EventKind) []belljar.NetEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []belljar.NetEvent
	for _, e := range r.events {
		if e.Kind == k && e.Net != nil {
			out = append(out, *e.Net)
		}
	}
	return out
}

// wait waits for an event of kind k whose reason and host contain words.
func (r *record) wait(t testing.TB, k belljar.EventKind, words ...string) belljar.NetEvent {
	t.Helper()
	timeout := time.After(hangs)
	for {
		for _, e := range r.of(k) {
			text := fmt.Sprintf("%s %s %s %d %s", e.Proto, e.Host, e.Addr, e.Port, e.Reason)
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
				return e
			}
		}
		select {
		case <-r.more:
		case <-timeout:
			t.Fatalf("no %s event with %q among %+v", k, words, r.of(k))
		}
	}
}

// outside is the world behind the gateway: names, and who answers at an address.
type outside struct {
	mu       sync.Mutex
	names    map[string][]string // without trailing dot
	servers  map[string]string   // "address:port" to where it listens for real
	resolved []string
	dialled  []string
}

func (o *outside) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	host = strings.TrimSuffix(host, ".")
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resolved = append(o.resolved, host)
	var out []netip.Addr
	for _, a := range o.names[host] {
		out = append(out, netip.MustParseAddr(a))
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

func (o *outside) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	o.mu.Lock()
	o.dialled = append(o.dialled, address)
	to, ok := o.servers[address]
	o.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to)
}

func (o *outside) dials() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.dialled)
}

func (o *outside) lookups() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.resolved)
}

// named gives a name its addresses.
func (o *outside) named(name string, addrs ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names[name] = addrs
}

// atMost bounds flows while others open them.
func (fs *flows) atMost(n int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.max = n
}

// world is a gateway between a guest and an outside of ours.
type world struct {
	*outside
	t     testing.TB
	g     *Gateway
	guest *netstack.Guest
	rec   *record
	ctx   context.Context
}

func rule(host string, ports ...uint16) belljar.NetRule {
	return belljar.NetRule{Host: host, Ports: ports, Origin: belljar.Origin{Layer: "user", Text: host}}
}

func newWorld(t testing.TB, n belljar.Network, change ...func(*Options)) *world {
	t.Helper()
	w := &world{
		outside: &outside{names: map[string][]string{}, servers: map[string]string{}},
		t:       t,
		rec:     &record{more: make(chan struct{}, 1)},
	}
	o := Options{Network: &n, Events: w.rec, Dialer: w.outside, Resolver: w.outside, Name: t.Name()}
	for _, c := range change {
		c(&o)
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	a, b := socketPair(t)
	patience := 5 * hangs
	if soak() {
		patience = time.Hour
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	if err := g.Attach(a); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- g.Run(ctx) }()
	if w.guest, err = netstack.NewGuest(b); err != nil {
		t.Fatal(err)
	}
	w.g, w.ctx = g, ctx
	t.Cleanup(func() {
		w.guest.Close()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return w
}

// noneHeld waits until nothing is held of bodies of calls any more: a transport may let go of
// what it has sent a little later than the answer arrives.
func (w *world) noneHeld() {
	w.t.Helper()
	for w.ctx.Err() == nil && w.g.bodies.Load() != 0 {
		runtime.Gosched()
	}
	if n := w.g.bodies.Load(); n != 0 {
		w.t.Errorf("%d bytes are held", n)
	}
}

// serve puts a listener at an outside address and under a name.
func (w *world) serve(name, addrport string, l net.Listener) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers[addrport] = l.Addr().String()
	if name != "" {
		w.names[name] = append(w.names[name], netip.MustParseAddrPort(addrport).Addr().String())
	}
}

// http serves h there, in clear or by TLS.
func (w *world) http(name, addrport string, secure bool, h http.HandlerFunc) *httptest.Server {
	w.t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	w.t.Cleanup(s.Close)
	w.serve(name, addrport, s.Listener)
	return s
}

// raw serves each connection at an address.
func (w *world) raw(name, addrport string, f func(net.Conn)) {
	w.t.Helper()
	w.serve(name, addrport, accepting(w.t, f))
}

// accepting gives each connection to a new port of the loopback to f, and closes it then.
func accepting(t testing.TB, f func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); f(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l
}

// lookup asks the gateway's DNS from inside, as resolvers do: again when there is no answer
// within a second, because datagrams are lost where there are many.
func (w *world) lookup(name string, qtype uint16) *dns.Msg {
	w.t.Helper()
	c, err := w.guest.DialUDP(netip.AddrPortFrom(belljar.GatewayIPv4, 53))
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), qtype)
	q.SetEdns0(1232, false)
	co := &dns.Conn{Conn: c}
	b := make([]byte, 4096)
	n := 0
	for range 120 {
		if err := co.WriteMsg(q); err != nil {
			w.t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err = c.Read(b); !isTimeout(err) {
			break
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(b[:n]); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// addr is the address that stands for name.
func (w *world) addr(name string) netip.Addr {
	w.t.Helper()
	m := w.lookup(name, dns.TypeA)
	if len(m.Answer) != 1 {
		w.t.Fatalf("%s: %v", name, m)
	}
	a, _ := netip.AddrFromSlice(m.Answer[0].(*dns.A).A.To4())
	return a
}

// dial connects from inside to a name, as a program would, or to an address.
func (w *world) dial(host string, port uint16) (net.Conn, error) {
	w.t.Helper()
	a, err := netip.ParseAddr(host)
	if err != nil {
		a = w.addr(host)
	}
	c, err := w.guest.DialTCP(w.ctx, netip.AddrPortFrom(a, port))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// client is an HTTP client inside; proxy is empty for none.
func (w *world) client(proxy bool) *http.Client {
	tr := &http.Transport{
		DialContext: func(_ context.Context, _, hostport string) (net.Conn, error) {
			t, err := parseAuthority(hostport, 0)
			if err != nil {
				return nil, err
			}
			return w.dial(t.name(), t.port)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	if proxy {
		tr.Proxy = http.ProxyURL(mustURL("http://198.18.0.1:3128"))
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: hangs}
}

func (w *world) get(c *http.Client, url string) (int, string) {
	w.t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// talk sends text on a new connection and returns everything that comes back.
func (w *world) talk(host string, port uint16, text string) string {
	w.t.Helper()
	c, err := w.dial(host, port)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(hangs))
	if _, err := io.WriteString(c, text); err != nil {
		return err.Error()
	}
	b, _ := io.ReadAll(c)
	return string(b)
}
