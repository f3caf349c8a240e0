package gateway

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/gateway/certs"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"github.com/belljar-dev/belljar/gateway/urlpath"
)

// FuzzSeen: whatever a head says, what is sent goes to the name that was connected to,
// with a method and a path that the policy allows in the spelling that is written.
func FuzzSeen(f *testing.F) {
	for _, target := range []string{
		"/v1/x", "/v1/%2e%2e/x", "https://api.example.com/v1/x?y", "https://api.example.com?/v1/x", "//v1//x", "*", "/v1/a%2fb%252e", "/v1/*[]{}|",
	} {
		f.Add("GET", target, "api.example.com", "X-Original-URL: /")
		f.Add("OPTIONS", target, "API.example.com.", "Connection: host, upgrade\r\nUpgrade: websocket")
		f.Add("POST", target, "api.example.com:443", "Transfer-Encoding: chunked\r\nTrailer: Host")
	}
	authority, err := certs.New()
	if err != nil {
		f.Fatal(err)
	}
	n := apiNetwork()
	g, err := New(Options{Network: &n, Events: &record{more: make(chan struct{}, 1)}, Authority: authority})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, goal, host, field string) {
		head := []byte(method + " " + goal + " HTTP/1.1\r\nHost: " + host + "\r\n" + field + "\r\n\r\n")
		if httpproxy.CheckHead(head) != nil {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			return
		}
		h := &seen{g: g, ctx: t.Context(), t: target{host: "api.example.com", port: 443}, secure: true}
		a := h.Handle(r)
		if a.Forward == nil {
			if a.Reply == nil || a.Reply.Status < 400 || a.Reply.Body == "" {
				t.Fatalf("%q: no answer", head)
			}
			return
		}
		switch x := a.Forward.(type) {
		case *exchange:
			x.leave()
		case *gitCall:
			x.leave()
		}
		if host := strings.TrimSuffix(r.Host, ":443"); host != "api.example.com" || r.URL.Host != "api.example.com:443" || r.URL.Scheme != "https" || r.URL.User != nil {
			t.Fatalf("%q goes to %q, %v", head, r.Host, r.URL)
		}
		sent, err := urlpath.Parse(r.URL.RequestURI())
		if err != nil || sent.String() != r.URL.RequestURI() || sent.Slash || sent.Nested {
			t.Fatalf("%q is sent as %q: %v", head, r.URL.RequestURI(), err)
		}
		if !strings.HasPrefix(sent.Path, "/v1/") || r.Method != "GET" && r.Method != "POST" && r.Method != "HEAD" {
			t.Fatalf("%q is sent as %s %q", head, r.Method, sent.Path)
		}
	})
}
