package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
)

// TestSetupEnds: what is allowed in setup is allowed until its end, seen where it is
// confined; then its connections end, streams under way too, and what was allowed by
// somebody meanwhile and what the policy allows stay.
func TestSetupEnds(t *testing.T) {
	n := belljar.Network{Rules: []belljar.NetRule{rule("always.example.com", 443)}, Setup: []belljar.NetRule{
		confined("packages.example.com", 443, "GET", "/pkg/**"), rule("*.mirror.example.com", 443),
	}}
	w := newSecureWorld(t, n)
	w.site("packages.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, "first\n")
		_ = http.NewResponseController(rw).Flush()
		if r.URL.Path == "/pkg/stream" {
			<-r.Context().Done()
		}
	})
	w.raw("a.mirror.example.com", "93.184.216.71:443", hang)
	w.raw("always.example.com", "93.184.216.72:443", hang)
	status := func(url string) int {
		resp, err := w.agent(true).Get(url)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if got := status("https://packages.example.com/pkg/a"); got != 200 {
		t.Error(got)
	}
	if got := status("https://packages.example.com/other"); got != 403 {
		t.Error("the rule confines nothing:", got)
	}
	if err := w.g.Allow(rule("added.example.com", 443)); err != nil {
		t.Fatal(err)
	}
	resp, err := w.agent(true).Get("https://packages.example.com/pkg/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := bufio.NewReader(resp.Body)
	if l, err := body.ReadString('\n'); err != nil || l != "first\n" {
		t.Fatal(l, err)
	}
	passed, err := w.dial("a.mirror.example.com", 443)
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()

	asks := func() approval.Asker { // answers hang on it
		rules := w.g.current().Rules
		return approval.AskedBy(&rules[slices.IndexFunc(rules, func(r belljar.NetRule) bool { return r.Host == "always.example.com" })])
	}
	before := asks()
	w.g.EndSetup()
	w.g.EndSetup()
	if asks() != before {
		t.Error("a rule is another one after setup")
	}
	if _, err := body.ReadString('\n'); err == nil || err == io.EOF {
		t.Error("a stream of setup went on or ended well:", err)
	}
	if _, err := passed.Read(make([]byte, 1)); err == nil {
		t.Error("a connection of setup is still there")
	}
	if a := w.lookup("packages.example.com", dns.TypeA); a.Rcode != dns.RcodeRefused {
		t.Error("the name is still answered:", a)
	}
	for host, want := range map[string]bool{
		"packages.example.com": false, "a.mirror.example.com": false, "always.example.com": true, "added.example.com": true,
	} {
		d := w.g.decide(target{host: host, port: 443})
		if d.Allow != want {
			t.Errorf("%s: %+v", host, d)
		}
	}
	for range MaxGranted - 1 {
		if err := w.g.Allow(rule("more.example.com", 443)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.g.Allow(rule("more.example.com", 443)); err == nil {
		t.Error("more rules than may be added")
	}
}

// hang reads until its peer leaves.
func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
