package verify

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The internet of a world. Its addresses look like the real ones, because guards
// judge by them; they exist in a network namespace that leads nowhere.
const (
	addrHost     = "192.168.77.1" // the host's own
	addrRouter   = "192.168.77.2"
	addrAllowed  = "93.184.216.34"
	addrEvil     = "93.184.216.66"
	addrDNS      = "93.184.216.53"
	addrPrivate  = "10.0.0.5"
	addrMetadata = "169.254.169.254"
	addrProxy    = "198.18.0.1" // where the sandbox's own proxy is; outside an open one
	addrEvil6    = "2606:4700::6666"
	addrHost6    = "fd77::1"
	addrRouter6  = "fd77::2"
	portLocal    = 5000 // a service on the host's loopback
	portProxy    = 3128

	argvInternet = "belljar-verify-internet"
	argvVictim   = "belljar-verify-victim"
)

// zone are the names of the internet.
var zone = map[string]string{
	"allowed.test.": addrAllowed, "evil.test.": addrEvil, "private.test.": addrPrivate, "meta.test.": addrMetadata,
	"loop.test.": "127.0.0.1", "self.test.": addrHost, "www.evil.test.": addrEvil,
}

// internet starts the process that plays it and joins both network namespaces.
func (w *world) internet() error {
	hits, theirHits, err := os.Pipe()
	if err != nil {
		return err
	}
	in, begin, err := os.Pipe()
	if err != nil {
		return err
	}
	ready, theirReady, err := os.Pipe()
	if err != nil {
		return err
	}
	p, err := os.StartProcess("/proc/self/exe", []string{argvInternet}, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: []*os.File{in, theirReady, os.Stderr, theirHits},
		// A session of its own: no terminal hangs up on it.
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, AmbientCaps: worldCaps, Setsid: true},
	})
	if err != nil {
		return err
	}
	w.web = p.Pid
	theirHits.Close()
	theirReady.Close()
	in.Close()
	if err := joinNets(p.Pid); err != nil {
		return err
	}
	if _, err := begin.WriteString("go\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(ready).ReadString('\n')
	if err != nil || line != "ready\n" {
		return fmt.Errorf("it said %q: %w", line, err)
	}
	// It lives as long as the world's first process, whose end is that of all.
	if err := unix.Dup3(int(hits.Fd()), fdHits, 0); err != nil {
		return err
	}
	return hits.Close()
}

// joinNets makes the host's side of the way to the namespace of pid.
func joinNets(pid int) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	at := netlink.NewLinkAttrs()
	at.Name = "up0"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: at, PeerName: "up1", PeerNamespace: netlink.NsPid(pid)}); err != nil {
		return err
	}
	up, err := netlink.LinkByName("up0")
	if err != nil {
		return err
	}
	if err := configure(up, addrHost+"/24", addrHost6+"/64"); err != nil {
		return err
	}
	return errors.Join(
		netlink.RouteAdd(&netlink.Route{LinkIndex: up.Attrs().Index, Gw: net.ParseIP(addrRouter)}),
		netlink.RouteAdd(&netlink.Route{LinkIndex: up.Attrs().Index, Gw: net.ParseIP(addrRouter6)}),
	)
}

func configure(l netlink.Link, addrs ...string) error {
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		if strings.Contains(a, ":") {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(l, addr); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return netlink.LinkSetUp(l)
}

// An internet is the process that plays it.
type internet struct {
	mu  sync.Mutex
	out *json.Encoder
}

// A hit is one row that was seen, and where.
type hit struct {
	Row string `json:"row"`
	How string `json:"how"`
}

// rowWord finds the rows in whatever arrives: "row-GROUP-NAME-end", which is a
// valid label of a domain too.
var rowWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`row-([a-z0-9]+)-([a-z0-9-]+?)-end`) })

// word is how a row names itself in traffic.
func word(id string) string { return "row-" + strings.Replace(id, "/", "-", 1) + "-end" }

