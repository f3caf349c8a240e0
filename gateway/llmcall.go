package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"github.com/belljar-dev/belljar/gateway/llm"
	"github.com/belljar-dev/belljar/gateway/urlpath"
)

// llmMemory is what the requests to models that are held while they are judged and sent
// may come to together.
const llmMemory = 64 << 20

// An llmCall is an allowed request to a model whose body remains to be judged.
type llmCall struct {
	*exchange
	rules []*belljar.LLMRule
	path  belljar.LLMPath
	rule  *belljar.NetRule

	model         string // for people
	input, output int64  // what is reserved
	hold          *llm.Hold

	umu      sync.Mutex
	usage    *llm.Usage // guarded by umu; nil before there is an answer
	status   int
	whole    bool // the answer was read to its end
	readable bool
	came     *belljar.LLMSpent // what it came to, once settled
}

// llm judges the head of a request to a host of models. The call is nil where nothing
// remains to be judged; no has a reason when the request is refused.
func (h *seen) llm(r *http.Request, path urlpath.Target, d belljar.Decision) (call *llmCall, no belljar.Decision) {
	n := h.g.network
	if len(n.LLM) == 0 || len(n.LLMRules(h.t.host, h.t.port)) == 0 {
		return nil, no
	}
	refuse := func(reason string) (*llmCall, belljar.Decision) {
		return nil, belljar.Decision{Nearest: d.Rule, Reason: h.t.name() + ": " + reason}
	}
	ask := h.t.request()
	ask.Method, ask.Path = r.Method, path.Path
	rules, p, ok := n.LLMCall(ask)
	name := overrides(r.Header)
	switch {
	case path.Slash || path.Nested || path.Merged() != path.Path:
		return refuse("the path of a request to a model is not in its plain form")
	case name != "":
		return refuse("the header " + name + " asks for another method or path than the one that is judged")
	case !ok, p.Kind == belljar.LLMRead, p.Kind == belljar.LLMFiles:
		return nil, no
	}
	if why := llmQuery(path.Query); why != "" {
		return refuse(why)
	}
	delete(r.Header, "Sec-Websocket-Extensions")
	r.Header["Accept-Encoding"] = []string{"identity"} // what it used is read from the answer
	return &llmCall{rules: rules, path: p, rule: d.Rule}, no
}

// llmQuery says what is wrong with a query: some servers take another method, other
// headers or a body from it.
func llmQuery(query string) string {
	if strings.Contains(query, ";") { // which parts it for some
		return "a request to a model with a semicolon in its query"
	}
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || strings.ContainsAny(plain, "$;") && plain != "$alt" {
			return "a request to a model with " + printable(name) + " in its query"
		}
	}
	return ""
}

// RoundTrip implements [http.RoundTripper]: it judges the body, reserves what the call may
// come to and sends it, or answers in the API's own form.
func (c *llmCall) RoundTrip(r *http.Request) (*http.Response, error) {
	c.began = time.Now()
	if r.Header.Get("Upgrade") != "" && c.path.Socket {
		return c.socket(r)
	}
	if fault, why := c.head(r); why != "" {
		return c.refuse(fault, belljar.Decision{Nearest: c.rule, Reason: c.t.name() + ": " + why}, "")
	}
	body, err := c.read(r)
	var no *llmRefusal
	switch {
	case errors.As(err, &no):
		return c.refuse(no.fault, belljar.Decision{Nearest: c.rule, Reason: c.t.name() + ": " + no.why}, "")
	case err != nil:
		c.mu.Lock()
		c.body = err
		c.mu.Unlock()
		return nil, c.failed(err)
	}
	out, resp, err := c.judge(r, body)
	if out == nil {
		body.release()
		return resp, err
	}
	c.ended = func(e *belljar.NetEvent) { e.LLM = c.settle() }
	resp, err = c.exchange.RoundTrip(out)
	if err != nil {
		c.settle()
		return nil, err
	}
	c.follow(resp)
	return resp, nil
}

