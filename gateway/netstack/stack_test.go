package netstack

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

func TestMain(m *testing.M) { os.Exit(testenv.RunWithoutLeaks(m)) }

// hangs is after how long something hangs, and is not slow: a busy machine may need long.
const hangs = 2 * time.Minute

func pair(t testing.TB) (gateway, guest belljar.Link) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	return belljar.Link{File: os.NewFile(uintptr(fds[0]), "a"), MTU: 65520}, belljar.Link{File: os.NewFile(uintptr(fds[1]), "b"), MTU: 65520}
}

type drops struct {
	mu  sync.Mutex
	all []Drop
	c   chan Drop
}

func (d *drops) add(x Drop) {
	d.mu.Lock()
	d.all = append(d.all, x)
	d.mu.Unlock()
	select {
	case d.c <- x:
	default:
	}
}

func start(t testing.TB, tcp func(*Request)) (*Stack, *Guest, *drops) {
	t.Helper()
	a, b := pair(t)
	d := &drops{c: make(chan Drop, 100)}
	s, err := New(Options{Link: a, TCP: tcp, Dropped: d.add})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	g, err := NewGuest(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(); s.Close() })
	return s, g, d
}

func TestConnectionsAreAskedAboutFirst(t *testing.T) {
	_, g, _ := start(t, func(r *Request) {
		if r.Dst.Port() != 80 {
			r.Refuse()
			return
		}
		c, err := r.Accept(64 << 10)
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, r.Dst.String())
		_ = c.Close()
	})
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	for _, at := range []string{"1.2.3.4:80", "[2606:4700::1111]:80", "169.254.169.254:80"} {
		c, err := g.DialTCP(ctx, netip.MustParseAddrPort(at))
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		b, _ := io.ReadAll(c)
		if string(b) != at {
			t.Errorf("got %q, want %q", b, at)
		}
		c.Close()
	}
	for _, at := range []string{"1.2.3.4:81", "[2606:4700::1111]:81"} {
		if c, err := g.DialTCP(ctx, netip.MustParseAddrPort(at)); err == nil {
			c.Close()
			t.Errorf("%s: accepted", at)
		}
	}
}

func TestUDPIsReported(t *testing.T) {
	s, g, d := start(t, func(r *Request) { r.Refuse() })
	pc, err := s.ListenUDP(netip.AddrPortFrom(belljar.GatewayIPv4, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	c, err := g.DialUDP(netip.AddrPortFrom(belljar.GatewayIPv4, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("x"))
	b := make([]byte, 10)
	if n, _, err := pc.ReadFrom(b); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	o, err := g.DialUDP(netip.MustParseAddrPort("8.8.8.8:53"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	_, _ = o.Write([]byte("x"))
	if got := <-d.c; got.Addr.String() != "8.8.8.8" || got.Port != 53 || got.Proto != "udp" {
		t.Errorf("got %+v", got)
	}
	// The sender hears of it.
	unreachable := g.s.Stats().ICMP.V4.PacketsReceived.DstUnreachable
	for deadline := time.Now().Add(hangs); unreachable.Value() == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the sender was not told")
		}
	}
}

func TestPublishedPort(t *testing.T) {
	s, g, _ := start(t, func(r *Request) { r.Refuse() })
	l, err := g.ListenTCP(netip.AddrPortFrom(belljar.GuestIPv4, 3000))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "inside")
		_ = c.Close()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	c, err := s.Dial(ctx, netip.AddrPortFrom(belljar.GuestIPv4, 3000))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, _ := io.ReadAll(c); string(b) != "inside" {
		t.Errorf("got %q", b)
	}
}

func packet4(src, dst string, proto byte, body ...byte) []byte {
	b := make([]byte, 20+len(body))
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], netip.MustParseAddr(src).AsSlice())
	copy(b[16:], netip.MustParseAddr(dst).AsSlice())
	copy(b[20:], body)
	return b
}

