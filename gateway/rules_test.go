package gateway

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

func field(name string, values ...string) belljar.Field {
	return belljar.Field{Name: name, Values: values}
}

// constrained is a rule for api.example.com.
func constrained(c belljar.Constraint) belljar.Network {
	r := rule("api.example.com", 443)
	r.Constraint = c
	return belljar.Network{Rules: []belljar.NetRule{r}}
}

// TestQueriesAreJudged: a parameter that is not named, or has another value, in whatever
// spelling, does not arrive; what arrives is spelled as it was judged.
func TestQueriesAreJudged(t *testing.T) {
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, constrained(belljar.Constraint{Query: &belljar.QueryRule{Params: []belljar.Field{
			field("a[]", "*"), field("page", "*"), field("q", "pub*", "x&y"),
		}}}))
		w.site("api.example.com", apiAddr, outer, echo)
		c := w.agent(inner)
		for query, want := range map[string]string{
			"": "/s", "?": "/s", "?&&": "/s", "?page=1": "/s?page=1", "?page": "/s?page", "?%70age=1": "/s?page=1", "?q=public&q=pub": "/s?q=public&q=pub",
			"?q=x%26y": "/s?q=x%26y", "?q=pub+1": "/s?q=pub%201", "?a[]=1&a%5b%5d=2": "/s?a%5B%5D=1&a%5B%5D=2", "?page=%2B%2b": "/s?page=%2B%2B",
			"?page=1&&page=2&": "/s?page=1&page=2",
		} {
			if status, body := w.get(c, "https://api.example.com/s"+query); status != 200 || !strings.Contains(body, " GET api.example.com "+want+" ") {
				t.Errorf("%s: %d %s", query, status, body)
			}
		}
		for _, query := range []string{
			"?x=1", "?page=1&x=1", "?q=secret", "?q=pub&q=secret", "?q", "?q=", "?Q=pub", "?PAGE=1", "?page=1%26x=1%3B;x=1", "?page=1;x=1", "?page=1&=x", "?page=%",
			"?page=%00", "?page=%C0%AF", "?page=1%2526x%253D1", "?page%00=1", "?page%20=1", "?+page=1", "?a[0]=1", "?a=1", "?page[]=1", "?x", "?=", "?q=x&y",
			"?" + strings.Repeat("page=1&", 10_000), "?" + strings.Repeat("page=1&", 257), "?page=%u0041", "?page.x=1", "?%2570age=1", "?page=1&amp;x=1",
		} {
			if status, body := w.get(c, "https://api.example.com/s"+query); status != 403 && status != 431 && status != 0 || strings.Contains(body, "api.example.com /s?") {
				t.Errorf("%.60s: %d %s", query, status, body)
			}
		}
		if got := w.say("api.example.com", "GET /s?page=1#x=1 HTTP/1.1\r\nHost: api.example.com\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403") {
			t.Errorf("a fragment: %.80s", got)
		}
		_, body := w.get(c, "https://api.example.com/s?page=1&debug=1")
		for _, word := range []string{`the policy allows GET /s, but not the parameter "debug" in its query`, `query: {"page": "*", "debug": "*"}`, "parameters a[]=*"} {
			if !strings.Contains(body, word) {
				t.Errorf("%q is not in %s", word, body)
			}
		}
		if n := w.rec.wait(t, belljar.EventRefuse, "debug"); n.Status != 403 || n.Missing {
			t.Errorf("%+v", n)
		}
	})
}

// TestQueriesOfOtherRules: where no rule judges the query it is sent as it is.
func TestQueriesOfOtherRules(t *testing.T) {
	w := newSecureWorld(t, streamNetwork())
	w.site("api.example.com", apiAddr, true, echo)
	if _, body := w.get(w.agent(true), "https://api.example.com/v1/s?a=1;b&&%u=+"); !strings.Contains(body, " /v1/s?a=1;b&&%u=+ ") {
		t.Error(body)
	}
}

