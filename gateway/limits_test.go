package gateway

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/miekg/dns"
)

func TestIdenticalRefusalsAreOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &record{more: make(chan struct{}, 1)}
		r := newRecorder(rec)
		d := belljar.Decision{Reason: "no", Fix: "fix"}
		for range 100 {
			r.refuse(t.Context(), "dns", target{host: "evil.example"}, d)
		}
		if n := len(rec.of(belljar.EventRefuse)); n != 1 {
			t.Fatalf("%d events at once", n)
		}
		r.tell(t.Context())
		r.tell(t.Context())
		if es := rec.of(belljar.EventRefuse); len(es) != 2 || es[1].Count != 99 || es[1].Host != "evil.example" {
			t.Fatalf("got %+v", es)
		}
		for i := range 100_000 { // each another one
			r.refuse(t.Context(), "dns", target{host: fmt.Sprintf("h%d.example", i)}, d)
		}
		r.tell(t.Context())
		es := rec.of(belljar.EventRefuse)
		var told int64
		for _, e := range es {
			told += max(e.Count, 1)
		}
		if told != 100_100 || len(es) > refusalBurst+10 {
			t.Errorf("%d events tell of %d refusals", len(es), told)
		}
		if s := r.summary(); len(s.Refused) > maxKept || s.Refused[0].Count != 100 || s.Others == 0 {
			t.Errorf("summary of %d, others %d", len(s.Refused), s.Others)
		}
		for range 100 {
			r.limited(t.Context(), "connections", 10, 10)
		}
		time.Sleep(tellEvery + time.Second) // of the bubble's clock
		r.limited(t.Context(), "connections", 10, 10)
		n := 0
		for _, e := range rec.events {
			if e.Kind == belljar.EventLimit {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d limit events", n)
		}
	})
}

func TestNamesUnderAWildcardAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outside{names: map[string][]string{}, servers: map[string]string{}}
		n := belljar.Network{Rules: []belljar.NetRule{rule("*.example.com", 443)}}
		g, err := New(Options{Network: &n, Events: &record{more: make(chan struct{}, 1)}, Dialer: o, Resolver: o})
		if err != nil {
			t.Fatal(err)
		}
		limited := 0
		try := func(from, to int) {
			for i := from; i < to; i++ {
				tg := target{host: fmt.Sprintf("secret%d.example.com", i), port: 443}
				_, _, err := g.way.connect(t.Context(), tg, g.decide(tg))
				if err != nil && strings.Contains(err.Error(), "new names a minute") {
					limited++
				}
			}
		}
		try(0, 1000)
		if len(o.resolved) != NamesPerMinute || limited != 1000-NamesPerMinute {
			t.Fatalf("%d names were resolved, %d refused", len(o.resolved), limited)
		}
		time.Sleep(30 * time.Second) // of the bubble's clock
		try(0, NamesPerMinute)       // known ones cost nothing
		try(1000, 2000)
		if got := len(o.resolved); got != 2*NamesPerMinute+NamesPerMinute/2 {
			t.Errorf("%d were resolved after half a minute", got)
		}
	})
}

func TestAnswersAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outside{names: map[string][]string{"a.example": {"93.184.216.34"}}, servers: map[string]string{}}
		n := belljar.Network{Rules: []belljar.NetRule{rule("a.example", 443)}}
		g, err := New(Options{Network: &n, Events: &record{more: make(chan struct{}, 1)}, Dialer: o, Resolver: o})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		ask := func() { _, _ = g.way.resolve(t.Context(), "a.example") }
		for range 50 {
			wg.Go(ask)
		}
		wg.Wait()
		if len(o.resolved) != 1 {
			t.Errorf("asked %d times", len(o.resolved))
		}
		time.Sleep(answerAge + time.Second)
		ask()
		if len(o.resolved) != 2 {
			t.Errorf("asked %d times", len(o.resolved))
		}
	})
}

type closer struct{ closed bool }

