package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/llm"
)

// models are entries for api.example.com, each changed by one of changes.
func models(changes ...func(*belljar.LLMRule)) belljar.Network {
	n := belljar.Network{Rules: []belljar.NetRule{rule("api.example.com", 443, 80)}}
	for _, change := range changes {
		l := belljar.LLMRule{BoundHost: belljar.BoundHost{Host: "api.example.com", Port: 443}, API: belljar.LLMAnthropic}
		change(&l)
		n.LLM = append(n.LLM, l)
	}
	return n
}

func plain(*belljar.LLMRule) {}

const (
	call   = `{"model":"claude-x","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`
	stream = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n"
	done   = "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":40}}\n\n"
	asJSON = "application/json"
)

// modelSite answers calls with a stream.
func (w *secureWorld) modelSite(h2 bool) *atomic.Int64 {
	var n atomic.Int64
	w.site("api.example.com", apiAddr, h2, func(rw http.ResponseWriter, r *http.Request) {
		n.Add(1)
		b, _ := io.ReadAll(r.Body)
		rw.Header().Set("X-Got", r.Header.Get("Content-Type")+" "+fmt.Sprint(r.ContentLength)+" "+r.URL.RequestURI())
		if !strings.HasPrefix(r.URL.Path, "/v1/messages") {
			return
		}
		rw.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(rw, ": %s\n\n%s%s", b, stream, done)
	})
	return &n
}

// TestModelsAreCounted: a call arrives as it was sent, its answer as it came, and what it
// used is told.
func TestModelsAreCounted(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, models(plain))
		w.modelSite(outer)
		status, h, body := w.ask(inner, "POST", "https://api.example.com/v1/messages?beta=true", call, "Content-Type", asJSON)
		if status != 200 || body != ": "+call+"\n\n"+stream+done || h.Get("X-Got") != fmt.Sprintf("%s %d /v1/messages?beta=true", asJSON, len(call)) {
			t.Fatalf("%d %v %q", status, h, body)
		}
		e := w.rec.wait(t, belljar.EventRequest)
		if e.LLM == nil || *e.LLM != (belljar.LLMSpent{Model: "claude-x", Input: 10, Output: 40}) {
			t.Errorf("%+v", e.LLM)
		}
		if s := w.g.Summary(); s.Calls != 1 || s.Models.Total() != 50 {
			t.Errorf("%+v", s)
		}
		w.noneHeld()
	})
}

// TestOtherPathsOfModels: beside the API a rule with paths is needed, by any spelling and
// on any port; approving what was refused holds at once.
func TestOtherPathsOfModels(t *testing.T) {
	w := newSecureWorld(t, models(plain))
	n := w.modelSite(true)
	w.http("", "93.184.216.34:80", false, echo)
	for _, c := range []struct{ method, url string }{
		{"GET", "https://api.example.com/api/settings"}, {"POST", "https://api.example.com/v1/files"}, {"GET", "https://api.example.com/v1/files/f/content"},
		{"POST", "https://api.example.com/v1//messages"}, {"POST", "https://api.example.com/v1%2Fmessages"}, {"POST", "https://api.example.com/v1/messages/batches"},
		{"POST", "https://api.example.com/v1/Messages"}, {"POST", "https://api.example.com/v1/messages/"}, {"PUT", "https://api.example.com/v1/messages"},
		{"POST", "https://api.example.com/v1/messages%3Fx"}, {"POST", "https://api.example.com/v1/messages;x"}, {"GET", "https://api.example.com/v1/models/a%2fb"},
		{"POST", "http://api.example.com/v1/files"},
	} {
		if status, _, body := w.ask(false, c.method, c.url, call, "Content-Type", asJSON); status != 403 {
			t.Errorf("%s %s: %d %s", c.method, c.url, status, body)
		}
	}
	if status, _, body := w.ask(true, "POST", "https://api.example.com/v1/messages", call, "Content-Type", asJSON, "X-HTTP-Method-Override", "GET"); status != 403 || !strings.Contains(body, "another method") {
		t.Errorf("%d %s", status, body)
	}
	if status, _, body := w.ask(true, "POST", "https://api.example.com/v1/messages?%24httpMethod=GET", call, "Content-Type", asJSON); status != 403 {
		t.Errorf("%d %s", status, body)
	}
	_, _, body := w.ask(true, "GET", "https://api.example.com/api/settings", "")
	if !strings.Contains(body, "the policy allows the API of its models") || !strings.Contains(body, `paths: ["/api/settings"]`) {
		t.Error(body)
	}
	if got := n.Load(); got != 0 {
		t.Errorf("%d requests arrived", got)
	}
	if err := w.g.Allow(confined("api.example.com", 443, "GET", "/api/settings")); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]int{"/api/settings": 200, "/api/other": 403, "/v1/models": 200} {
		if status, _, body := w.ask(true, "GET", "https://api.example.com"+url, ""); status != want {
			t.Errorf("%s: %d %s", url, status, body)
		}
	}
}

