package backendtest

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

var networkCases = []tcase{
	{name: "network/link", why: "packets go to the link and nowhere else", own: true, need: []string{"bash"}, run: linkDelivers},
	{name: "network/loopback", why: "the loopback inside is the sandbox's own", need: []string{"python3"}, run: loopback},
	{name: "network/host-loopback", why: "services of the host's loopback are out of reach", need: []string{"bash"}, run: hostLoopback},
	{name: "network/interfaces", why: "there is the loopback and one link", run: func(t *testing.T, s *box) {
		s.want("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort | tr '\\n' ' '", "eth0 lo")
	}},
	{name: "network/raw", why: "raw packets cannot be made", need: []string{"python3"}, run: func(t *testing.T, s *box) {
		s.fails("python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'")
		s.fails("python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)'")
	}},
	{name: "network/routes", why: "everything goes to the gateway", run: func(t *testing.T, s *box) {
		if r := s.sh("cat /proc/net/route"); len(lines(r.out)) < 2 {
			t.Errorf("no route: %s", r)
		}
	}},
	{name: "network/localhost-rule", why: "connections to the loopback's ports of localhost rules go to the gateway, from the first command on", bare: true, need: []string{"bash"}, plan: func(p *belljar.Plan) {
		p.Network.Rules = []belljar.NetRule{{Host: belljar.Localhost, Ports: []uint16{9123}}}
	}, run: localhostRule},
}

func (s *box) link() belljar.Link {
	s.t.Helper()
	select {
	case l := <-s.links:
		s.t.Cleanup(func() { l.File.Close() })
		return l
	case <-time.After(patience):
		s.t.Fatal("no link was attached")
	}
	panic("unreachable")
}

// packetTo waits for a packet of the sandbox to an address.
func packetTo(t *testing.T, l belljar.Link, to netip.Addr) {
	t.Helper()
	if l.MTU < 1280 {
		t.Errorf("MTU %d is too small for IPv6", l.MTU)
	}
	seen := make(chan bool, 1)
	go func() {
		all := make([]byte, l.MTU+64)
		for {
			n, err := l.File.Read(all)
			if err != nil || n == 0 {
				seen <- false
				return
			}
			buf := all[len(l.Header):]
			if n -= len(l.Header); n < 20 {
				continue
			}
			dst, _ := netip.AddrFromSlice(buf[16:20])
			if buf[0]>>4 == 6 && n >= 40 {
				dst, _ = netip.AddrFromSlice(buf[24:40])
			}
			if dst == to {
				seen <- true
				return
			}
		}
	}()
	select {
	case ok := <-seen:
		if !ok {
			t.Error("the link ended")
		}
	case <-time.After(patience):
		t.Errorf("no packet to %s arrived", to)
	}
}

// dial connects, which takes as long as nobody answers.
func dial(host string, port int) belljar.Command {
	return belljar.Command{Exec: belljar.Exec{
		Path: "/usr/bin/bash", Argv: []string{"bash", "-c", "exec 3<>/dev/tcp/" + host + "/" + itoa(port)}, Dir: "/",
	}}
}

func linkDelivers(t *testing.T, s *box) {
	l := s.link()
	for _, to := range []string{"198.18.7.7", "fdbe:117a:5::77"} {
		c := dial(to, 80)
		p, err := s.in.Start(t.Context(), &c)
		if err != nil {
			t.Fatal(err)
		}
		packetTo(t, l, netip.MustParseAddr(to))
		_ = p.Signal(9)
		s.waitFor(p)
	}
}

func loopback(t *testing.T, s *box) {
	s.want(`python3 -c '
import socket
a=socket.create_server(("127.0.0.1",0)); b=socket.create_connection(a.getsockname()); c,_=a.accept(); b.send(b"x"); print(c.recv(1).decode())
'`, "x")
}

func hostLoopback(t *testing.T, s *box) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if r := s.run("", dial("127.0.0.1", l.Addr().(*net.TCPAddr).Port)); r.status.Status() == 0 {
		t.Errorf("the host's loopback was reached: %s", r)
	}
}

// localhostRule: the first command connects at once, and stays until the packet of
// the connection has arrived here. Nobody answers it, so the connection is made aside.
func localhostRule(t *testing.T, s *box) {
	c := belljar.Command{Exec: belljar.Exec{Path: "/usr/bin/bash", Argv: []string{
		"bash", "-c", "(exec 3<>/dev/tcp/127.0.0.1/9123; sleep 600) & (exec 4<>/dev/tcp/127.0.0.1/9124) && exit 2; read x; kill $!; exit 0",
	}, Dir: "/"}}
	s.plan.Command = c.Exec
	s.start()
	l := s.link()
	r, w := s.pipe()
	defer w.Close()
	c.Stdin = r
	p, err := s.in.Start(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	packetTo(t, l, belljar.LocalhostIPv4)
	w.Close()
	if st := s.waitFor(p); st.Status() != 0 {
		t.Errorf("ended with %+v; 1: the rule's port is closed, 2: another one is open", st)
	}
}
