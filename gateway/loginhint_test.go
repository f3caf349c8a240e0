package gateway

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/miekg/dns"
)

// TestLoginInside: an agent that wants to log in inside is told where its user does that, by
// DNS, on the page and on record; others are told what would allow their host.
func TestLoginInside(t *testing.T) {
	w := newWorld(t, belljar.Network{Rules: []belljar.NetRule{rule("api.anthropic.com", 443)}})
	for host, want := range map[string]string{
		"platform.claude.com":   "claude auth login",
		"console.anthropic.com": "claude auth login",
		"auth.openai.com":       "codex login",
		"oauth2.googleapis.com": "GEMINI_API_KEY",
	} {
		if m := w.lookup(host, dns.TypeA); len(m.Answer) > 0 {
			t.Errorf("%s: %v", host, m)
		}
		if e := w.rec.wait(t, belljar.EventRefuse, host, want); !strings.Contains(e.Reason, "outside") && host != "oauth2.googleapis.com" {
			t.Errorf("%s: %+v", host, e)
		}
		if _, page := w.get(w.client(true), "http://policy.belljar/?host="+host); !strings.Contains(page, want) {
			t.Errorf("%s: %s", host, page)
		}
	}
	for _, host := range []string{"example.org", "storage.googleapis.com"} {
		w.lookup(host, dns.TypeA)
		if e := w.rec.wait(t, belljar.EventRefuse, host); strings.Contains(e.Reason, "log") {
			t.Errorf("%s: %+v", host, e)
		}
	}
}