// TestJudgedCallsAreNotSent: what is refused is answered in the API's form, and nothing of
// it arrives.
func TestJudgedCallsAreNotSent(t *testing.T) {
	each(t, func(t *testing.T, inner, _ bool) {
		w := newSecureWorld(t, models(func(l *belljar.LLMRule) { l.Models = []string{"claude-*"} }, plain))
		n := w.modelSite(true)
		big := `{"model":"claude-x","x":"` + strings.Repeat("x", llm.MaxBody) + `"}`
		for _, c := range []struct {
			body   string
			status int
			says   string
			header []string
		}{
			{`{"model":"gpt-x"}`, 403, `"permission_error"`, nil},
			{`{"model":"gpt-x"}`, 403, `To allow it: llm: [{host: \"api.example.com\", api: anthropic, models: [gpt-x]}]`, nil},
			{`{"model":"claude-x","tools":[{"type":"web_search_1"}]}`, 403, "fetch: allow", nil},
			{`{"model":"claude-x","model":"gpt-x"}`, 400, "twice", nil},
			{`{"model":"claude-x","MODEL":"gpt-x"}`, 400, "takes for one", nil},
			{"\xef\xbb\xbf" + call, 400, "byte order mark", nil},
			{call + call, 400, "follows", nil},
			{"", 400, "without its body", nil},
			{call, 400, "encoded", []string{"Content-Encoding", "br"}},
			{call, 400, "encoded", []string{"Content-Encoding", "identity"}},
			{call, 400, "application/json", []string{"Content-Type", "application/x-protobuf"}},
			{call, 400, "application/json", []string{"Content-Type", "application/json; charset=utf-16"}},
			{call, 400, "application/json", []string{"Content-Type", "application/json", "Content-Type", "text/plain"}},
			{big, 413, "32 MiB", nil},
		} {
			h := c.header
			if len(h) == 0 || h[0] != "Content-Type" {
				h = append([]string{"Content-Type", asJSON}, h...)
			}
			status, got, body := w.ask(inner, "POST", "https://api.example.com/v1/messages", c.body, h...)
			if status == 0 && len(c.body) > 1<<20 {
				continue // it was answered before all of it was sent, which this client takes for an error
			}
			if status != c.status || !strings.Contains(strings.ReplaceAll(body, "take for one", "takes for one"), c.says) || got.Get("Content-Type") != asJSON || !strings.HasPrefix(body, `{"error":{"message":"belljar: api.example.com: `) {
				t.Errorf("%.60q %v: %d %v %q", c.body, c.header, status, got, body)
			}
		}
		if got := n.Load(); got != 0 {
			t.Errorf("%d requests arrived", got)
		}
		if s := w.g.Summary(); s.Calls != 0 {
			t.Errorf("%+v", s)
		}
		w.noneHeld()
	})
}

// TestEveryCallOfAConnectionIsJudged: pipelined, in chunks, with trailers.
func TestEveryCallOfAConnectionIsJudged(t *testing.T) {
	w := newSecureWorld(t, models(func(l *belljar.LLMRule) { l.Models = []string{"claude-*"} }))
	n := w.modelSite(false)
	head := "POST /v1/messages HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: application/json\r\n"
	chunked := func(body, trailer string) string {
		s := head + "Transfer-Encoding: chunked\r\n"
		if trailer != "" {
			s += "Trailer: X-Sum\r\n"
		}
		s += "\r\n"
		for _, c := range body {
			s += "1\r\n" + string(c) + "\r\n"
		}
		return s + "0\r\n" + trailer + "\r\n"
	}
	other := strings.Replace(call, "claude-x", "gpt-x", 1)
	got := w.say("api.example.com", chunked(call, "")+chunked(other, "")+chunked(call, ""))
	if strings.Count(got, "HTTP/1.1 200") != 1 || strings.Count(got, "HTTP/1.1 403") != 1 || n.Load() != 1 {
		t.Errorf("%d arrived: %q", n.Load(), got)
	}
	if got := w.say("api.example.com", chunked(call, "X-Sum: 1\r\n")); !strings.Contains(got, "HTTP/1.1 400") || n.Load() != 1 {
		t.Errorf("%d arrived: %q", n.Load(), got)
	}
	upgrade := "GET /v1/responses HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"
	if got := w.say("api.example.com", upgrade); !strings.Contains(got, "HTTP/1.1 403") {
		t.Errorf("%q", got)
	}
}

