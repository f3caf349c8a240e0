package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// The test of the real thing: three network namespaces, the sandbox's, the
// host's and an internet, the host's own dialer, resolver and kernels. The test
// binary starts itself in three roles, told by roleVariable.

// TestRealNetwork builds the namespaces and runs TestNamespaceRole in them.
func TestRealNetwork(t *testing.T) {
	testenv.Need(t, "userns", "netns", "ip", "curl")
	ctx, cancel := context.WithTimeout(t.Context(), 5*hangs)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestNamespaceRole$", "-test.v", "-test.timeout=9m")
	cmd.Env = append(os.Environ(), roleVariable+"=host")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestNamespaceRole is what the started binaries do.
func TestNamespaceRole(t *testing.T) {
	switch role := os.Getenv(roleVariable); role {
	case "": // not a part of TestRealNetwork
	case "host":
		hostRole(t)
	case "internet":
		internetRole(t)
	case "guest":
		guestRole(t)
	default:
		t.Fatal(role)
	}
}

func run(t *testing.T, line string, args ...any) {
	t.Helper()
	f := strings.Fields(fmt.Sprintf(line, args...))
	if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", f, err, out)
	}
}

// resolvConf makes nameserver the only one of this mount namespace.
func resolvConf(t *testing.T, nameserver string) {
	t.Helper()
	at, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	f := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(f, []byte("nameserver "+nameserver+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(f, at, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
}

// role starts this binary in namespaces of its own. Its standard input and output
// are pipes.
func role(t *testing.T, name string, flags uintptr, files ...*os.File) (io.WriteCloser, *bufio.Reader, int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNamespaceRole$", "-test.timeout=8m")
	cmd.Env = append(os.Environ(), roleVariable+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	cmd.ExtraFiles, cmd.Stderr = files, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(out)
	t.Cleanup(func() { // both roles end with their input
		_ = in.Close()
		_, _ = io.Copy(io.Discard, br)
		_ = cmd.Wait()
	})
	return in, br, cmd.Process.Pid
}

// internetNames is the zone of the internet.
var internetNames = map[string]string{
	"api.example.com.": "93.184.216.34", "own.example.com.": "192.168.77.1", "loop.example.com.": "127.0.0.1",
	"meta.example.com.": "169.254.169.254", "private.example.com.": "192.168.77.2", "intern.example.com.": "192.168.77.2",
}

func internetRole(t *testing.T) {
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	run(t, "ip link set lo up")
	run(t, "ip addr add 192.168.77.2/24 dev u1")
	run(t, "ip link set u1 up")
	for _, a := range []string{"93.184.216.34", "93.184.216.53", "169.254.169.254"} {
		run(t, "ip addr add %s/32 dev lo", a)
	}
	greet := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s\n", r.Host) })
	for _, at := range []string{"0.0.0.0:80", "0.0.0.0:443"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(greet)
		_ = s.Listener.Close()
		s.Listener = l
		if strings.HasSuffix(at, "443") {
			s.EnableHTTP2 = true
			s.StartTLS()
		} else {
			s.Start()
		}
		defer s.Close()
	}
	pc, err := net.ListenPacket("udp", "93.184.216.53:53")
	if err != nil {
		t.Fatal(err)
	}
	d := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(answerInternet)}
	go func() { _ = d.ActivateAndServe() }()
	defer d.Shutdown()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, in)
}

func answerInternet(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	a, ok := internetNames[q.Question[0].Name]
	switch {
	case !ok:
		m.Rcode = dns.RcodeNameError
	case q.Question[0].Qtype == dns.TypeA:
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: 1}, A: net.ParseIP(a)}}
	}
	_ = w.WriteMsg(m)
}

// guestRole is the sandbox: it joins its network to the link, then runs the
// commands that arrive, one a line.
func guestRole(t *testing.T) {
	run(t, "ip link set lo up")
	run(t, "ip link add g0 mtu 9000 type veth peer name g1 mtu 9000")
	for _, n := range []string{"g0", "g1"} {
		// What leaves has its checksums, and is no larger than the link.
		for _, what := range []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO} {
			ethtoolOff(t, n, what)
		}
	}
	run(t, "ip addr add 198.18.0.2/15 dev g0")
	run(t, "ip -6 addr add fdbe:117a:5::2/64 dev g0 nodad")
	run(t, "ip link set g0 up arp off")
	run(t, "ip link set g1 up arp off")
	run(t, "ip route add default via 198.18.0.1 dev g0")
	run(t, "ip -6 route add default via fdbe:117a:5::1 dev g0")
	resolvConf(t, "198.18.0.1")
	pump(t, os.NewFile(3, "link"), "g0", "g1")
	fmt.Println("ready")
	sc := bufio.NewScanner(os.Stdin)
	for sc.Scan() {
		ctx, cancel := context.WithTimeout(context.Background(), hangs)
		out, err := exec.CommandContext(ctx, "sh", "-c", sc.Text()).CombinedOutput()
		cancel()
		code := 0
		if err != nil {
			code = 1
			if x, ok := err.(*exec.ExitError); ok {
				code = x.ExitCode()
			}
		}
		b, _ := json.Marshal(outcome{code, string(out)})
		fmt.Println(string(b))
	}
}