// TestHeadersAreJudged: in every way in which a server might find a header.
func TestHeadersAreJudged(t *testing.T) {
	w := newSecureWorld(t, constrained(belljar.Constraint{Headers: []belljar.Field{
		field("Accept", "application/*"), field("X-Debug", ""), field("X-Version", "", "2022-*"),
	}}))
	w.site("api.example.com", apiAddr, true, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(rw, "arrived %q %q %q %v", r.Header["Accept"], r.Header["X-Version"], r.Header["X-Debug"], r.Trailer)
	})
	for _, c := range []struct {
		head string
		ok   bool
	}{
		{"Accept: application/json", true},
		{"accept:application/json\t", true},
		{"Accept: application/json\r\nX-Version: 2022-01", true},
		{"Accept: application/json\r\nX-Debug:", true},
		{"Accept: application/json\r\nTrailer: X-Other\r\nTransfer-Encoding: chunked", true},
		{"X-Version: 2022-01", false},
		{"Accept: text/html", false},
		{"Accept: application/json\r\nX-Version: 2023", false},
		{"Accept: application/json\r\nX-Debug: 1", false},
		{"Accept: application/json\r\nAccept: application/xml", false},
		{"Accept: application/json\r\naccept: text/html", false},
		{"Accept: application/json\r\nX_Version: 2023", false},
		{"Accept: application/json\r\nx-version_: 2023", false},
		{"Accept: application/json\r\nX.Debug: 1", false},
		{"Accept: application/json\r\nXDebug: 1", false},
		{"Accept: application/json\r\n X-Debug: 1", false},
		{"Accept: application/json\r\nX-Debug : 1", false},
		{"Accept: application/json\r\nX-Version: 2022-01\r\n\t, 2023", false},
		{"Accept: application/json\r\nConnection: Accept", false},
		{"Accept: application/json\r\nTrailer: X-Debug\r\nTransfer-Encoding: chunked", false},
		{"Accept: application/json\r\nTrailer: x_debug\r\nTransfer-Encoding: chunked", false},
	} {
		body := "\r\n"
		if strings.Contains(c.head, "chunked") {
			body = "\r\n0\r\nX-Debug: 1\r\nX_Debug: 1\r\n\r\n"
		}
		got := w.say("api.example.com", "POST / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"+c.head+"\r\n"+body)
		if strings.HasPrefix(got, "HTTP/1.1 200") != c.ok || strings.Contains(got, "arrived") != c.ok || strings.Contains(got, "X-Debug:[1]") {
			t.Errorf("%q: %s", c.head, got)
		}
	}
	// HTTP/2 keeps several fields of a name apart.
	p := w.h2peer("api.example.com")
	for i, c := range []struct {
		fields []string
		ok     bool
	}{
		{[]string{"accept", "application/json"}, true},
		{[]string{"accept", "application/json", "accept", "text/html"}, false},
		{[]string{"accept", "application/json", "x-debug", "1"}, false},
		{[]string{"accept", "application/json", "x_debug", "1"}, false},
		{[]string{"accept", "application/json", "x-version", "2023", "x-version", "2022-1"}, false},
		{nil, false},
	} {
		id := uint32(2*i + 1)
		fields := append([]string{":method", "GET", ":scheme", "https", ":authority", "api.example.com", ":path", "/"}, c.fields...)
		if err := p.head(id, fields...); err != nil {
			t.Fatal(err)
		}
		if got := p.answer(id); strings.Contains(got, "200") != c.ok {
			t.Errorf("%v: %s", c.fields, got)
		}
	}
}