func packet6(src, dst string, proto byte, body ...byte) []byte {
	b := make([]byte, 40+len(body))
	b[0], b[6], b[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	copy(b[8:], netip.MustParseAddr(src).AsSlice())
	copy(b[24:], netip.MustParseAddr(dst).AsSlice())
	copy(b[40:], body)
	return b
}

func TestJudge(t *testing.T) {
	ping := []byte{8, 0, 0, 0, 0, 1, 0, 1}
	ping6 := []byte{128, 0, 0, 0, 0, 1, 0, 1}
	mod := func(b []byte, at int, v byte) []byte { b[at] = v; return b }
	for _, c := range []struct {
		name string
		b    []byte
		want verdict
		prot string
	}{
		{"tcp", packet4("198.18.0.2", "1.1.1.1", 6), deliver, ""},
		{"udp", packet4("198.18.0.2", "1.1.1.1", 17), deliver, ""},
		{"ping of the gateway", packet4("198.18.0.2", "198.18.0.1", 1, ping...), deliver, ""},
		{"ping of the world", packet4("198.18.0.2", "1.1.1.1", 1, ping...), refuse, "icmp"},
		{"ping of a name", packet4("198.18.0.2", "198.18.0.20", 1, ping...), refuse, "icmp"},
		{"timestamp request", packet4("198.18.0.2", "198.18.0.1", 1, 13, 0, 0, 0, 0, 0, 0, 0), refuse, "icmp"},
		{"gre", packet4("198.18.0.2", "1.1.1.1", 47), refuse, "ip"},
		{"sctp", packet4("198.18.0.2", "1.1.1.1", 132), refuse, "ip"},
		{"spoofed", packet4("10.0.0.1", "1.1.1.1", 6), refuse, "ip"},
		{"as the gateway", packet4("198.18.0.1", "1.1.1.1", 6), refuse, "ip"},
		{"fragment", mod(packet4("198.18.0.2", "1.1.1.1", 17), 6, 0x20), refuse, "ip"},
		{"last fragment", mod(packet4("198.18.0.2", "1.1.1.1", 17), 7, 1), refuse, "ip"},
		{"options", mod(packet4("198.18.0.2", "1.1.1.1", 6, 1, 1, 1, 1), 0, 0x46), refuse, "ip"},
		{"longer than itself", mod(packet4("198.18.0.2", "1.1.1.1", 6), 3, 99), refuse, "ip"},
		{"short", []byte{0x45, 0}, refuse, "ip"},
		{"nothing", nil, refuse, "ip"},
		{"version 5", []byte{0x55}, refuse, "ip"},
		{"dhcp", packet4("0.0.0.0", "224.0.0.1", 2), ignore, ""},
		{"tcp6", packet6("fdbe:117a:5::2", "2606:4700::1111", 6), deliver, ""},
		{"ping6 of the world", packet6("fdbe:117a:5::2", "2606:4700::1111", 58, ping6...), refuse, "icmp"},
		{"ping6 of the gateway", packet6("fdbe:117a:5::2", "fdbe:117a:5::1", 58, ping6...), deliver, ""},
		{"neighbour solicitation", packet6("::", "ff02::1:ff00:2", 58, 135, 0, 0, 0, 0, 0, 0, 0), ignore, ""},
		{"routing header", packet6("fdbe:117a:5::2", "2606:4700::1111", 43), refuse, "ip"},
		{"spoofed 6", packet6("fdbe:117a:5::9", "2606:4700::1111", 6), refuse, "ip"},
	} {
		v, d := judge(c.b)
		if v != c.want || d.Proto != c.prot {
			t.Errorf("%s: %v %+v", c.name, v, d)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(packet4("198.18.0.2", "1.1.1.1", 6))
	f.Add(packet6("fdbe:117a:5::2", "2606:4700::1111", 58, 135))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, _ := judge(b)
		if v != deliver {
			return
		}
		proto := b[9]
		if b[0]>>4 == 6 {
			proto = b[6]
		}
		if proto != protoTCP && proto != protoUDP && proto != protoICMP4 && proto != protoICMP6 {
			t.Fatalf("protocol %d was delivered", proto)
		}
	})
}

// TestPortsCanBeUsedAgain: a connection attempt with the ports of one that has
// just ended is answered.
func TestPortsCanBeUsedAgain(t *testing.T) {
	_, g, _ := start(t, func(r *Request) {
		c, err := r.Accept(64 << 10)
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "hi")
		c.Finish(context.Background(), time.Second)
	})
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	from := netip.AddrPortFrom(belljar.GuestIPv4, 40000)
	to := netip.MustParseAddrPort("1.2.3.4:80")
	for i := 0; i < 5; {
		c, err := gonet.DialTCPWithBind(ctx, g.s, *fullAddress(from), *fullAddress(to), protocol(to.Addr()))
		if err != nil && strings.Contains(err.Error(), "in use") && ctx.Err() == nil {
			continue // the guest's own stack has not let go of it yet
		}
		if err != nil {
			t.Fatal(i, err)
		}
		i++
		if b, err := io.ReadAll(c); string(b) != "hi" {
			t.Fatal(i, string(b), err)
		}
		c.Close()
	}
}

// TestUnreadDataIsNotKept: a sandbox that ends its side and never reads is reset.
func TestUnreadDataIsNotKept(t *testing.T) {
	ended := make(chan time.Duration, 1)
	_, g, _ := start(t, func(r *Request) {
		c, err := r.Accept(window)
		if err != nil {
			return
		}
		for n := 1; n > 0; { // until both ends take no more
			_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, _ = c.Write(make([]byte, 8<<20))
		}
		begun := time.Now()
		c.Finish(context.Background(), 200*time.Millisecond)
		ended <- time.Since(begun)
		if !c.taken() {
			t.Error("the connection is still there")
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	c, err := g.DialTCP(ctx, netip.MustParseAddrPort("1.2.3.4:80"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.CloseWrite()
	if d := <-ended; d > hangs {
		t.Errorf("ended after %s", d)
	}
}