func (c *closer) Close() error { c.closed = true; return nil }

func TestIdleConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFlows(3)
		idle, half, busy := &closer{}, &closer{}, &closer{}
		for _, c := range []*closer{idle, half, busy} {
			f, _ := fs.open()
			f.own(c)
			f.half.Store(c == half)
		}
		if f, n := fs.open(); f != nil || n != 3 {
			t.Errorf("a fourth of three")
		}
		time.Sleep(idleHalf + 2*time.Second)
		fs.closeIdle(time.Now())
		if !half.closed || idle.closed {
			t.Error("half", half.closed, "idle", idle.closed)
		}
		time.Sleep(idleFlow - idleHalf)
		for _, f := range fs.list() {
			if _, ok := f.conns[busy]; ok {
				f.touch()
			}
		}
		fs.closeIdle(time.Now())
		if !idle.closed || busy.closed {
			t.Error("idle", idle.closed, "busy", busy.closed)
		}
	})
}

func TestNamesAreNeverUsedAgain(t *testing.T) {
	n := belljar.Network{Rules: []belljar.NetRule{rule("*.example.com", 443), rule("fixed.example.net", 443)}}
	tb, err := newTable(&n)
	if err != nil {
		t.Fatal(err)
	}
	tb.size = 1000
	seen := map[netip.Addr]string{}
	for i := range 2000 {
		name := fmt.Sprintf("h%d.example.com", i)
		at, err := tb.add(name)
		if (err != nil) != (i >= 999) {
			t.Fatal(i, err)
		}
		if err != nil {
			continue
		}
		for _, a := range []netip.Addr{addr4(at), addr6(at)} {
			if old, ok := seen[a]; ok {
				t.Fatalf("%s stands for %s and %s", a, old, name)
			}
			seen[a] = name
			if got, ok := tb.name(a); !ok || got != name {
				t.Fatalf("%s stands for %q", a, got)
			}
		}
	}
	if _, err := tb.add("fixed.example.net"); err != nil {
		t.Error("a name of the policy has no address:", err)
	}
	if a := addr4(maxNames - 1); a.String() != "198.19.255.254" {
		t.Errorf("the last address is %s", a)
	}
	for _, s := range []string{"198.18.0.1", "198.18.0.15", "198.19.255.255", "fdbe:117a:5::1", "fdbe:117a:5::1:ffff:ffff", "1.1.1.1"} {
		if got, ok := tb.name(netip.MustParseAddr(s)); ok {
			t.Errorf("%s stands for %s", s, got)
		}
	}
}

func TestFullRange(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("*.example.com", 443)}})
	w.g.names.mu.Lock()
	w.g.names.size = 1
	w.g.names.mu.Unlock()
	w.addr("a.example.com")
	if m := w.lookup("b.example.com", dns.TypeA); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %v", m)
	}
	w.rec.wait(t, belljar.EventRefuse, "given away")
}

// TestFloodOfConnections: more than the most are refused and told, and the first
// ones still work.
func TestFloodOfConnections(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("a.example.com", 9)}})
	w.g.flows.atMost(20)
	w.raw("a.example.com", "93.184.216.34:9", func(c net.Conn) { _, _ = io.Copy(c, c) })
	var conns []net.Conn
	refused := 0
	for range 60 {
		c, err := w.dial("a.example.com", 9)
		if err != nil {
			refused++
			continue
		}
		defer c.Close()
		conns = append(conns, c)
	}
	if len(conns) != 20 || refused != 40 {
		t.Fatalf("%d accepted, %d refused", len(conns), refused)
	}
	for _, c := range conns {
		_, _ = io.WriteString(c, "x\n")
		b := make([]byte, 2)
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	for _, e := range w.rec.events {
		if e.Kind == belljar.EventLimit && e.Limit.Limit == "connections" {
			return
		}
	}
	t.Error("the limit is not on record")
}

