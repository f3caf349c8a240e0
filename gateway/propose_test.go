package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/miekg/dns"
)

const policyURL = "http://" + belljar.PolicyHost + "/"

// post proposes by a form and returns status and text.
func (d *deskWorld) post(fields ...string) (int, string) {
	d.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	resp, err := d.client(false).PostForm(policyURL, form)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// TestProposalLoop: a refusal names the page, the page takes a proposal for exactly what
// was refused, and once it is approved the request passes, without a new connection to
// the sandbox or a new start.
func TestProposalLoop(t *testing.T) {
	w := newDeskWorld(t, belljar.Network{Rules: []belljar.NetRule{confined("api.example.com", 443, "GET", "/v1/**")}})
	w.site("api.example.com", apiAddr, true, echo)
	w.site("new.example.com", "93.184.216.60:443", true, echo)
	client := w.agent(true)
	status, body := w.get(client, "https://api.example.com/v2/it's?token=secret")
	if status != 403 || !strings.Contains(body, "curl -sS -d host=api.example.com -d method=GET --data-urlencode 'path=/v2/it'\\''s'") || strings.Contains(body, "secret") {
		t.Errorf("%d %s", status, body)
	}
	if _, page := w.get(w.client(false), policyURL); !strings.Contains(page, "path=/v2/it'\\''s'") {
		t.Errorf("the page: %s", page)
	}
	for _, wider := range [][]string{
		{"host", "api.example.com"},
		{"host", "api.example.com", "method", "POST", "path", "/v2/it's"},
		{"host", "api.example.com", "method", "GET", "path", "/v2/its"},
		{"host", "api.example.com", "method", "GET", "path", "/v2/**"},
		{"host", "api.example.com", "method", "GET", "path", "/v2"},
		{"host", "api.example.com:8443", "method", "GET", "path", "/v2/it's"},
		{"host", "other.example.com", "method", "GET", "path", "/v2/it's"},
		{"host", "*.example.com", "method", "GET", "path", "/v2/it's"},
		{"host", "169.254.169.254", "method", "GET", "path", "/"},
		{"host", "localhost:8080"},
		{"host", "api.example.com", "method", "GET", "path", "/v2/x/../it's"},
		{"host", "api.example.com", "method", "GET", "method", "GET", "path", "/v2/it's"},
		{"host", "api.example.com", "method", "GET"},
		{"host", "äpi.example.com", "method", "GET", "path", "/v2/it's"},
		{"rule", "api.example.com"},
	} {
		if status, text := w.post(wider...); status < 400 || len(w.q.List()) != 0 {
			t.Errorf("%q: %d %s", wider, status, text)
		}
	}
	// The spelling does not matter: it is the same host and path.
	status, text := w.post("host", "API.example.COM.", "method", "GET", "path", "/v2/%69t's?x=1", "why", "\x1b[31mred\u202e\x00 "+strings.Repeat("y", 5000))
	q := w.next()
	if status != 202 || q.Host != "api.example.com" || q.Path != "/v2/it's" || !q.Proposed || !strings.Contains(text, "question "+q.ID) {
		t.Errorf("%d %s %+v", status, text, q)
	}
	if strings.ContainsFunc(q.Note, func(r rune) bool { return !unicode.IsPrint(r) }) || utf8.RuneCountInString(q.Note) > maxNote+1 {
		t.Errorf("note %q", q.Note)
	}
	if _, text := w.post("host", "api.example.com", "method", "GET", "path", "/v2/it's"); !strings.Contains(text, "question "+q.ID) {
		t.Errorf("not joined: %s", text)
	}
	heard := make(chan string, 1)
	waiting := w.client(false)
	go func() {
		_, s := w.get(waiting, policyURL+q.ID+"?wait")
		heard <- s
	}()
	w.answer(q.ID, approval.Answer{Allow: true})
	if s := <-heard; !strings.Contains(s, "allowed") {
		t.Errorf("heard %s", s)
	}
	if status, body := w.get(client, "https://api.example.com/v2/it's?y"); status != 200 {
		t.Errorf("approved, but: %d %s", status, body)
	}
	if status, _ := w.get(client, "https://api.example.com/v2/its"); status != 403 {
		t.Errorf("a sibling passes: %d", status)
	}
	// A name that no rule knew: it is not there, until a proposal for one request.
	if m := w.lookup("new.example.com", dns.TypeA); len(m.Answer) != 0 {
		t.Error("it is there")
	}
	status, _ = w.post("host", "new.example.com", "method", "GET", "path", "/a")
	if status != 202 {
		t.Fatal(status)
	}
	w.answer(w.next().ID, approval.Answer{Allow: true})
	for path, want := range map[string]int{"/a": 200, "/b": 403} {
		if status, body := w.get(client, "https://new.example.com"+path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestProposalJSON: the page speaks JSON.
func TestProposalJSON(t *testing.T) {
	w := newDeskWorld(t, apiNetwork())
	w.lookup("tried.example.net", dns.TypeA)
	do := func(method, path, body string) (int, Progress, string) {
		req, err := http.NewRequestWithContext(w.ctx, method, policyURL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json")
		resp, err := w.client(false).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		var p Progress
		_ = json.Unmarshal(b, &p)
		return resp.StatusCode, p, string(b)
	}
	status, p, _ := do("POST", "", `{"host":"tried.example.net","port":8443,"why":"build"}`)
	if status != 202 || p.ID != "1" || p.State != approval.Open {
		t.Errorf("%d %+v", status, p)
	}
	if status, p, _ = do("GET", "1", ""); status != 200 || p.State != approval.Open || p.What != "connections to tried.example.net port 8443" {
		t.Errorf("%d %+v", status, p)
	}
	w.answer("1", approval.Answer{})
	if status, p, _ = do("POST", "", `{"host":"tried.example.net","port":8443}`); status != 403 || p.State != approval.Denied {
		t.Errorf("%d %+v", status, p)
	}
	if _, _, s := do("GET", "", ""); !strings.Contains(s, `"proposable":[{"host":"tried.example.net"}]`) {
		t.Error(s)
	}
	for _, bad := range []string{"", "{", `{"host":1}`, `{"hosts":["a"]}`, `[]`, `{"host":"tried.example.net","port":70000}`, strings.Repeat(" ", maxProposal+1)} {
		if status, _, s := do("POST", "", bad); status != 400 {
			t.Errorf("%.20q: %d %s", bad, status, s)
		}
	}
	if status, _, _ := do("GET", "99999999999999999999999", ""); status != 404 {
		t.Error(status)
	}
}

// TestProposalGuard: an approved name that leads to a private address or a metadata
// service stays refused, and such a name is never dialled.
func TestProposalGuard(t *testing.T) {
	w := newDeskWorld(t, belljar.Network{})
	w.named("metadata.google.internal", "169.254.169.254")
	w.named("intranet.example.com", "10.9.8.7")
	for _, name := range []string{"metadata.google.internal", "intranet.example.com"} {
		w.lookup(name, dns.TypeA)
		if status, text := w.post("host", name+":80"); status != 202 {
			t.Fatalf("%d %s", status, text)
		}
		w.answer(w.next().ID, approval.Answer{Allow: true, Scope: approval.Always})
		if status, body := w.get(w.client(false), "http://"+name+"/"); status != 403 && status != 0 {
			t.Errorf("%s: %d %s", name, status, body)
		}
		// What the guard refuses is not proposed.
		if status, text := w.post("host", name+":80"); status != 200 || !strings.Contains(text, "allowed") {
			t.Errorf("%d %s", status, text)
		}
	}
	if d := w.dials(); len(d) != 0 {
		t.Errorf("dialled %q", d)
	}
}

// TestProposalBlind: a sandbox that ends no TLS proposes what was tried, a connection.
func TestProposalBlind(t *testing.T) {
	w := newDeskWorld(t, belljar.Network{}, func(o *Options) { o.Authority = nil })
	w.site("new.example.com", "93.184.216.60:443", true, echo)
	w.lookup("new.example.com", dns.TypeA)
	status, text := w.post("host", "new.example.com", "method", "GET", "path", "/a")
	q := w.next()
	if status != 202 || q.Method != "" || !strings.Contains(text, "connections to new.example.com port 443") {
		t.Errorf("%d %s %+v", status, text, q)
	}
	w.answer(q.ID, approval.Answer{Allow: true})
	if c, err := w.dial("new.example.com", 443); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
}

// TestProposalFlood: a flood of tries and proposals stays bounded, and others still ask.
func TestProposalFlood(t *testing.T) {
	w := newDeskWorld(t, belljar.Network{Rules: []belljar.NetRule{asks(rule("db.example.com", 5432))}})
	h := &page{g: w.g}
	full := 0
	for i := range 2000 {
		name := fmt.Sprintf("h%d.example.net", i)
		w.g.rec.refuse(w.ctx, "dns", target{host: name}, w.g.current().Decide(belljar.NetRequest{Host: name}))
		req, _ := http.NewRequestWithContext(w.ctx, "POST", policyURL, strings.NewReader("host="+name+"&why="+strings.Repeat("x", 7000)))
		if h.propose(req).Status == http.StatusTooManyRequests {
			full++
		}
	}
	open := w.q.List()
	if len(open) != approval.MaxKind || full != 2000-approval.MaxKind || len(w.g.rec.tried.list) != maxTried {
		t.Errorf("%d open, %d refused, %d tried", len(open), full, len(w.g.rec.tried.list))
	}
	for range open {
		w.next()
	}
	c, err := w.dial("db.example.com", 5432)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if q := w.next(); q.Host != "db.example.com" {
		t.Errorf("%+v", q)
	}
}

// FuzzProposal: whatever is posted, what is proposed is one canonical host, port, method
// and path.
func FuzzProposal(f *testing.F) {
	for _, s := range []string{
		"host=a.example.com&method=GET&path=/x", `{"host":"a.example.com","port":1}`, "host=%00", "host=a&path=/%2e%2e/&method=GET",
		`{"host":"A.example.com.","method":"GET","path":"/a%20b","why":"\u001b"}`, "host=[::1]:80", "host=localhost", "path=/*&method=GET&host=x.y",
	} {
		f.Add([]byte(s), strings.HasPrefix(s, "{"))
	}
	f.Fuzz(func(t *testing.T, b []byte, isJSON bool) {
		p, err := parseProposal(b, isJSON)
		if err != nil {
			return
		}
		if n := note(p.Why); strings.ContainsFunc(n, func(r rune) bool { return !unicode.IsPrint(r) }) || utf8.RuneCountInString(n) > maxNote+1 {
			t.Errorf("note %q", n)
		}
		a, err := p.attempt()
		if err != nil {
			return
		}
		again, err := Proposal{Host: a.host, Port: a.port, Method: a.method, Path: a.path}.attempt()
		if err != nil || again != a || a.port == 0 || strings.Contains(a.path, "*") || a.host == "" || a.host == belljar.Localhost {
			t.Errorf("%+v: %+v %v", a, again, err)
		}
	})
}
