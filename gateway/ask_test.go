package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/credential"
)

// A deskWorld is a world with somebody outside who answers.
type deskWorld struct {
	*secureWorld
	q *approval.Queue

	mu    sync.Mutex
	notes []approval.Note
	asked chan approval.Note // of new questions
}

func newDeskWorld(t *testing.T, n belljar.Network, change ...func(*Options)) *deskWorld {
	t.Helper()
	d := &deskWorld{asked: make(chan approval.Note, 256)}
	d.q = approval.New(approval.Options{
		Tell: func(n approval.Note) {
			d.mu.Lock()
			d.notes = append(d.notes, n)
			d.mu.Unlock()
			if n.State == approval.Open {
				d.asked <- n
			}
		},
		Grant: func(q approval.Question, _ approval.Scope) error {
			rule, err := d.g.RuleFor(q.Subject, q.Asker)
			if err != nil {
				return err
			}
			return d.g.Allow(rule)
		},
	})
	d.secureWorld = newSecureWorld(t, n, append([]func(*Options){func(o *Options) { o.Questions = d.q }}, change...)...)
	t.Cleanup(func() { _ = d.q.Close() })
	return d
}

// next is the next question.
func (d *deskWorld) next() approval.Question {
	d.t.Helper()
	select {
	case n := <-d.asked:
		return n.Question
	case <-time.After(hangs):
		d.t.Fatal("nothing was asked")
		return approval.Question{}
	}
}

func (d *deskWorld) answer(id string, a approval.Answer) {
	d.t.Helper()
	if _, _, err := d.q.Answer(id, a); err != nil {
		d.t.Fatalf("answer %s: %v", id, err)
	}
}

// answered is what a request in the background came to.
type answered struct {
	status int
	body   string
}

func (d *deskWorld) background(method, url string, h2 bool) chan answered {
	return d.requested(d.ctx, method, url, http.Header{}, h2)
}

// requested sends a request and waits for its answer in the background.
func (d *deskWorld) requested(ctx context.Context, method, url string, header http.Header, h2 bool) chan answered {
	c := make(chan answered, 1)
	client := d.agent(h2)
	go func() {
		req, err := http.NewRequestWithContext(ctx, method, url, nil)
		if err != nil {
			c <- answered{body: err.Error()}
			return
		}
		req.Header = header
		resp, err := client.Do(req)
		if err != nil {
			c <- answered{body: err.Error()}
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		c <- answered{resp.StatusCode, string(b)}
	}()
	return c
}

func asks(r belljar.NetRule) belljar.NetRule {
	r.Ask = true
	return r
}

// TestAskedRequests: what a rule asks about waits, over HTTP/1 and 2; once is once, for
// the sandbox is for exactly that request, and no other path or method passes by it.
func TestAskedRequests(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("h2=%v", h2), func(t *testing.T) {
			w := newDeskWorld(t, belljar.Network{Rules: []belljar.NetRule{
				confined("api.example.com", 443, "GET", ""), asks(confined("api.example.com", 443, "POST", "/v1/**")),
			}})
			w.site("api.example.com", apiAddr, true, echo)
			if status, _ := w.get(w.agent(h2), "https://api.example.com/free"); status != 200 {
				t.Errorf("what is free: %d", status)
			}
			a := w.background("POST", "https://api.example.com/v1/x", h2)
			q := w.next()
			if q.Method != "POST" || q.Path != "/v1/x" || q.Host != "api.example.com" || q.Port != 443 || q.Proposed {
				t.Errorf("%+v", q)
			}
			if len(a) != 0 {
				t.Error("it did not wait")
			}
			w.answer(q.ID, approval.Answer{Allow: true})
			if got := <-a; got.status != 200 || !strings.Contains(got.body, "POST api.example.com /v1/x") {
				t.Errorf("allowed once: %+v", got)
			}
			a = w.background("POST", "https://api.example.com/v1/x", h2)
			w.answer(w.next().ID, approval.Answer{Allow: true, Scope: approval.Sandbox})
			if got := <-a; got.status != 200 {
				t.Errorf("allowed for the sandbox: %+v", got)
			}
			if got := <-w.background("POST", "https://api.example.com/v1/x", h2); got.status != 200 {
				t.Errorf("it did not last: %+v", got)
			}
			a = w.background("POST", "https://api.example.com/v1/x/y", h2)
			w.answer(w.next().ID, approval.Answer{})
			if got := <-a; got.status != 403 || !strings.Contains(got.body, "denied") {
				t.Errorf("denied: %+v", got)
			}
			for _, not := range []string{"PUT /v1/x", "POST /v2", "POST /v1//x", "POST /v1/%2Fx"} {
				method, path, _ := strings.Cut(not, " ")
				if got := <-w.background(method, "https://api.example.com"+path, h2); got.status != 403 {
					t.Errorf("%s: %+v", not, got)
				}
			}
			if len(w.asked) != 0 {
				t.Errorf("asked about what no rule asks about: %+v", <-w.asked)
			}
		})
	}
}

