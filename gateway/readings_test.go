package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

// bounds are conditions of a rule that only the rule which decides about a request keeps.
func bounds() map[string]func(*belljar.NetRule) {
	return map[string]func(*belljar.NetRule){
		"rate":     func(r *belljar.NetRule) { r.Rate = &belljar.Rate{Requests: 1, Per: 24 * time.Hour} },
		"response": func(r *belljar.NetRule) { r.Response = 10 },
		"public":   func(r *belljar.NetRule) { r.Private = false },
	}
}

// TestEmptySegmentsEvadeNoBounds: a path that is another one without its empty segments
// passes only where what allows the latter bounds no more than what allows the former.
func TestEmptySegmentsEvadeNoBounds(t *testing.T) {
	for name, bound := range bounds() {
		t.Run(name, func(t *testing.T) {
			wide, narrow := confined("api.example.com", 443, "GET", "/repos/*/*/issues"), confined("api.example.com", 443, "GET", "/repos/*/issues")
			wide.Private, narrow.Private = name == "public", name == "public"
			free := narrow
			free.Paths = []string{"/free/*"}
			bound(&narrow)
			w := newSecureWorld(t, belljar.Network{Rules: []belljar.NetRule{wide, narrow, free, confined("api.example.com", 443, "GET", "/free/*/x")}})
			w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, strings.Repeat("x", 100)) })
			for range 3 {
				if status, body := w.get(w.agent(true), "https://api.example.com/repos/acme//issues"); status != 403 || !strings.Contains(body, "empty segments") {
					t.Errorf("%d %.200s", status, body)
				}
			}
			for _, path := range []string{"/repos/acme/x/issues", "/free//x"} {
				if status, body := w.get(w.agent(true), "https://api.example.com"+path); status != 200 {
					t.Errorf("%s: %d %.200s", path, status, body)
				}
			}
		})
	}
}

// TestSocketsEvadeNoBounds: a WebSocket under a rule that reads, which passes because
// another rule allows writing, passes only where that one bounds no more.
func TestSocketsEvadeNoBounds(t *testing.T) {
	for name, bound := range bounds() {
		for _, bounded := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " ", bounded), func(t *testing.T) {
				reads, writes := confined("api.example.com", 443, "GET", ""), confined("api.example.com", 443, "POST", "")
				reads.Private, writes.Private = name == "public", name == "public"
				if bounded {
					bound(&writes)
				}
				w := newSecureWorld(t, belljar.Network{Rules: []belljar.NetRule{reads, writes}})
				var opened atomic.Int32
				w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, _ *http.Request) {
					c, _, err := http.NewResponseController(rw).Hijack()
					if err != nil {
						return
					}
					defer c.Close()
					opened.Add(1)
					_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"+strings.Repeat("x", 600))
				})
				c, err := w.tls("api.example.com", 443, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n")
				_ = c.SetReadDeadline(time.Now().Add(hangs))
				head := make([]byte, 12)
				if _, err := io.ReadFull(c, head); err != nil {
					t.Fatal(err)
				}
				want := "HTTP/1.1 101"
				if bounded {
					want = "HTTP/1.1 403"
				}
				if string(head) != want || bounded == (opened.Load() > 0) {
					t.Errorf("%s, %d opened", head, opened.Load())
				}
			})
		}
	}
}

// TestNoQueryInPaths: a rule that judges queries, of any path, lets no request pass in whose
// path some servers find one.
func TestNoQueryInPaths(t *testing.T) {
	w := newSecureWorld(t, constrained(belljar.Constraint{Query: &belljar.QueryRule{Params: []belljar.Field{field("q", "ok")}}}))
	w.site("api.example.com", apiAddr, true, echo)
	for target, want := range map[string]string{
		"/s?q=ok": "200", "/s": "200", "/s%26q=no": "200", "/s?q=no": "403",
		"/s%3Fq=no": "403", "/s%3fq=no?q=ok": "403", "/s;q=no": "403", "/s%3Bq=no": "403", "/s%253Fq=no": "403", "/a%2Fs": "403", "/a%252Fs": "403",
	} {
		got := w.say("api.example.com", "GET "+target+" HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+want) {
			t.Errorf("%s: %.60q", target, got)
		}
	}
}
