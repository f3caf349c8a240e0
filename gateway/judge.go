package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/credential"
	"github.com/belljar-dev/belljar/credential/login"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"github.com/belljar-dev/belljar/gateway/urlpath"
	"github.com/belljar-dev/belljar/internal/ablate"
)

// seen judges the requests of a connection to t whose requests are seen.
type seen struct {
	g      *Gateway
	ctx    context.Context // of Run
	t      target
	in     *inside // the connection
	secure bool    // within TLS that was ended here
}

func (h *seen) scheme() string {
	if h.secure {
		return "https"
	}
	return "http"
}

// Handle implements [httpproxy.Handler].
func (h *seen) Handle(r *http.Request) httpproxy.Action {
	if fault := h.authority(r); fault != "" {
		d := belljar.Decision{Reason: fault}
		a := h.refuse(r, d, "", http.StatusForbidden)
		a.Reply.Status = http.StatusMisdirectedRequest
		return a
	}
	return h.judge(r)
}

// Failed implements [httpproxy.Handler].
func (h *seen) Failed(r *http.Request, err error) *httpproxy.Reply {
	var rep *replyError
	if errors.As(err, &rep) {
		return rep.Reply
	}
	if r == nil {
		h.g.rec.refuse(h.ctx, h.scheme(), h.t, belljar.Decision{Reason: h.t.name() + ": " + printable(err.Error())})
	}
	return faultReply(err)
}

// authority says why a request does not belong on the connection, and gives its Host
// the canonical spelling.
func (h *seen) authority(r *http.Request) string {
	t := h.t
	if r.Method == http.MethodConnect {
		return t.name() + ": CONNECT is for the proxy at " + belljar.GatewayIPv4.String()
	}
	def := uint16(80)
	if h.secure {
		def = 443
	}
	names := []string{r.Host}
	if r.URL.Host != "" || r.URL.Scheme != "" {
		if r.ProtoMajor != 1 || !strings.EqualFold(r.URL.Scheme, h.scheme()) || r.URL.User != nil {
			return t.name() + ": a request for another scheme"
		}
		names = append(names, r.URL.Host)
	}
	for _, n := range names {
		got, err := parseAuthority(n, def)
		if err != nil {
			return fmt.Sprintf("%s: the Host header is no host: %s", t.name(), printable(n))
		}
		if !sameTarget(got, t, strings.Contains(n, ":")) {
			return fmt.Sprintf("connected to %s, but the request's Host is %s", t.name(), printable(n))
		}
	}
	r.Host = canonicalHost(r.Host, t)
	return ""
}

// canonicalHost spells the Host header of a request to t, with the port where the
// client gave one.
func canonicalHost(host string, t target) string {
	if t.host == belljar.Localhost {
		return host // it may be an address of the loopback; it was judged as one
	}
	if strings.Contains(host, ":") {
		return t.host + ":" + strconv.Itoa(int(t.port))
	}
	return t.host
}

// originForm is the request's target without scheme and authority.
func originForm(r *http.Request) string {
	raw := r.RequestURI
	if r.ProtoMajor != 1 || r.URL.Host == "" {
		return raw
	}
	_, rest, _ := strings.Cut(raw, "://")
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	}
	return rest[i:]
}