// TestAskedConnections: raw TCP, the proxies and plain HTTP wait; a private address stays
// refused whatever is answered.
func TestAskedConnections(t *testing.T) {
	w := newDeskWorld(t, belljar.Network{Rules: []belljar.NetRule{
		asks(rule("db.example.com", 5432)), asks(rule("web.example.com", 80)), asks(rule("inner.example.com", 5432)),
		asks(belljar.NetRule{CIDR: netip.MustParsePrefix("93.184.216.0/24"), Ports: []uint16{7000}}),
	}})
	hello := func(c net.Conn) { _, _ = io.WriteString(c, "hello\n") }
	w.raw("db.example.com", "93.184.216.40:5432", hello)
	w.raw("", "93.184.216.41:7000", hello)
	w.raw("inner.example.com", "10.1.2.3:5432", hello)
	w.http("web.example.com", "93.184.216.42:80", false, echo)

	read := func(host string, port uint16) chan string {
		out := make(chan string, 1)
		c, err := w.dial(host, port)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer c.Close()
			b, err := io.ReadAll(c)
			out <- fmt.Sprintf("%s%v", b, err)
		}()
		return out
	}
	for _, c := range []struct {
		host  string
		port  uint16
		allow bool
		want  string
	}{
		{"db.example.com", 5432, true, "hello\n<nil>"},
		{"93.184.216.41", 7000, true, "hello\n<nil>"},
		{"inner.example.com", 5432, true, "reset"}, // the guard
		{"db.example.com", 5432, false, "reset"},
	} {
		got := read(c.host, c.port)
		q := w.next()
		if q.Host != c.host || q.Port != c.port || q.Method != "" || len(got) != 0 {
			t.Errorf("%+v", q)
		}
		w.answer(q.ID, approval.Answer{Allow: c.allow})
		if s := <-got; !strings.Contains(s, c.want) {
			t.Errorf("%s: %q", c.host, s)
		}
	}
	w.rec.wait(t, belljar.EventRefuse, "inner.example.com", "10.1.2.3")
	if dialled := strings.Join(w.dials(), " "); strings.Contains(dialled, "10.1.2.3") {
		t.Errorf("dialled a private address: %s", dialled)
	}
	for _, proxy := range []bool{false, true} {
		got := make(chan answered, 1)
		client := w.client(proxy)
		go func() {
			status, body := w.get(client, "http://web.example.com/x")
			got <- answered{status, body}
		}()
		w.answer(w.next().ID, approval.Answer{Allow: true})
		if a := <-got; a.status != 200 {
			t.Errorf("plain HTTP (proxy %v): %+v", proxy, a)
		}
	}
}

// TestNobodyAnswers: without a queue what asks is refused, and so it is at the end.
func TestNobodyAnswers(t *testing.T) {
	w := newSecureWorld(t, belljar.Network{Rules: []belljar.NetRule{asks(confined("api.example.com", 443, "GET", ""))}})
	w.site("api.example.com", apiAddr, true, echo)
	if status, body := w.get(w.agent(false), "https://api.example.com/x"); status != 403 || !strings.Contains(body, "nobody is there") {
		t.Errorf("%d %s", status, body)
	}
	d := newDeskWorld(t, belljar.Network{Rules: []belljar.NetRule{asks(confined("api.example.com", 443, "GET", ""))}})
	d.site("api.example.com", apiAddr, true, echo)
	a := d.background("GET", "https://api.example.com/x", true)
	id := d.next().ID
	_ = d.q.Close()
	if got := <-a; got.status == 200 {
		t.Errorf("it passed at the end: %+v", got)
	}
	if _, _, err := d.q.Answer(id, approval.Answer{Allow: true}); err == nil {
		t.Error("an answer after the end")
	}
}

