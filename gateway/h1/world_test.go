package h1

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // where the transport complains of what servers say
	os.Exit(testenv.RunWithoutLeaks(m))
}

// hangs is after how long something hangs, and is not slow: a busy machine may need long.
const hangs = 2 * time.Minute

// host is the name that the servers' certificate is for.
const host = "example.com"

// A server answers by a script: what it does with the nth connection.
type server struct {
	t     testing.TB
	ln    net.Listener
	cfg   *tls.Config
	roots *x509.CertPool

	mu    sync.Mutex
	conns []*tls.Conn
	done  sync.WaitGroup
}

// serve starts a server. The connection is closed when the script returns.
func serve(t testing.TB, protos []string, script func(n int, c *peer)) *server {
	t.Helper()
	cert := httptest.NewUnstartedServer(nil) // its certificate is for example.com
	cert.StartTLS()
	defer cert.Close()
	s := &server{t: t, cfg: &tls.Config{Certificates: cert.TLS.Certificates, NextProtos: protos}, roots: x509.NewCertPool()}
	s.roots.AddCert(cert.Certificate())
	var err error
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	s.done.Go(func() {
		for n := 0; ; n++ {
			raw, err := s.ln.Accept()
			if err != nil {
				return
			}
			wire := &collector{Conn: raw}
			c := tls.Server(wire, s.cfg)
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.done.Go(func() {
				defer c.Close()
				script(n, &peer{Conn: c, raw: wire, br: bufio.NewReader(c)})
			})
		}
	})
	return s
}

func (s *server) close() {
	_ = s.ln.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		_ = c.NetConn().Close()
	}
	s.mu.Unlock()
	s.done.Wait()
}

func (s *server) hostport() string {
	_, port, _ := net.SplitHostPort(s.ln.Addr().String())
	return net.JoinHostPort(host, port)
}

func (s *server) dial(ctx context.Context, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", s.ln.Addr().String())
}

// client is a client of the server that knows what it speaks.
func (s *server) client(change ...func(*Options)) *Client {
	o := Options{Dial: s.dial, TLS: &tls.Config{RootCAs: s.roots}, Handshake: hangs, MaxHead: 64 << 10, Idle: time.Minute, IdlePerHost: 4, IdleAll: 8}
	for _, f := range change {
		f(&o)
	}
	c := New(o)
	c.speaks[s.hostport()] = true
	s.t.Cleanup(c.CloseIdle)
	return c
}

// transport is net/http's, with the same bounds.
func (s *server) transport() *http.Transport {
	tr := &http.Transport{
		DialContext:     func(ctx context.Context, _, a string) (net.Conn, error) { return s.dial(ctx, a) },
		TLSClientConfig: &tls.Config{RootCAs: s.roots}, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
	s.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (s *server) request(ctx context.Context, method, path string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, "https://"+s.hostport()+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// peer is the server's end of a connection.
type peer struct {
	*tls.Conn
	raw net.Conn
	br  *bufio.Reader
	// head says that the request which was read wants no body.
	head bool
}

// read reads a request's header and returns its path, or "" at the end.
func (p *peer) read() string {
	r, err := http.ReadRequest(p.br)
	if err != nil {
		return ""
	}
	p.head = r.Method == http.MethodHead
	return r.URL.Path
}

func (p *peer) say(s string) { _, _ = io.WriteString(p.Conn, s) }

// rest waits until the client has ended the connection.
func (p *peer) rest() { _, _ = io.Copy(io.Discard, p.Conn) }

// An outcome is what a client makes of an answer.
type outcome struct {
	status          int
	header, trailer string
	length          int64
	body            string
	failed          bool // no answer
	broken          bool // a body that did not end
}

func fields(h http.Header) string {
	var b strings.Builder
	_ = h.Write(&b)
	return b.String()
}

func outcomeOf(resp *http.Response, err error) outcome {
	if err != nil {
		return outcome{failed: true}
	}
	defer resp.Body.Close()
	o := outcome{status: resp.StatusCode, header: fields(resp.Header), length: resp.ContentLength}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return o // what follows is nobody's
	}
	b, err := io.ReadAll(resp.Body)
	o.body, o.broken, o.trailer = string(b), err != nil, fields(resp.Trailer)
	return o
}

var untold = &httptrace.ClientTrace{}

// get asks and reads all.
func (s *server) get(c *Client, method, path string) (string, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), hangs) // what is lost fails
	defer cancel()
	resp, err := c.RoundTrip(s.request(ctx, method, path), untold)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// want asks and wants an answer.
func (s *server) want(c *Client, method, path, want string) {
	s.t.Helper()
	if got, err := s.get(c, method, path); err != nil || got != want {
		s.t.Fatalf("%s %s: %q %v, not %q", method, path, got, err, want)
	}
}

func answer(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

var errTest = errors.New("the test's own")