// judge decides about a request whose authority is the connection's.
func (h *seen) judge(r *http.Request) httpproxy.Action {
	path, err := urlpath.Parse(originForm(r))
	if err != nil {
		return h.refuse(r, belljar.Decision{Reason: h.t.name() + ": " + err.Error()}, "", http.StatusForbidden)
	}
	d := h.decide(r, &path)
	if !d.Allow && !d.Ask {
		return h.refuse(r, d, path.Path, http.StatusForbidden)
	}
	asks := d // whatever else decides then
	call, no := h.git(r, path, &d)
	if no.Reason != "" {
		return h.refuse(r, no, path.Path, http.StatusForbidden)
	}
	model, no := h.llm(r, path, d)
	if no.Reason != "" {
		return h.refuse(r, no, path.Path, http.StatusForbidden)
	}
	write(r, h.scheme(), h.t, path)
	if r.URL.RequestURI() != path.String() {
		return h.refuse(r, belljar.Decision{Nearest: d.Rule, Reason: h.t.name() + ": the path cannot be written as it was judged"}, path.Path, http.StatusForbidden)
	}
	if wait := h.g.rates.take(d.Rule.Rate, time.Now()); wait > 0 {
		return h.tooMany(r, d.Rule, path.Path, wait)
	}
	x := &exchange{g: h.g, ctx: h.ctx, t: h.t, most: d.Rule.Response, event: belljar.NetEvent{
		Proto: h.scheme(), Host: h.t.host, Port: h.t.port, Method: r.Method, Path: path.Path, Rule: origin(d.Rule),
	}}
	asked := h.g.login(h.t, r.Method, path.Path)
	if asked == nil {
		if a, refused := h.keys(r, d, path, x); refused {
			return a
		}
	}
	leave, wide, ok := h.g.pool.enter()
	if !ok {
		h.g.rec.limited(h.ctx, "requests", MaxRequests, MaxRequests)
		return httpproxy.Action{Reply: &httpproxy.Reply{
			Status: http.StatusServiceUnavailable, Reason: "too many requests at once", Body: "belljar: too many requests at once\n",
		}}
	}
	x.leave = leave
	x.quick, x.rt = h.g.pool.through(d.Rule, wide)
	if asked != nil {
		x.quick, x.rt = nil, &tokens{asked, x}
	}
	if !d.Allow {
		h.askRequest(x, approval.Subject{Host: h.t.host, Port: h.t.port, Method: r.Method, Path: path.Path, Query: approval.ShortQuery(path.Query)}, asks)
	}
	if call != nil {
		call.exchange = x
		return httpproxy.Action{Forward: call}
	}
	if model != nil {
		model.exchange = x
		return httpproxy.Action{Forward: model}
	}
	return httpproxy.Action{Forward: x}
}

// decide asks the policy about a request, in every way in which its path may be read. Where
// a rule judges the query, path holds it as it was judged.
func (h *seen) decide(r *http.Request, path *urlpath.Target) belljar.Decision {
	ask := h.t.request()
	ask.Method, ask.Path = r.Method, path.Path
	query := detail(r, path, &ask)
	d := h.g.judge(ask)
	if !d.Allow && !d.Ask {
		return d
	}
	refuse := func(why string) belljar.Decision {
		return belljar.Decision{Nearest: d.Rule, Reason: h.t.name() + ": " + why}
	}
	if why := unaskable(r, path.Path, path.Merged()); d.Ask && why != "" {
		return refuse(why)
	}
	rules, no := h.alsoAllowed(r, path, ask, d)
	if no.Reason != "" {
		return no
	}
	if slices.ContainsFunc(rules, func(rule *belljar.NetRule) bool { return rule.Query != nil }) {
		if path.Queries() {
			return refuse("a semicolon or an encoded question mark in the path, in which some servers find parameters, where the policy judges queries")
		}
		path.Query, path.HasQuery = query, query != ""
	}
	switch byPath := d.Ask || slices.ContainsFunc(rules, h.byPath); {
	case path.Slash && byPath:
		return refuse("an encoded slash in the path, where the policy judges paths")
	case path.Nested && byPath:
		return refuse("a path that is another one when it is decoded twice, where the policy judges paths")
	}
	confined := slices.ContainsFunc(rules, (*belljar.NetRule).Confined) || h.g.network.ConfinesPushes(h.t.host, h.t.port)
	if name := overrides(r.Header); name != "" && (d.Ask || confined) {
		return refuse("the header " + name + " asks for another method or path than the one that is judged")
	}
	if r.ContentLength != 0 && slices.ContainsFunc(rules, readOnly) {
		return refuse(r.Method + " with a body, where the policy allows reading only")
	}
	return d
}