// TestRateIsKept: of a burst over one connection of HTTP/2 as many pass as the rule says,
// and of other rules all.
func TestRateIsKept(t *testing.T) {
	n := constrained(belljar.Constraint{Rate: &belljar.Rate{Requests: 7, Per: 24 * time.Hour}})
	n.Rules[0].Methods = []string{"GET"}
	n.Rules = append(n.Rules, confined("api.example.com", 443, "POST", ""))
	w := newSecureWorld(t, n)
	var arrived atomic.Int64
	w.site("api.example.com", apiAddr, true, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" {
			arrived.Add(1)
		}
	})
	c := w.agent(true)
	_, _ = w.get(c, "https://api.example.com/first") // one connection
	var passed, held, other atomic.Int64
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() {
			method := "GET"
			if i%3 == 0 {
				method = "HEAD"
			}
			req, _ := http.NewRequestWithContext(w.ctx, method, "https://api.example.com/"+strconv.Itoa(i), nil)
			resp, err := c.Do(req)
			if err != nil {
				other.Add(1)
				return
			}
			defer resp.Body.Close()
			seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
			switch {
			case resp.StatusCode == 200:
				passed.Add(1)
			case resp.StatusCode == 429 && seconds > 3000 && seconds <= 24*3600/7+1 && strings.Contains(resp.Header.Get("X-Belljar-Reason"), "7/d"):
				held.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	wait.Wait()
	if passed.Load() != 6 || arrived.Load() != 7 || held.Load() != 54 || other.Load() != 0 {
		t.Errorf("%d passed and %d arrived, %d were held, %d something else", passed.Load(), arrived.Load(), held.Load(), other.Load())
	}
	for range 20 {
		if status, _, body := w.ask(true, "POST", "https://api.example.com/x", ""); status != 200 {
			t.Errorf("another rule: %d %s", status, body)
		}
	}
	if got := w.say("api.example.com", "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 429") || !strings.Contains(got, "\r\nRetry-After: ") || !strings.Contains(got, "next step: wait") {
		t.Error(got)
	}
	if e := w.rec.wait(t, belljar.EventRefuse, "7/d"); e.Status != 429 || e.Method == "" || e.Nearest == nil {
		t.Errorf("%+v", e)
	}
}

// TestRates: all at once, then as time passes, never more than that.
func TestRates(t *testing.T) {
	var r rates
	rate, other := &belljar.Rate{Requests: 3, Per: time.Minute}, &belljar.Rate{Requests: 3, Per: time.Minute}
	now := time.Now()
	took := func(at time.Duration) (n int) {
		for r.take(rate, now.Add(at)) == 0 {
			n++
		}
		return n
	}
	for _, c := range []struct {
		at   time.Duration
		want int
	}{{0, 3}, {19 * time.Second, 0}, {21 * time.Second, 1}, {40500 * time.Millisecond, 1}, {time.Hour, 3}, {time.Hour, 0}} {
		if n := took(c.at); n != c.want {
			t.Errorf("after %v: %d, want %d", c.at, n, c.want)
		}
	}
	if wait := r.take(rate, now.Add(time.Hour)); wait < 19*time.Second || wait > 20*time.Second {
		t.Errorf("wait %v", wait)
	}
	if r.take(other, now) != 0 || r.take(nil, now) != 0 {
		t.Error("another rule's requests count")
	}
}

// TestAnswersAreBounded: an answer that says that it is longer is refused before any of it
// passes; one that does not is cut; compressed ones count as they are sent.
func TestAnswersAreBounded(t *testing.T) {
	const most = 64 << 10
	random := make([]byte, 4*most)
	_, _ = rand.Read(random)
	each(t, func(t *testing.T, inner, outer bool) {
		w := newSecureWorld(t, constrained(belljar.Constraint{Response: most}))
		w.site("api.example.com", apiAddr, outer, func(rw http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
			switch r.URL.RawQuery {
			case "sized":
				rw.Header().Set("Content-Length", strconv.Itoa(n))
			case "zip":
				rw.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(rw)
				_, _ = z.Write(make([]byte, n))
				_ = z.Close()
				return
			case "unchanged":
				rw.Header().Set("Content-Length", strconv.Itoa(n))
				rw.WriteHeader(http.StatusNotModified)
				return
			case "events":
				rw.Header().Set("Content-Type", "text/event-stream")
				for i := 0; i < n; i += 1 << 10 {
					_, _ = rw.Write(random[i : i+1<<10])
					_ = http.NewResponseController(rw).Flush()
				}
				return
			}
			for i := 0; i < n; i += 1 << 10 {
				_, _ = rw.Write(random[i:min(n, i+1<<10)])
			}
		})
		c := w.agent(inner)
		c.Transport.(*http.Transport).DisableCompression = true
		read := func(method, target string) (int, []byte, error) {
			req, _ := http.NewRequestWithContext(w.ctx, method, "https://api.example.com/"+target, nil)
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			return resp.StatusCode, b, err
		}
		for _, target := range []string{"65536?sized", "65536", "65536?events", "0", "1?sized", "10000000?zip"} {
			if status, b, err := read("GET", target); status >= 400 || err != nil || strings.HasPrefix(target, "65536") && !bytes.Equal(b, random[:most]) {
				t.Errorf("%s: %d, %d bytes, %v", target, status, len(b), err)
			}
		}
		if status, _, err := read("HEAD", "262144?sized"); status != 200 || err != nil {
			t.Errorf("HEAD: %d %v", status, err)
		}
		if status, _, _ := read("GET", "9999999?unchanged"); status != 304 { // it has no body, which Go's own client misses
			t.Errorf("304: %d", status)
		}
		for _, target := range []string{"65537?sized", "262144?sized"} {
			if status, b, _ := read("GET", target); status != 403 || !strings.Contains(string(b), "answers of 65536 bytes at most, and this one has") || bytes.Contains(b, random[:64]) {
				t.Errorf("%s: %d %.200s", target, status, b)
			}
		}
		for _, target := range []string{"65537", "262144", "262144?events"} {
			if status, b, err := read("GET", target); status != 200 || err == nil || len(b) > most || !bytes.Equal(b, random[:len(b)]) {
				t.Errorf("%s: %d, %d bytes, %v", target, status, len(b), err)
			}
		}
		w.rec.wait(t, belljar.EventRefuse, "and this one is longer")
		w.rec.wait(t, belljar.EventRequest, "broke off", "and this one is longer")
		if status, _, err := read("GET", "10"); status != 200 || err != nil {
			t.Errorf("afterwards: %d %v", status, err)
		}
	})
}

// TestWebSocketsAreBounded: what comes back on one is its answer.
func TestWebSocketsAreBounded(t *testing.T) {
	w := newSecureWorld(t, constrained(belljar.Constraint{Response: 1 << 10}))
	w.site("api.example.com", apiAddr, false, func(rw http.ResponseWriter, _ *http.Request) {
		c, br := switched(t, rw)
		if c == nil {
			return
		}
		defer c.Close()
		for {
			if _, err := br.ReadByte(); err != nil {
				return
			}
			_, _ = c.Write(bytes.Repeat([]byte("x"), 600))
		}
	})
	c, err := w.tls("api.example.com", 443, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\nabc")
	b, _ := io.ReadAll(c)
	if n := bytes.Count(b, []byte("x")); n < 1024 || n > 1024+8 {
		t.Errorf("%d bytes came back", n)
	}
	w.rec.wait(t, belljar.EventRefuse, "and this one is longer")
}

// TestAskedWithMore: a question is about requests within the rule's query and headers only,
// an answer for the sandbox stays within them, and the rate holds for questions.
func TestAskedWithMore(t *testing.T) {
	n := constrained(belljar.Constraint{
		Query: &belljar.QueryRule{Params: []belljar.Field{field("page", "*")}}, Rate: &belljar.Rate{Requests: 3, Per: 24 * time.Hour},
	})
	n.Rules[0].Ask = true
	w := newDeskWorld(t, n)
	w.site("api.example.com", apiAddr, true, echo)
	if status, _ := w.get(w.agent(true), "https://api.example.com/v1?x=1"); status != 403 {
		t.Errorf("beyond the rule: %d", status)
	}
	a := w.background("GET", "https://api.example.com/v1?page=1", true)
	q := w.next()
	if q.Query != "page=1" {
		t.Errorf("%+v", q)
	}
	w.answerFor(q.ID)
	if got := <-a; got.status != 200 {
		t.Fatal(got)
	}
	for query, want := range map[string]int{"page=2": 200, "x=1": 403} {
		if status, body := w.get(w.agent(true), "https://api.example.com/v1?"+query); status != want {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
	_, _ = w.get(w.agent(true), "https://api.example.com/v1?page=3")
	if status, _ := w.get(w.agent(true), "https://api.example.com/v1?page=4"); status != 429 {
		t.Errorf("the rate of the rule under which it was granted: %d", status)
	}
}