// syn is a raw connection attempt whose handshake is never completed.
func syn(to netip.AddrPort, from uint16) []byte {
	b := make([]byte, 40)
	b[0], b[8], b[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(b[2:], 40)
	copy(b[12:], belljar.GuestIPv4.AsSlice())
	copy(b[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[20:], from)
	binary.BigEndian.PutUint16(b[22:], to.Port())
	b[32], b[33] = 5<<4, 2
	binary.BigEndian.PutUint16(b[34:], 65535)
	binary.BigEndian.PutUint16(b[10:], sum(b[:20]))
	pseudo := append(append([]byte{}, b[12:20]...), 0, 6, 0, 20)
	binary.BigEndian.PutUint16(b[36:], sum(append(pseudo, b[20:]...)))
	return b
}

func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// TestClosesWhileHandshakesHang: half-open connections do not hold the gateway up,
// and there is no end of them that grows it.
func TestClosesWhileHandshakesHang(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("a.example.com", 9)}})
	connected := make(chan struct{}, 10_000)
	var open, peak atomic.Int64
	w.raw("a.example.com", "93.184.216.34:9", func(c net.Conn) {
		for n := open.Add(1); ; {
			if p := peak.Load(); n <= p || peak.CompareAndSwap(p, n) {
				break
			}
		}
		connected <- struct{}{}
		_, _ = io.Copy(io.Discard, c)
		open.Add(-1)
	})
	to := netip.AddrPortFrom(w.addr("a.example.com"), 9)
	for i := range 2000 {
		if err := w.guest.Inject(syn(to, uint16(1024+i))); err != nil {
			t.Fatal(err)
		}
	}
	<-connected
	done := make(chan struct{})
	go func() { _ = w.g.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(hangs):
		t.Fatal("Close hangs")
	}
	// The server's side notices the end of a connection a little later.
	if n := peak.Load(); n > MaxConnections {
		t.Errorf("%d connections at once for handshakes that never ended", n)
	}
}

func TestFloodOfPackets(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("a.example.com", 9)}})
	b := syn(netip.MustParseAddrPort("1.1.1.1:9"), 1)
	b[9] = 47
	start := time.Now()
	for i := range 20_000 {
		b[19] = byte(i)
		if err := w.guest.Inject(b); err != nil {
			t.Fatal(err)
		}
	}
	if a := w.addr("a.example.com"); !a.IsValid() { // still answers
		t.Error("no answer")
	}
	w.g.Close()
	// 256 addresses: one event for the first packet to each, and one for each time that
	// the others are told of, in the end and meanwhile.
	most := 256*(2+int(time.Since(start)/tellEvery)) + 88
	if n := len(w.rec.of(belljar.EventRefuse)); n == 0 || n > most {
		t.Errorf("%d events, want %d at most", n, most)
	}
}

func TestLifecycle(t *testing.T) {
	n := belljar.Network{}
	fresh := func() *Gateway {
		g, err := New(Options{Network: &n, Events: &record{more: make(chan struct{}, 1)}})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g := fresh() // closed without having run, with a link
	a, b := socketPair(t)
	defer b.File.Close()
	if err := g.Attach(a); err != nil {
		t.Fatal(err)
	}
	a2, b2 := socketPair(t)
	defer b2.File.Close()
	if err := g.Attach(a2); err == nil {
		t.Error("a second link was taken")
	}
	if err := g.Close(); err != nil || g.Close() != nil {
		t.Error(err)
	}
	if err := g.Run(t.Context()); err != nil {
		t.Error(err)
	}
	g = fresh() // ended by its context, then closed
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = g.Close()
	if _, err := New(Options{Events: &record{more: make(chan struct{}, 1)}}); err == nil {
		t.Error("a gateway without a policy")
	}
	bad := belljar.Network{Upstream: "no port"}
	if _, err := New(Options{Network: &bad, Events: &record{more: make(chan struct{}, 1)}}); belljar.KindOf(err) != belljar.KindUsage {
		t.Error(err)
	}
}