// head says what is wrong with the head of a request with a body.
func (c *llmCall) head(r *http.Request) (llm.Fault, string) {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, named := parameters["charset"]
	switch {
	case r.Header.Get("Upgrade") != "":
		return llm.NotOffered, "a WebSocket to a model is not offered: what is sent on it could not be judged. Use requests"
	case r.Body == nil:
		return llm.Malformed, "a request to a model without its body"
	case len(r.Header["Content-Encoding"]) > 0 && coding(r.Header) == "":
		return llm.Malformed, "the body of a request to a model is encoded in a way that is not read here: send it as it is"
	case r.Trailer != nil:
		return llm.Malformed, "a request to a model with trailers"
	case err != nil || len(r.Header["Content-Type"]) != 1 || kind != "application/json" || named && !strings.EqualFold(charset, "utf-8"):
		return llm.Malformed, "the body of a request to a model is not application/json in UTF-8"
	case r.ContentLength > llm.MaxBody:
		return llm.TooLarge, tooLarge
	}
	return 0, ""
}

var tooLarge = fmt.Sprintf("a request to a model of more than %d MiB, which is more than is judged: send less at once", llm.MaxBody>>20)

// An llmRefusal is why a body is not read.
type llmRefusal struct {
	fault llm.Fault
	why   string
}

func (e *llmRefusal) Error() string { return e.why }

// judge judges what was read and makes the request that is sent; without one, what the
// answer is.
func (c *llmCall) judge(r *http.Request, body *llmBody) (*http.Request, *http.Response, error) {
	b, no := c.admit(body.b, c.options())
	if no != nil {
		resp, err := c.refuse(no.fault, no.d, no.detail)
		return nil, resp, err
	}
	out := r.WithContext(r.Context())
	out.Header.Del("Expect")
	out.Header.Del("Content-Encoding") // what is sent is what was judged
	out.ContentLength, out.TransferEncoding = int64(len(b)), nil
	out.Body = &heldBody{Reader: bytes.NewReader(b), held: body, closer: r.Body}
	return out, nil, nil
}

// options say how the bodies are judged.
func (c *llmCall) options() llm.Options {
	o := llm.Options{API: c.rules[0].API, Call: c.path.Call, Model: c.path.Model, Fetch: true}
	for _, rule := range c.rules {
		o.Fetch = o.Fetch && rule.Fetch
	}
	return o
}

// An llmNo is a refusal.
type llmNo struct {
	fault  llm.Fault
	d      belljar.Decision
	detail string
}

// admit judges what is asked of the model, reserves what it may come to and returns what
// is sent: b, or b with a note for the model.
func (c *llmCall) admit(b []byte, o llm.Options) ([]byte, *llmNo) {
	facts, no := llm.Judge(b, o)
	if no == nil {
		no = c.models(facts)
	}
	if no != nil {
		fault, fix := llm.Malformed, ""
		switch {
		case no.Fetch:
			fault, fix = llm.Forbidden, c.fix("fetch: allow")
		case no.Model != "":
			fault, fix = llm.Forbidden, c.fix("models: ["+no.Model+"]")
		}
		return nil, &llmNo{fault, belljar.Decision{Nearest: c.rule, Reason: c.t.name() + ": " + no.Why, Fix: fix}, ""}
	}
	c.model = printable(facts.Model())
	if c.path.Kind != belljar.LLMGenerate {
		return b, nil
	}
	var note string
	var spent *llm.SpentError
	c.input, c.output = facts.Estimate(len(b))
	if c.hold, note, spent = c.g.llm.Reserve(c.rules, c.input+c.output); spent != nil {
		return nil, c.spent(spent)
	}
	if note != "" {
		if told, ok := facts.Steer(o, note); ok {
			b = told
		}
	}
	return b, nil
}

// heldBody is a body that was read.
type heldBody struct {
	*bytes.Reader
	held   *llmBody
	closer io.Closer
}

func (b *heldBody) Close() error {
	b.held.release()
	return b.closer.Close()
}

// WriteTo is not that of the reader: what is sent is counted and searched.
func (b *heldBody) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{b.Reader})
}

// models says which model no rule allows.
func (c *llmCall) models(f *llm.Facts) *llm.Refusal {
	for _, rule := range c.rules {
		if len(rule.Models) == 0 {
			continue
		}
		if not := f.Allowed(rule.Models); not != "" {
			return &llm.Refusal{Model: printable(not), Why: "the policy does not allow the model " + printable(not) + ", but " + strings.Join(rule.Models, ", ")}
		}
	}
	return nil
}