// TestBudgetWithManyCalls: calls at once hold what they may come to; what is left of one
// that breaks off is charged.
func TestBudgetWithManyCalls(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		var lines []string
		var mu sync.Mutex
		w := newSecureWorld(t, models(func(l *belljar.LLMRule) { l.Tokens = 400 }), func(o *Options) {
			o.Notice = func(l string) { mu.Lock(); defer mu.Unlock(); lines = append(lines, l) }
		})
		began, goOn := make(chan bool), make(chan bool)
		w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			rw.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(rw, stream)
			_ = http.NewResponseController(rw).Flush()
			began <- true
			select {
			case <-goOn:
				_, _ = io.WriteString(rw, done)
			case <-r.Context().Done():
			}
		})
		type answer struct {
			status int
			body   string
		}
		answers := make(chan answer, 16)
		ask := func() {
			status, _, body := w.ask(inner, "POST", "https://api.example.com/v1/messages", call, "Content-Type", asJSON)
			answers <- answer{status, body}
		}
		for range 10 { // each may come to 100 and a third of its bytes: three fit
			go ask()
		}
		for range 3 {
			<-began
		}
		for range 7 {
			if a := <-answers; a.status != 429 || !strings.Contains(a.body, `"rate_limit_error"`) {
				t.Errorf("%+v", a)
			}
		}
		for range 3 {
			goOn <- true
		}
		for range 3 {
			if a := <-answers; a.status != 200 {
				t.Errorf("%+v", a)
			}
		}
		if s := w.g.Summary().Models; s.Total() != 150 || s.Estimated {
			t.Errorf("%+v", s)
		}
		for i := range 2 { // each breaks off
			ctx, cancel := context.WithCancel(w.ctx)
			req, _ := http.NewRequestWithContext(ctx, "POST", "https://api.example.com/v1/messages", strings.NewReader(call))
			req.Header.Set("Content-Type", asJSON)
			resp, err := w.agent(inner).Do(req)
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err) // else nobody began
			}
			<-began
			if first, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
				t.Fatal(first, err) // what was not read by then is charged by what time allows
			}
			cancel()
			_ = resp.Body.Close()
			deadline := time.Now().Add(hangs)
			for w.g.Summary().Calls != int64(4+i) && time.Now().Before(deadline) {
				select {
				case <-w.rec.more:
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
		s := w.g.Summary().Models
		if s.Total() < 350 || s.Total() > 400 || !s.Estimated {
			t.Errorf("%+v", s)
		}
		ask()
		if a := <-answers; a.status != 402 || !strings.Contains(a.body, `"billing_error"`) || !strings.Contains(a.body, "of 400 are spent") {
			t.Errorf("%+v", a)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(lines) != 1 || !strings.Contains(lines[0], "80 % of the budget for api.example.com") {
			t.Errorf("%q", lines)
		}
	})
}

// TestCallThatIsNotSent: a server that is not there uses nothing.
func TestCallThatIsNotSent(t *testing.T) {
	w := newSecureWorld(t, models(func(l *belljar.LLMRule) { l.Requests = 1 }))
	w.named("api.example.com", "93.184.216.34")
	for range 3 {
		if status, _, body := w.ask(true, "POST", "https://api.example.com/v1/messages", call, "Content-Type", asJSON); status != 502 {
			t.Errorf("%d %s", status, body)
		}
	}
	w.modelSite(true)
	for _, want := range []int{200, 402} {
		if status, _, body := w.ask(true, "POST", "https://api.example.com/v1/messages", call, "Content-Type", asJSON); status != want {
			t.Errorf("%d %s", status, body)
		}
	}
}