// alsoAllowed are the rules that a request rests on: the one that d names, and those that
// have to allow it as well, as servers may read it. What the latter bound the request must
// be bounded by too, or it is refused.
func (h *seen) alsoAllowed(r *http.Request, path *urlpath.Target, ask belljar.NetRequest, d belljar.Decision) (rules []*belljar.NetRule, no belljar.Decision) {
	rules = []*belljar.NetRule{d.Rule}
	paths := []string{path.Path}
	if merged := path.Merged(); merged != path.Path {
		paths = append(paths, merged)
		ask.Path = merged
		what := h.t.name() + ": the path has empty segments, and without them it is "
		m := h.g.judge(ask)
		if !m.Allow {
			m.Ask, m.Fix, m.Missing = false, "", false
			m.Reason = what + "not allowed: " + merged
			return nil, m
		}
		if why := restsOn(d.Rule, m.Rule); why != "" {
			return nil, belljar.Decision{Nearest: m.Rule, Reason: what + "allowed by " + why + ": " + merged}
		}
		rules = append(rules, m.Rule)
	}
	if _, upgrades := r.Header["Upgrade"]; !upgrades || !slices.ContainsFunc(rules, readOnly) { // what httpproxy lets pass is a WebSocket
		return rules, no
	}
	what := h.t.name() + ": a WebSocket, on which anything may be sent, where the policy allows reading only"
	ask.Method = http.MethodPost // another rule may allow it
	for _, ask.Path = range paths {
		m := h.g.judge(ask)
		if !m.Allow {
			return nil, belljar.Decision{Nearest: d.Rule, Reason: what}
		}
		if why := restsOn(d.Rule, m.Rule); why != "" {
			return nil, belljar.Decision{Nearest: m.Rule, Reason: what + ", and writing by " + why}
		}
		rules = append(rules, m.Rule)
	}
	return rules, no
}

// detail tells ask of the query and the headers of r, and returns the query in its one
// spelling.
func detail(r *http.Request, path *urlpath.Target, ask *belljar.NetRequest) (query string) {
	d := &belljar.RequestDetail{Header: r.Header}
	for name := range r.Trailer {
		d.Trailers = append(d.Trailers, name)
	}
	ask.Detail = d
	if path.Query == "" {
		return ""
	}
	params, query, err := urlpath.ParseQuery(path.Query)
	if err != nil {
		d.Unclear = err.Error()
	}
	d.Params = params
	return query
}

// tooMany answers a request beyond the rate of its rule.
func (h *seen) tooMany(r *http.Request, rule *belljar.NetRule, path string, wait time.Duration) httpproxy.Action {
	d := belljar.Decision{Nearest: rule, Reason: fmt.Sprintf("%s: more requests than the policy's %s", h.t.name(), rule.Rate)}
	h.g.rec.refuseRequest(h.ctx, h.scheme(), h.t, d, belljar.NetEvent{Method: r.Method, Path: path, Status: http.StatusTooManyRequests})
	next := fmt.Sprintf("wait %d s and try again", int64((wait+time.Second-1)/time.Second))
	return httpproxy.Action{Reply: &httpproxy.Reply{
		Status: http.StatusTooManyRequests, Reason: clip(d.Reason), Body: requestText(h.t, r.Method, path, d, next), After: wait,
	}}
}

// byPath says whether a rule or a credential judges the paths of t, or what may be in one.
func (h *seen) byPath(rule *belljar.NetRule) bool {
	if len(rule.Paths) > 0 || rule.Git != nil || rule.Query != nil {
		return true
	}
	for i := range h.g.network.Credentials {
		c := &h.g.network.Credentials[i]
		if len(c.Paths) > 0 && c.Bound(h.t.host, h.t.port) {
			return true
		}
	}
	return false
}

// overrides names a header by which some servers take another method or path.
func overrides(h http.Header) string {
	for name := range h {
		if name[0]|0x20 != 'x' && name[0]|0x20 != 'h' {
			continue
		}
		if credential.OverridesRequest(name) {
			return printable(name)
		}
	}
	return ""
}

// readOnly says whether a rule allows no method that carries a body.
func readOnly(rule *belljar.NetRule) bool {
	for _, m := range rule.Methods {
		if m != http.MethodGet && m != http.MethodHead && m != http.MethodOptions {
			return false
		}
	}
	return len(rule.Methods) > 0
}

// write makes r's URL what was judged.
func write(r *http.Request, scheme string, t target, path urlpath.Target) {
	r.URL = &url.URL{
		Scheme: scheme, Host: t.host + ":" + strconv.Itoa(int(t.port)),
		Path: path.Unescape(), RawPath: path.Path, RawQuery: path.Query, ForceQuery: path.HasQuery,
	}
}

// standsFor is the host that credentials are judged by. What listens on the host's own
// loopback may hand requests on by the name that they ask for.
func (h *seen) standsFor(r *http.Request) string {
	if h.t.host != belljar.Localhost {
		return h.t.host
	}
	if asked, err := parseAuthority(r.Host, h.t.port); err == nil && strings.HasSuffix(asked.host, "."+belljar.Localhost) {
		return asked.host
	}
	return h.t.host
}