// seen reports every row that b names.
func (n *internet) seen(b, how string) {
	for _, m := range rowWord().FindAllStringSubmatch(strings.ToLower(b), 16) {
		n.mu.Lock()
		_ = n.out.Encode(hit{m[1] + "/" + m[2], how})
		n.mu.Unlock()
	}
}

// runInternet is the program of the internet's process. It never returns.
func runInternet() {
	n := &internet{out: json.NewEncoder(os.NewFile(3, "hits"))}
	if err := n.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

func (n *internet) run() error {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	up, err := netlink.LinkByName("up1")
	if err != nil {
		return err
	}
	err = configure(lo, addrAllowed+"/32", addrEvil+"/32", addrDNS+"/32", addrPrivate+"/32", addrMetadata+"/32", addrProxy+"/32", addrEvil6+"/128")
	if err := errors.Join(err, configure(up, addrRouter+"/24", addrRouter6+"/64")); err != nil {
		return err
	}
	if err := n.listen(); err != nil {
		return err
	}
	_, err = os.Stdout.WriteString("ready\n")
	return err
}

func (n *internet) listen() error {
	for _, port := range []int{80, 22, 443, 8080, portProxy} {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		switch port {
		case 443:
			cfg, err := n.tlsConfig()
			if err != nil {
				return err
			}
			go n.serve(tls.NewListener(l, cfg))
		case portProxy:
			go n.proxy(l)
		case 22:
			go n.banner(l)
		default:
			go n.serve(l)
		}
	}
	for _, at := range []string{addrDNS + ":53", addrEvil + ":53"} {
		pc, err := net.ListenPacket("udp", at)
		if err != nil {
			return err
		}
		go func() { _ = (&dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(n.answer)}).ActivateAndServe() }()
	}
	echo, err := net.ListenPacket("udp", ":7")
	if err != nil {
		return err
	}
	go n.packets(echo, "UDP")
	ping, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return err
	}
	go n.packets(ping, "ICMP")
	return nil
}

// serve answers HTTP and notes which rows the request names.
func (n *internet) serve(l net.Listener) {
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := "?"
		if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			to = a.String()
		}
		n.seen(r.Host+" "+r.URL.String(), "HTTP request at "+to+" for host "+r.Host)
		fmt.Fprintf(w, "hello from %s\n", to)
	})}
	_ = s.Serve(l)
}

// banner speaks first, as ssh does, and notes what it is told.
func (n *internet) banner(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(c, "SSH-2.0-decoy\r\n")
			b := make([]byte, 1024)
			k, _ := c.Read(b)
			n.seen(string(b[:k]), "TCP connection to "+c.LocalAddr().String())
		}()
	}
}

func (n *internet) packets(pc net.PacketConn, what string) {
	b := make([]byte, 2048)
	for {
		k, from, err := pc.ReadFrom(b)
		if err != nil {
			return
		}
		n.seen(string(b[:k]), what+" packet")
		if what == "UDP" {
			_, _ = pc.WriteTo(b[:k], from)
		}
	}
}

func (n *internet) answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	if len(q.Question) == 1 {
		name := strings.ToLower(q.Question[0].Name)
		n.seen(name, "DNS question for "+name)
		a, ok := zone[name]
		if !ok && strings.HasSuffix(name, ".evil.test.") {
			a, ok = addrEvil, true
		}
		switch {
		case !ok:
			m.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: 1, Ttl: 5}, A: net.ParseIP(a)}}
		}
	}
	_ = w.WriteMsg(m)
}

// tlsConfig has a certificate for everything and notes every name that is asked for.
func (n *internet) tlsConfig() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"allowed.test", "evil.test"}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		n.seen(h.ServerName, "TLS at "+h.Conn.LocalAddr().String()+" for name "+h.ServerName)
		return cert, nil
	}}, nil
}
