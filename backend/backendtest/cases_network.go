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
	{name: "network/localhost-rule", why: "ports of localhost rules are listened on inside, before the command starts", bare: true, need: []string{"bash"}, plan: func(p *belljar.Plan) {
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

func dial(host string, port int) belljar.Command {
	return belljar.Command{Exec: belljar.Exec{
		Path: "/usr/bin/bash", Argv: []string{"bash", "-c", "timeout 1 bash -c 'exec 3<>/dev/tcp/" + host + "/" + itoa(port) + "'"}, Dir: "/",
	}}
}

func linkDelivers(t *testing.T, s *box) {
	l := s.link()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run("", dial("198.18.7.7", 80))
	}()
	packetTo(t, l, netip.MustParseAddr("198.18.7.7"))
	<-done
	done = make(chan struct{})
	go func() {
		defer close(done)
		s.run("", dial("fdbe:117a:5::77", 80))
	}()
	packetTo(t, l, netip.MustParseAddr("fdbe:117a:5::77"))
	<-done
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

func localhostRule(t *testing.T, s *box) {
	first := dial("127.0.0.1", 9123)
	first.Argv[2] += "; ! true < /dev/tcp/127.0.0.1/9124"
	s.plan.Command = first.Exec
	s.start()
	l := s.link()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if r := s.run("", first); r.status.Status() != 0 {
			t.Errorf("another port than the rule's: %s", r)
		}
	}()
	packetTo(t, l, belljar.LocalhostIPv4)
	<-done
}