// fix is the line of a policy that would allow something.
func (c *llmCall) fix(what string) string {
	return fmt.Sprintf("llm: [{host: %q, api: %s, %s}]", c.rules[0].Host, c.rules[0].API, what)
}

// spent refuses a call that a budget has no room for.
func (c *llmCall) spent(e *llm.SpentError) *llmNo {
	no := &llmNo{llm.Busy, belljar.Decision{Nearest: c.rule, Reason: c.t.name() + ": calls to models under way hold what is left of the budget"}, ""}
	if e.Wait {
		return no
	}
	limit, most, used := "tokens", e.Tokens, e.Spent
	if e.MaxRequests > 0 && e.Requests >= e.MaxRequests {
		limit, most, used = "model requests", e.MaxRequests, e.Requests
	}
	c.g.rec.limited(c.ctx, limit, most, used)
	no.fault, no.d.Reason, no.detail = llm.Exhausted, c.t.name()+": the budget for models has no room for this call", e.Error()
	return no
}

// answer puts a refusal on record and words it.
func (c *llmCall) answer(no *llmNo) (status int, body string) {
	text := "belljar: " + no.d.Reason
	if no.detail != "" {
		text += ": " + no.detail
	}
	switch {
	case no.d.Fix != "":
		text += ". To allow it: " + no.d.Fix + ". Only the person who started this sandbox can, outside of it"
	case no.fault == llm.Exhausted:
		text += ". Only the person who started this sandbox can raise it, for another run"
	}
	status, body = llm.Answer(c.rules[0].API, no.fault, text)
	c.g.rec.refuseRequest(c.ctx, c.event.Proto, c.t, no.d, belljar.NetEvent{Method: c.event.Method, Path: c.event.Path, Status: status})
	return status, body
}

// refuse answers a request of which nothing was sent. What the record has no need of is
// in detail.
func (c *llmCall) refuse(f llm.Fault, d belljar.Decision, detail string) (*http.Response, error) {
	reply := &httpproxy.Reply{Reason: clip(d.Reason), Type: "application/json"}
	c.once.Do(func() {
		reply.Status, reply.Body = c.answer(&llmNo{f, d, detail})
		if c.leave != nil {
			c.leave()
		}
	})
	return nil, &replyError{reply}
}

// follow counts what the answer says was used.
func (c *llmCall) follow(resp *http.Response) {
	coding := resp.Header.Get("Content-Encoding")
	c.umu.Lock()
	c.usage = llm.NewUsage(c.rules[0].API, resp.Header.Get("Content-Type"))
	c.status, c.readable = resp.StatusCode, coding == "" || strings.EqualFold(coding, "identity")
	c.umu.Unlock()
	resp.Body = &countedAnswer{ReadCloser: resp.Body, c: c, left: resp.ContentLength}
}

// countedAnswer is the answer of a model. The call is settled before the end of its answer
// is passed on: who has read that end, and calls again, finds in the budget what it left.
type countedAnswer struct {
	io.ReadCloser
	c    *llmCall
	left int64 // of what its head announced; negative when it did not
}

func (a *countedAnswer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	a.left -= int64(n)
	a.c.umu.Lock()
	defer a.c.umu.Unlock()
	_, _ = a.c.usage.Write(p[:n])
	a.c.whole = a.c.whole || err == io.EOF || a.left == 0
	if a.c.whole {
		a.c.charge()
	}
	return n, err
}

// settle charges what the call came to, once, and says what that is.
func (c *llmCall) settle() *belljar.LLMSpent {
	if c.hold == nil {
		return nil
	}
	c.umu.Lock()
	defer c.umu.Unlock()
	if c.usage == nil {
		if c.sent.Load() == 0 {
			c.hold.Cancel()
			return nil
		}
		c.usage = llm.NewUsage(c.rules[0].API, "")
	}
	c.charge()
	return c.came
}

// charge charges what the call came to, once; umu is held.
func (c *llmCall) charge() {
	if c.came != nil {
		return
	}
	s := c.usage.Spent(llm.Call{Input: c.input, Output: c.output, Status: c.status, Whole: c.whole, Readable: c.readable, Took: time.Since(c.began)})
	s.Model = c.model
	c.hold.Settle(s)
	c.came = &s
}