// TestAllowAtOnce: rules that are added hold at once, for new names too, while requests
// pass; nothing wide can be added.
func TestAllowAtOnce(t *testing.T) {
	w := newDeskWorld(t, belljar.Network{Rules: []belljar.NetRule{confined("api.example.com", 443, "GET", "/a")}})
	w.site("api.example.com", apiAddr, true, echo)
	w.site("new.example.com", "93.184.216.50:443", true, echo)
	ctx, cancel := context.WithCancel(w.ctx)
	var wg sync.WaitGroup
	for range 4 {
		client := w.agent(true)
		wg.Go(func() {
			for ctx.Err() == nil {
				if status, _ := w.get(client, "https://api.example.com/a"); status != 200 {
					t.Errorf("what is allowed: %d", status)
				}
			}
		})
	}
	for i := range 40 {
		if err := w.g.Allow(confined("api.example.com", 443, "GET", fmt.Sprintf("/b%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.g.Allow(confined("new.example.com", 443, "GET", "/only")); err != nil {
		t.Fatal(err)
	}
	cancel()
	wg.Wait()
	for path, want := range map[string]int{"api.example.com/b39": 200, "api.example.com/b40": 403, "new.example.com/only": 200, "new.example.com/other": 403} {
		if status, body := w.get(w.agent(true), "https://"+path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	two := rule("x.example.com", 1, 2)
	for _, r := range []belljar.NetRule{rule("*.example.com", 443), two, rule(belljar.Localhost, 80), {CIDR: netip.MustParsePrefix("0.0.0.0/0"), Ports: []uint16{1}}} {
		if err := w.g.Allow(r); err == nil {
			t.Errorf("added %+v", r)
		}
	}
	service := asks(confined(belljar.Localhost, 9000, "GET", ""))
	service.Private = false
	l := newDeskWorld(t, belljar.Network{Rules: []belljar.NetRule{service, asks(belljar.NetRule{Host: "in.example.com", Ports: []uint16{22}, Private: true})}})
	for s, want := range map[approval.Subject]string{
		{Host: belljar.Localhost, Port: 9000, Method: "GET", Path: "/x"}: "", {Host: belljar.Localhost, Port: 9000}: "policy only",
		{Host: belljar.Localhost, Port: 9001}: "policy only", {Host: belljar.Localhost, Port: 9000, Method: "PUT", Path: "/x"}: "policy only",
		{Host: "in.example.com", Port: 22}: "",
	} {
		var by approval.Asker
		if d := l.g.current().Decide(netRequest(s)); d.Ask {
			by = approval.AskedBy(d.Rule)
		}
		r, err := l.g.RuleFor(s, by)
		if err == nil {
			err = l.g.Allow(r)
		}
		if (err == nil) != (want == "") || r.Private != (s.Port == 22) {
			t.Errorf("%+v: %+v %v", s, r, err)
		}
	}
	var err error
	for i := 0; err == nil && i <= MaxGranted; i++ {
		err = w.g.Allow(rule("api.example.com", uint16(1000+i)))
	}
	if err == nil || len(w.g.current().Rules) != 1+MaxGranted {
		t.Errorf("no bound: %v, %d rules", err, len(w.g.current().Rules))
	}
}

// TestNoKeyBeforeTheAnswer: the source of a credential is looked at once its request is
// allowed, not while somebody is asked about it: here it has no value before.
func TestNoKeyBeforeTheAnswer(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "key")
		creds, keys, err := credential.Make(t.Context(), []belljar.Credential{{
			Name: "API_KEY", From: belljar.CredentialSource{File: file}, Form: belljar.FormHeader, Header: "X-Api-Key",
			Hosts: []belljar.BoundHost{{Host: "api.example.com", Port: 443}},
		}}, credential.Host{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = keys.Close() })
		w := newDeskWorld(t, belljar.Network{Credentials: creds, Rules: []belljar.NetRule{asks(confined("api.example.com", 443, "GET", ""))}}, func(o *Options) { o.Keys = keys })
		w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, r.Header.Get("X-Api-Key") == realKey)
		})
		ask := func(path string) chan answered {
			c := make(chan answered, 1)
			go func() {
				status, _, body := w.ask(h2, "GET", "https://api.example.com"+path, "", "X-Api-Key", creds[0].StandIn)
				c <- answered{status, body}
			}()
			return c
		}
		a := ask("/early")
		w.answer(w.next().ID, approval.Answer{Allow: true})
		if got := <-a; got.status != 503 || !strings.Contains(got.body, "has no value now") {
			t.Errorf("without a value: %+v", got)
		}
		<-time.After(1100 * time.Millisecond) // a file is looked at once a second
		a = ask("/denied")
		q := w.next()
		if err := os.WriteFile(file, []byte(realKey), 0o600); err != nil {
			t.Fatal(err)
		}
		w.answer(q.ID, approval.Answer{})
		if got := <-a; got.status != 403 {
			t.Errorf("denied: %+v", got)
		}
		a = ask("/allowed") // the first look
		w.answer(w.next().ID, approval.Answer{Allow: true})
		if got := <-a; got.status != 200 || got.body != "true" {
			t.Errorf("allowed: %+v", got)
		}
		if e := w.rec.wait(t, belljar.EventRequest); e.Credential != "API_KEY" {
			t.Errorf("%+v", e)
		}
		// What no answer makes right is refused before anybody is asked.
		if status, _, body := w.ask(h2, "GET", "https://api.example.com/foreign", "", "X-Api-Key", "sk-live-of-somebody-else-123456"); status != 403 || !strings.Contains(body, "not yours") {
			t.Errorf("another key: %d %s", status, body)
		}
	}
}

// answerFor allows for the sandbox.
func (d *deskWorld) answerFor(id string) {
	d.t.Helper()
	d.answer(id, approval.Answer{Allow: true, Scope: approval.Sandbox})
}
