package credential

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/terminal"
)

// Outgoing judges one request to a host and port whose requests are seen (also where
// no credential is bound to it: stand-ins do not go there), and puts the values in:
// it changes r.Header. It reads a source where that is due, unless r waits, else it does no I/O. Call it
// once for each request, after the policy has allowed it and just before it is sent.
// When the verdict refuses, r.Header may have been changed and must not be sent; what
// was injected must not be recorded.
func (k *Keys) Outgoing(ctx context.Context, r *Request) *Verdict {
	v := &Verdict{keys: k}
	if len(k.entries) == 0 || ablate.Off(ablate.Places) {
		return v
	}
	j := judge{Verdict: v, k: k, r: r, bound: make([]bool, len(k.entries)), takes: make([]bool, len(k.entries))}
	confined := false
	for i, e := range k.entries {
		c := &e.plan
		j.bound[i] = c.Bound(r.Host, r.Port)
		j.takes[i] = j.bound[i] && r.Method != http.MethodTrace && takes(c, r)
		v.bound = v.bound || j.bound[i]
		confined = confined || j.bound[i] && len(c.Methods)+len(c.Paths) > 0
	}
	v.foreign = func(id int) bool { return !j.bound[id] }
	v.host = j.target()
	j.cut("Proxy-Authorization")
	if !v.bound {
		j.elsewhere()
		return v
	}
	j.canonical()
	if j.headers() && j.query() && !r.Wait {
		j.inject(ctx)
	}
	if v.Refuse == "" {
		j.narrow(confined)
	}
	if r.Wait && v.Refuse == "" {
		v.put = func(ctx context.Context, h http.Header) {
			waited := *r
			waited.Header = h
			j.r, j.opened = &waited, nil // what was clean may not be any more
			j.inject(ctx)
		}
	}
	return v
}

// takes says whether c is put into r, in both ways in which its path may be read: some
// servers leave empty segments out. Behind a WebSocket there are no methods any more: a
// credential for reading only is in none.
func takes(c *belljar.Credential, r *Request) bool {
	merged := r.Path
	for strings.Contains(merged, "//") {
		merged = strings.ReplaceAll(merged, "//", "/")
	}
	if len(c.Methods) > 0 && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && !slices.ContainsFunc(c.Methods, writes) {
		return false
	}
	return c.Takes(r.Method, r.Path) && (merged == r.Path || c.Takes(r.Method, merged))
}

// writes says whether a method may change something.
func writes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// A judge goes through one request.
type judge struct {
	*Verdict
	k            *Keys
	r            *Request
	bound, takes []bool            // by credential
	placed       map[int]placement // stand-ins in their places
	opened       *opened           // who opened the connection, once that was asked
}

type placement struct {
	value string // of the header
	sent  sent
}

func (j *judge) target() string {
	if j.r.Host == "" {
		return "an address without a name"
	}
	return terminal.Escape(j.r.Host)
}

// maxLeaks is how many stand-ins that are forwarded one request tells of.
const maxLeaks = 16

// inHeader names a header in what people read.
func inHeader(name string) string {
	if len(name) > 64 {
		name = name[:64] + "…"
	}
	return "header " + terminal.Escape(name)
}

func (j *judge) plan(i int) *belljar.Credential { return &j.k.entries[i].plan }

// refuse also forgets the stand-ins that would have been forwarded.
func (j *judge) refuse(fix, format string, args ...any) bool {
	j.Leaks = slices.DeleteFunc(j.Leaks, func(l Leak) bool { return !l.Refused })
	j.Refuse, j.Fix, j.Status = j.target()+": "+fmt.Sprintf(format, args...), fix, http.StatusForbidden
	return false
}

func (j *judge) cut(names ...string) {
	for _, n := range names {
		if _, ok := j.r.Header[n]; ok {
			delete(j.r.Header, n)
			j.Cut = append(j.Cut, n)
		}
	}
}

// canonical makes the names of the headers what Go's own parser makes them, so that a
// header is found by its name.
func (j *judge) canonical() {
	for name, values := range j.r.Header {
		if c := http.CanonicalHeaderKey(name); c != name {
			delete(j.r.Header, name)
			j.r.Header[c] = append(j.r.Header[c], values...)
		}
	}
}

// elsewhere looks for stand-ins in a request to a host that no credential is bound to.
func (j *judge) elsewhere() {
	if !j.leak("method", j.r.Method) || !j.leak("url", j.r.URI) {
		return
	}
	for _, name := range sorted(j.r.Header) {
		if !j.named(name) {
			return
		}
		for _, value := range j.r.Header[name] {
			if !j.leak(inHeader(name), value) {
				return
			}
		}
	}
}