// keys puts credentials in, or says why the request is refused.
func (h *seen) keys(r *http.Request, d belljar.Decision, path urlpath.Target, x *exchange) (httpproxy.Action, bool) {
	if h.g.keys == nil {
		if len(h.g.network.Credentials) == 0 {
			return httpproxy.Action{}, false
		}
		return h.refuse(r, belljar.Decision{Reason: h.t.name() + ": the gateway was given no keys"}, path.Path, http.StatusForbidden), true
	}
	ctx := h.ctx
	if r.ProtoMajor == 2 {
		ctx = r.Context() // which ends with the stream
	}
	v := h.g.keys.Outgoing(ctx, &credential.Request{
		Host: h.standsFor(r), Port: h.t.port, Secure: h.secure, Method: r.Method, Path: path.Path, URI: path.String(), Header: r.Header,
		Wait:   !d.Allow, // a source is read for what is allowed only
		Opened: h.opened,
	})
	if len(v.Injected) > 0 && !h.secure && h.t.host != belljar.Localhost && v.Refuse == "" {
		v.Refuse, v.Fix, v.Status = h.t.name()+": "+strings.Join(v.Injected, ", ")+" is not sent without TLS", "use https", http.StatusForbidden
	}
	if v.Refuse != "" {
		status := v.Status
		if status == 0 {
			status = http.StatusForbidden
		}
		return h.refuseKeys(r, d, v, path.Path, status), true
	}
	for _, l := range v.Leaks {
		x.leak(l)
	}
	x.v = v
	x.event.Program = clip(v.Program)
	x.event.Credential = strings.Join(v.Injected, ",")
	return httpproxy.Action{}, false
}

// opened says which program opened the connection.
func (h *seen) opened(ctx context.Context) (belljar.Opened, error) {
	if h.g.opened == nil || h.in == nil || !h.in.from.IsValid() {
		return belljar.Opened{}, errors.New("nobody tells which program opened the connection")
	}
	ctx, cancel := context.WithTimeout(ctx, openedTimeout)
	defer cancel()
	return h.g.opened(ctx, h.in.from, h.in.to, h.in.began)
}

// openedTimeout bounds the wait for who opened a connection.
const openedTimeout = 5 * time.Second

// refuseKeys answers what the credentials refuse.
func (h *seen) refuseKeys(r *http.Request, d belljar.Decision, v *credential.Verdict, path string, status int) httpproxy.Action {
	var names []string
	for _, l := range v.Leaks {
		names = append(names, l.Credential)
	}
	no := belljar.Decision{Nearest: d.Rule, Reason: v.Refuse}
	h.g.rec.refuseRequest(h.ctx, h.scheme(), h.t, no, belljar.NetEvent{
		Method: r.Method, Path: path, Status: status, Credential: strings.Join(names, ","), Program: clip(v.Program),
	})
	body := requestText(h.t, r.Method, path, no, v.Fix)
	return httpproxy.Action{Reply: &httpproxy.Reply{Status: status, Reason: clip(no.Reason), Body: body}}
}

// refuse records and answers a request that is not allowed. The path is empty when it
// has no canonical form.
func (h *seen) refuse(r *http.Request, d belljar.Decision, path string, status int) httpproxy.Action {
	h.g.rec.refuseRequest(h.ctx, h.scheme(), h.t, d, belljar.NetEvent{Method: printable(r.Method), Path: path, Status: status})
	return httpproxy.Action{Reply: &httpproxy.Reply{Status: status, Reason: clip(explain(d)), Body: requestText(h.t, r.Method, path, d, "") + proposeText(attempted{h.t.host, h.t.port, r.Method, path}, d)}}
}

// requestText is what a person or a model reads whose request was refused.
func requestText(t target, method, path string, d belljar.Decision, next string) string {
	what := "this request"
	if path != "" {
		what = printable(method) + " " + path
	}
	return refusalOf("request", fmt.Sprintf("%s to %s port %d", what, t.name(), t.port), d, next)
}

// judge asks the policy.
func (g *Gateway) judge(r belljar.NetRequest) belljar.Decision {
	d := g.current().Decide(r)
	if !d.Allow && ablate.Off(ablate.Decide) {
		return belljar.Decision{Allow: true, Rule: &belljar.NetRule{Host: r.Host, Ports: []uint16{r.Port}, Private: true}}
	}
	if d.Missing {
		if instead := login.Outside(r.Host, r.Path); instead != "" {
			d.Reason += " (" + instead + ")"
		}
	}
	return d
}