type outcome struct {
	Code int
	Out  string
}

func ethtoolOff(t *testing.T, name string, what uint32) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{what, 0}
	req := struct {
		name [16]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(req.name[:], name)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); e != 0 {
		t.Fatal(e)
	}
}

// pump carries packets between the link and device own, whose peer is the
// sandbox's device.
func pump(t *testing.T, link *os.File, peer, own string) {
	t.Helper()
	pi, err := net.InterfaceByName(peer)
	if err != nil {
		t.Fatal(err)
	}
	oi, err := net.InterfaceByName(own)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: oi.Index}); err != nil {
		t.Fatal(err)
	}
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := unix.Recvfrom(fd, b, 0)
			if err != nil {
				return
			}
			if sll, ok := from.(*unix.SockaddrLinklayer); ok && sll.Pkttype != unix.PACKET_OUTGOING {
				_, _ = link.Write(b[:n])
			}
		}
	}()
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, err := link.Read(b)
			if err != nil {
				return
			}
			to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: oi.Index, Halen: 6}
			if b[0]>>4 == 6 {
				to.Protocol = htons(unix.ETH_P_IPV6)
			}
			copy(to.Addr[:], pi.HardwareAddr)
			_ = unix.Sendto(fd, b[:n], 0, to)
		}
	}()
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func hostRole(t *testing.T) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	run(t, "ip link set lo up")
	in, out, pid := role(t, "internet", syscall.CLONE_NEWNET)
	run(t, "ip link add u0 type veth peer name u1 netns %d", pid)
	run(t, "ip addr add 192.168.77.1/24 dev u0")
	run(t, "ip link set u0 up")
	run(t, "ip route add default via 192.168.77.2")
	_, _ = io.WriteString(in, "go\n")
	expect(t, out, "ready")
	resolvConf(t, "93.184.216.53")

	var n belljar.Network
	for _, h := range []string{"api", "own", "loop", "meta", "private", "nowhere"} {
		n.Rules = append(n.Rules, rule(h+".example.com", 80, 443))
	}
	n.Rules = append(n.Rules, belljar.NetRule{Host: "intern.example.com", Ports: []uint16{80}, Private: true}, rule("localhost", 9000))
	rec := &record{more: make(chan struct{}, 1)}
	g, err := New(Options{Network: &n, Events: rec, Name: "real"})
	if err != nil {
		t.Fatal(err)
	}
	a, b := socketPair(t)
	a.MTU = 9000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := g.Attach(a); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	defer func() { cancel(); <-done }()
	ln, err := net.Listen("tcp", "127.0.0.1:9000")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a service of the host\n") })}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()

	in, out, _ = role(t, "guest", syscall.CLONE_NEWNET|syscall.CLONE_NEWNS, b.File)
	_ = b.File.Close()
	expect(t, out, "ready")
	for _, c := range realCases() {
		if c.needs != "" {
			if _, err := exec.LookPath(c.needs); err != nil {
				continue // an extra program, not what the test is about
			}
		}
		_, _ = io.WriteString(in, c.command+"\n")
		line, err := out.ReadBytes('\n')
		var o outcome
		if err == nil {
			err = json.Unmarshal(bytes.TrimSpace(line), &o)
		}
		if err != nil {
			t.Fatal(c.command, err, string(line))
		}
		if o.Code != c.code || !strings.Contains(o.Out, c.want) {
			t.Errorf("%s: exit %d, want %d with %q:\n%s", c.command, o.Code, c.code, c.want, o.Out)
		}
	}
	rec.wait(t, belljar.EventRefuse, "udp", "8.8.8.8")
	for _, e := range rec.of(belljar.EventConnect) {
		if p, err := netip.ParseAddr(e.Addr); err == nil && e.Reason == "" && p.IsPrivate() && e.Host != "intern.example.com" {
			t.Errorf("reached %+v", e)
		}
	}
}

func expect(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	l, err := r.ReadString('\n')
	if strings.TrimSpace(l) != want {
		rest, _ := io.ReadAll(r)
		t.Fatalf("got %q, %v\n%s", l, err, rest)
	}
}