func sorted(h http.Header) []string {
	names := make([]string, 0, len(h))
	for n := range h {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// leak reports the stand-ins in text, which is none of their places. It refuses one
// whose credential is not for this host.
func (j *judge) leak(where, text string) bool {
	for _, id := range j.k.marks.ids(text) {
		if !j.leaked(id, where) {
			return false
		}
	}
	return true
}

// named looks for stand-ins in the name of a header, which has no case.
func (j *judge) named(name string) bool {
	for id := range j.k.entries {
		s := j.plan(id).StandIn
		if s != "" && len(name) >= len(s) && strings.Contains(strings.ToLower(name), strings.ToLower(s)) && !j.leaked(id, "name of a header") {
			return false
		}
	}
	return true
}

func (j *judge) leaked(id int, where string) bool {
	c := j.plan(id)
	l := Leak{Credential: c.Name, Where: where, Refused: !j.bound[id]}
	if !slices.Contains(j.Leaks, l) && (l.Refused || len(j.Leaks) < maxLeaks) {
		j.Leaks = append(j.Leaks, l)
	}
	if !l.Refused {
		return true
	}
	return j.refuse("send it to its own host only; another host is added under credentials in the policy",
		"the %s holds the stand-in of %s, which is for %s only", where, c.Name, hosts(c))
}

// hosts is what c is bound to, as a text.
func hosts(c *belljar.Credential) string {
	var names []string
	for _, b := range c.Hosts {
		names = append(names, fmt.Sprintf("%s:%d", b.Host, b.Port))
	}
	if len(names) > 3 {
		names = append(names[:3], "…")
	}
	return strings.Join(names, ", ")
}

// headers goes through the headers of a request to a bound host.
func (j *judge) headers() bool {
	j.placed = map[int]placement{}
	if !j.leak("method", j.r.Method) {
		return false
	}
	for _, name := range sorted(j.r.Header) {
		if !j.named(name) {
			return false
		}
		values := j.r.Header[name]
		if !j.own(name) && !carriesCredential(name) && !carriesInProtocol(name, values) {
			for _, value := range values {
				if !j.leak(inHeader(name), value) {
					return false
				}
			}
			continue
		}
		if !j.carrier(name, values) {
			return false
		}
	}
	return true
}

// own says whether a header is the place of a credential of this host, for servers that
// do not tell hyphens from underscores.
func (j *judge) own(name string) bool {
	plain := plainName(name)
	for i, e := range j.k.entries {
		if j.bound[i] && e.place == plain {
			return true
		}
	}
	return false
}

// carrier judges a header that carries credentials: it may hold a stand-in of this host
// and nothing else.
func (j *judge) carrier(name string, values []string) bool {
	if len(values) == 1 && strings.TrimSpace(values[0]) == "" {
		delete(j.r.Header, name)
		return true
	}
	if len(values) != 1 {
		return j.refuse("send it once", "the %s is there %d times", inHeader(name), len(values))
	}
	value := values[0]
	stray := false
	for i := range j.bound {
		c := j.plan(i)
		s, ok := carries(c, value)
		switch {
		case !ok || !j.bound[i]:
		case c.Header == name && accepts(c, value, s):
			j.placed[i] = placement{value, s}
			return true
		case c.Header == name:
			return j.foreignCredential(inHeader(name))
		default:
			stray = true
		}
	}
	if !j.leak(inHeader(name), value) {
		return false
	}
	if stray {
		return true
	}
	return j.foreignCredential(inHeader(name))
}

// foreignCredential refuses a credential that is not the sandbox's: an agent that was
// talked into it would carry data to somebody else's account at an allowed host.
func (j *judge) foreignCredential(where string) bool {
	var names, own []string
	for i := range j.bound {
		if !j.bound[i] {
			continue
		}
		names = append(names, "$"+j.plan(i).Name)
		if !j.plan(i).Withheld {
			own = append(own, "$"+j.plan(i).Name)
		}
	}
	if len(own) == 0 { // nothing inside holds it, and a rule does not change that
		return j.refuse("leave it out; http://"+belljar.PolicyHost+"/ says what is allowed, and takes proposals for rules",
			"the %s carries a credential that is not yours, and this host takes none from here: %s is withheld", where, strings.Join(names, ", "))
	}
	names = own
	return j.refuse("leave it out, or send "+strings.Join(names, " or ")+" there",
		"the %s carries a credential that is not yours: this host takes %s only", where, strings.Join(names, ", "))
}

// query goes through the target of a request to a bound host.
func (j *judge) query() bool {
	if !j.leak("url", j.r.URI) {
		return false
	}
	for _, p := range parameters(j.r.URI) {
		if p.value == "" || !carriesInQuery(p.name, j.r.Host) {
			continue
		}
		ours := func(e *entry) bool { return e.plan.StandIn == p.value }
		if !slices.ContainsFunc(j.k.entries, ours) { // of other hosts: refused before
			return j.foreignCredential("query")
		}
	}
	return true
}

// inject puts the values in: of the credentials whose stand-ins are in their places;
// where no stand-in is in any, of the first that takes the request. A client that was
// told of no key thus works, and one that has a choice of several keeps it.
func (j *judge) inject(ctx context.Context) {
	defer func() { j.talk = len(j.Injected) > 0 && conversation(j.r.Path) }()
	for i := range j.takes {
		p, there := j.placed[i]
		if !there {
			continue
		}
		c := j.plan(i)
		if why := j.stranger(ctx, c); why != "" {
			j.strange(c, why)
			return
		}
		if !j.takes[i] {
			continue
		}
		if !j.mayBeSent() {
			j.refuse("use https", "%s is not sent without TLS", c.Name)
			return
		}
		value, why := j.k.current(ctx, j.k.entries[i])
		if why != "" {
			j.k.entries[i].asked.Store(true)
			// Why that is holds what a command said, and names files: nothing for inside.
			j.refuse("ask for it outside, and try again", "%s has no value now; the person outside sees why", c.Name)
			j.Status = http.StatusServiceUnavailable
			return
		}
		j.set(c, value, p.sent)
	}
	if len(j.placed) > 0 || !j.mayBeSent() {
		return
	}
	for i := range j.takes {
		c := j.plan(i)
		if _, there := j.r.Header[c.Header]; there || !j.takes[i] || j.stranger(ctx, c) != "" {
			continue
		}
		if value, why := j.k.current(ctx, j.k.entries[i]); why == "" {
			j.set(c, value, sent{})
		}
		return
	}
}

func (j *judge) set(c *belljar.Credential, value secret, s sent) {
	v := value.copy()
	j.r.Header[c.Header] = []string{header(c, v, s)}
	j.Injected = append(j.Injected, c.Name)
	id := slices.IndexFunc(j.k.entries, func(e *entry) bool { return &e.plan == c })
	j.injected = append(j.injected, id)
	j.remember(id, c, v, s)
}

// mayBeSent says whether a value may go out on the connection: within TLS, or to the
// host's own loopback. Without TLS anybody on the way could read it, and an agent
// chooses whether there is TLS.
func (j *judge) mayBeSent() bool { return j.r.Secure || j.r.Host == belljar.Localhost }

// narrow makes sure that the answer can be searched, and that the request is the one
// that was judged.
func (j *judge) narrow(confined bool) {
	h := j.r.Header
	if !j.own("Cookie") && cutCookies(h) {
		j.Cut = append(j.Cut, "Cookie")
	}
	h["Accept-Encoding"] = []string{"identity"}
	// Parts of an answer are no value each, and put together are one.
	j.cut("Sec-Websocket-Extensions", "A-Im", "Range", "If-Range")
	if up := h.Get("Upgrade"); up != "" && !strings.EqualFold(up, "websocket") {
		j.cut("Upgrade")
	}
	if te := h.Get("Te"); te != "" && !strings.EqualFold(te, "trailers") {
		j.cut("Te")
	}
	if !confined {
		return
	}
	for name := range h {
		if OverridesRequest(name) {
			j.cut(name)
		}
	}
}

// carriesInProtocol says whether a WebSocket's sub-protocols carry a credential, as
// clients that cannot set a header have it.
func carriesInProtocol(name string, values []string) bool {
	said := plainName(strings.Join(values, ","))
	return name == "Sec-Websocket-Protocol" && (strings.Contains(said, "apikey") || strings.Contains(said, "bearer") || strings.Contains(said, "token"))
}

// conversation says whether a path is one where the body is what was said and what
// tools printed so far: a stand-in that was printed once is in every later body.
func conversation(path string) bool {
	for _, end := range []string{
		"/messages", "/messages/count_tokens", "/responses", "/completions", "/embeddings", "/responses/compact",
		":generateContent", ":streamGenerateContent", ":countTokens", "/converse", "/converse-stream", "/invoke", "/invoke-with-response-stream",
	} {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return false
}
