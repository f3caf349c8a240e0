package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/miekg/dns"
)

// A corpusCase is one line of a file of cases in testdata.
type corpusCase struct {
	Kind, ID, Action, Expect, Why string
	Arrives                       string // what the server sees, where Try has a Request
	Try                           struct {
		Connect any // one authority, or several that must all come out the same
		Socks   string
		Dial    string
		DNS     string
		UDP     string
		Get     string // by the proxy
		Port    uint16
		Type    string
		SNI     string // "-" for none
		Split   bool   // the ClientHello, into bytes and records
		Plain   string // sent in the tunnel
		Raw     string // sent on the connection
		Addrs   []string
		Seen    string // the host to which Request goes by TLS
		Keyed   string // the same, in a world with a credential
		Request string
	}
}

// corpus reads the cases of all files.
func corpus(t *testing.T) (cases []corpusCase) {
	t.Helper()
	for _, name := range []string{"egress.jsonl", "egress-more.jsonl", "egress-further.jsonl", "egress-written.jsonl"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var c corpusCase
			if err := json.Unmarshal(line, &c); err != nil {
				t.Fatal(err)
			}
			if c.Kind == "case" {
				cases = append(cases, c)
			}
		}
	}
	return cases
}

func corpusNetwork() belljar.Network {
	var n belljar.Network
	for _, h := range []string{
		"api.anthropic.com", "github.com", "api.github.com", "npm.registry.example", "go.registry.example",
		"pip.registry.example", "*.pipfiles.example", "mcp.acme.dev", "stream.acme.dev",
	} {
		n.Rules = append(n.Rules, rule(h, 443))
	}
	n.Rules = append(n.Rules, rule("plain.example", 80), belljar.NetRule{Host: "db.internal.acme", Ports: []uint16{5432}, Private: true})
	return n
}

func TestCorpus(t *testing.T) {
	w := newWorld(t, corpusNetwork())
	ok := func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(rw, "reached")
	}
	for _, n := range w.g.network.Rules {
		if n.Ports[0] == 443 {
			w.named(strings.Replace(n.Host, "*", "files", 1), "93.184.216.34")
		}
	}
	w.http("", "93.184.216.34:443", true, ok)
	w.http("plain.example", "93.184.216.34:80", false, ok)
	for _, a := range []string{"127.0.0.1:443", "169.254.169.254:443", "10.0.0.1:443", "169.254.169.254:80", "140.82.112.3:443"} {
		w.raw("", a, func(c net.Conn) { _, _ = io.WriteString(c, "reached") })
	}
	w.raw("db.internal.acme", "10.20.0.5:5432", func(c net.Conn) { _, _ = io.WriteString(c, "reached") })
	cases := 0
	for _, c := range corpus(t) {
		if c.Try.Request != "" {
			continue // of other tests
		}
		cases++
		if c.Try.Addrs != nil {
			w.fresh("files.pipfiles.example", c.Try.Addrs)
		}
		for _, got := range w.try(c) {
			if (got == "reached") != (c.Expect == "allow") {
				t.Errorf("%s: %s: want %s (%s), got %q", c.ID, c.Action, c.Expect, c.Why, got)
			}
		}
	}
	if cases < 220 {
		t.Errorf("only %d cases", cases)
	}
}

// fresh changes what a name resolves to and forgets earlier answers.
func (w *world) fresh(name string, addrs []string) {
	w.named(name, addrs...)
	w.g.way.mu.Lock()
	clear(w.g.way.answers)
	w.g.way.mu.Unlock()
}

// try does what a case says; "reached" means that it got out.
func (w *world) try(c corpusCase) []string {
	switch x := c.Try.Connect.(type) {
	case string:
		return []string{w.tryConnect(c, x)}
	case []any:
		var out []string
		for _, a := range x {
			out = append(out, w.tryConnect(c, a.(string)))
		}
		return out
	}
	switch {
	case c.Try.Socks != "" || strings.HasPrefix(c.Action, "SOCKS5"):
		return []string{w.talk("198.18.0.1", 3128, fmt.Sprintf("\x05\x01\x00\x05\x01\x00\x03%c%s%c%c", len(c.Try.Socks), c.Try.Socks, c.Try.Port>>8, c.Try.Port))}
	case c.Try.DNS != "":
		m := w.lookup(c.Try.DNS, dns.StringToType[c.Try.Type])
		if len(m.Answer) > 0 {
			return []string{"reached"}
		}
		return []string{m.String()}
	case c.Try.UDP != "":
		u, err := w.guest.DialUDP(netip.AddrPortFrom(netip.MustParseAddr(c.Try.UDP), c.Try.Port))
		if err != nil {
			return []string{err.Error()}
		}
		defer u.Close()
		_, _ = u.Write([]byte("x"))
		w.rec.wait(w.t, belljar.EventRefuse, "udp", c.Try.UDP)
		return []string{"dropped"}
	case c.Try.Get != "":
		_, body := w.get(w.client(true), c.Try.Get)
		return []string{body}
	case c.Try.Raw != "":
		got := w.talk(c.Try.Dial, c.Try.Port, c.Try.Raw)
		if strings.Contains(got, "reached") {
			return []string{"reached"}
		}
		return []string{got}
	}
	conn, err := w.dial(c.Try.Dial, c.Try.Port)
	if err != nil {
		return []string{err.Error()}
	}
	defer conn.Close()
	return []string{finish(conn, c)}
}

func (w *world) tryConnect(c corpusCase, authority string) string {
	conn, err := w.dial("198.18.0.1", 3128)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(hangs))
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "CONNECT"})
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode != 200 {
		return resp.Status
	}
	return finish(conn, c)
}

// finish goes on where the connection stands.
func finish(conn net.Conn, c corpusCase) string {
	_ = conn.SetDeadline(time.Now().Add(hangs))
	if c.Try.Plain != "" || c.Try.SNI == "" {
		_, _ = io.WriteString(conn, c.Try.Plain)
		b, _ := io.ReadAll(conn)
		return string(b)
	}
	if c.Try.Split {
		conn = &splitter{Conn: conn}
	}
	tc := tls.Client(conn, &tls.Config{ServerName: strings.TrimPrefix(c.Try.SNI, "-"), InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		return err.Error()
	}
	fmt.Fprintf(tc, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", c.Try.SNI)
	resp, err := http.ReadResponse(bufio.NewReader(tc), nil)
	if err != nil {
		return err.Error()
	}
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// A splitter sends its first record, the ClientHello, as two records and byte by
// byte.
type splitter struct {
	net.Conn
	done bool
}

func (s *splitter) Write(b []byte) (int, error) {
	if s.done {
		return s.Conn.Write(b)
	}
	s.done = true
	cut := (len(b) - 5) / 2
	var out []byte
	for _, part := range [][]byte{b[5 : 5+cut], b[5+cut:]} {
		out = append(out, 22, 3, 1, byte(len(part)>>8), byte(len(part)))
		out = append(out, part...)
	}
	for i := range out {
		if _, err := s.Conn.Write(out[i : i+1]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