// TestSteeredCall: once little is left the model is told, in a request of the right length.
func TestSteeredCall(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, models(func(l *belljar.LLMRule) { l.Requests, l.Steer = 1, true }, func(l *belljar.LLMRule) { l.Tokens = 10000 }))
		w.modelSite(outer)
		status, h, body := w.ask(inner, "POST", "https://api.example.com/v1/messages", call, "Content-Type", asJSON)
		if status != 200 || !strings.Contains(body, `: {"system":[{"type":"text","text":"Note from the sandbox`) || strings.HasPrefix(h.Get("X-Got"), fmt.Sprintf("%s %d", asJSON, len(call))) {
			t.Errorf("%d %v %s", status, h, body)
		}
	})
}

// TestEndpointOfModels: http://llm.belljar/API is the host of the models, judged as it is.
func TestEndpointOfModels(t *testing.T) {
	w, standIn := newKeyWorldOf(t, models(func(l *belljar.LLMRule) { l.Endpoint, l.Models = true, []string{"claude-*"} }).LLM)
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "%s %s %s %v", r.Host, r.URL.RequestURI(), r.Header.Get("X-Api-Key"), r.TLS != nil)
	})
	for _, proxy := range []bool{false, true} {
		post := func(path, body string) (int, string) {
			req, _ := http.NewRequestWithContext(w.ctx, "POST", "http://llm.belljar"+path, strings.NewReader(body))
			req.Header.Set("Content-Type", asJSON)
			req.Header.Set("X-Api-Key", standIn)
			resp, err := w.client(proxy).Do(req)
			if err != nil {
				return 0, err.Error()
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, string(b)
		}
		if status, body := post("/anthropic/v1/messages?beta=true", call); status != 200 || strings.Contains(body, realKey) || !strings.HasPrefix(body, "api.example.com /v1/messages?beta=true ") || !strings.HasSuffix(body, " true") {
			t.Errorf("%v: %d %s", proxy, status, body)
		}
		for path, want := range map[string]int{
			"/anthropic/v1/files": 403, "/anthropic/api/x": 403, "/anthropic/../v1/messages": 403, "/openai/v1/responses": 404, "/v1/messages": 404,
			"/anthropic//v1/messages": 403, "/anthropic/http://evil/v1/messages": 403,
		} {
			if status, body := post(path, call); status != want {
				t.Errorf("%v: %s: %d %s", proxy, path, status, body)
			}
		}
		if status, body := post("/anthropic/v1/messages", `{"model":"other"}`); status != 403 || !strings.Contains(body, "permission_error") {
			t.Errorf("%v: %d %s", proxy, status, body)
		}
		_, page := w.get(w.client(proxy), "http://policy.belljar/")
		if !strings.Contains(page, "api.example.com: anthropic, claude-*; the provider fetches nothing; also at http://llm.belljar/anthropic") || !strings.Contains(page, "spent: this sandbox: ") {
			t.Errorf("%v: %s", proxy, page)
		}
	}
	if e := w.rec.wait(t, belljar.EventRequest, "api.example.com"); e.Credential != "API_KEY" || e.Proto != "https" {
		t.Errorf("%+v", e)
	}
}

// TestNoEndpoint: without one the name does not exist.
func TestNoEndpoint(t *testing.T) {
	w := newSecureWorld(t, models(plain))
	if m := w.lookup("llm.belljar", 1); len(m.Answer) != 0 {
		t.Error(m)
	}
}

// TestManyLargeCalls: what is held of all calls together is bounded; more may come later.
func TestManyLargeCalls(t *testing.T) {
	w := newSecureWorld(t, models(plain))
	w.modelSite(true)
	w.g.bodies.Add(llmMemory)
	status, _, body := w.ask(true, "POST", "https://api.example.com/v1/messages", call, "Content-Type", asJSON)
	if status != 429 || !strings.Contains(body, "rate_limit_error") {
		t.Errorf("%d %s", status, body)
	}
	w.g.bodies.Add(-llmMemory)
	large := strings.Replace(call, `"hi"`, `"`+strings.Repeat("x", 20<<20)+`"`, 1)
	if status, _, _ := w.ask(true, "POST", "https://api.example.com/v1/messages", large, "Content-Type", asJSON); status != 200 {
		t.Errorf("%d", status)
	}
	w.noneHeld()
}
