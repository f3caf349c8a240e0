package gateway

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestHandshakesPass: versions, resumption and a second ClientHello work through
// the gateway.
func TestHandshakesPass(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("api.example.com", 443)}})
	s := httptest.NewUnstartedServer(http.HandlerFunc(greet))
	s.TLS = &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384}} // asks every client again
	s.StartTLS()
	t.Cleanup(s.Close)
	w.serve("api.example.com", "93.184.216.34:443", s.Listener)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, suite := range []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256} {
			cfg := &tls.Config{
				ServerName: "api.example.com", InsecureSkipVerify: true, MinVersion: version, MaxVersion: version,
				ClientSessionCache: tls.NewLRUClientSessionCache(4), CipherSuites: []uint16{suite},
				CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP384},
			}
			resumed := 0
			for range 20 {
				c, err := w.dial("api.example.com", 443)
				if err != nil {
					t.Fatal(err)
				}
				tc := tls.Client(c, cfg)
				if _, err := io.WriteString(tc, "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(tc)
				if err != nil || len(b) == 0 {
					t.Fatalf("%x: %q, %v", version, b, err)
				}
				if tc.ConnectionState().DidResume {
					resumed++
				}
				c.Close()
			}
			if resumed < 15 {
				t.Errorf("%x: %d of 20 were resumed", version, resumed)
			}
		}
	}
}
