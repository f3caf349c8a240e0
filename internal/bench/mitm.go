package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/certs"
)

// mitm is the proxy that one would write in an afternoon with the standard library: it
// ends TLS for every CONNECT and sets a header. It judges nothing and records nothing.
func mitm(root string) error {
	pem, err := os.ReadFile(root)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	authority, err := certs.New()
	if err != nil {
		return err
	}
	leaf, err := authority.Leaf(belljar.Localhost)
	if err != nil {
		return err
	}
	m := &middle{key: os.Getenv(keyVariable), tls: &tls.Config{Certificates: []tls.Certificate{*leaf}}, out: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 2 * conns, DisableCompression: true,
	}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return http.Serve(ln, http.HandlerFunc(m.connect))
}

// tunnel is the proxy that passes everything, of the standard library: what the gateway
// would be if it looked at nothing and recorded nothing.
func tunnel() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up, err := net.Dial("tcp", r.RequestURI)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer up.Close()
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(up, c)
			_ = up.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(c, up)
	}))
}

type middle struct {
	key string
	tls *tls.Config
	out *http.Transport
}

func (m *middle) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		c.Close()
		return
	}
	to := &url.URL{Scheme: "https", Host: r.RequestURI}
	quiet := log.New(io.Discard, "", 0) // clients that leave
	_ = (&http.Server{ErrorLog: quiet, ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{ErrorLog: quiet, Transport: m.out, Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Header.Set("X-Api-Key", m.key)
	}}}).Serve(&single{c: tls.Server(c, m.tls)})
}

// A single is a listener of one connection.
type single struct{ c net.Conn }

func (s *single) Accept() (net.Conn, error) {
	c := s.c
	if s.c = nil; c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return &net.TCPAddr{} }
