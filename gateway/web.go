package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/agenthook"
)

// refusalText is what a person or a model reads who was refused.
func refusalText(t target, d belljar.Decision) string {
	return refusalOf("connection", fmt.Sprintf("%s port %d", t.name(), t.port), d, "") + proposeText(attempted{t.host, t.port, "", ""}, d)
}

// refusalOf words the refusal of a connection or a request. Next is the next step for
// whoever asked, where that is not to ask for a rule.
func refusalOf(sort, what string, d belljar.Decision, next string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "belljar refused this %s.\n\nwhat:   %s\nwhy:    %s\n", sort, what, d.Reason)
	if d.Nearest != nil {
		fmt.Fprintf(&b, "nearest rule: %s\n", ruleText(d.Nearest))
	}
	if d.Fix != "" {
		fmt.Fprintf(&b, "to allow it: %s\n", d.Fix)
		b.WriteString("\nOnly the person who started this sandbox can allow it, outside of it. Do not look for a way around: ask them.\n")
	} else if d.Ask {
		b.WriteString("\nOnly the person who started this sandbox can allow it, outside of it. Do not look for a way around: go on with\nsomething else, and try again later.\n")
	} else if next != "" {
		fmt.Fprintf(&b, "next step: %s\n", next)
	} else {
		b.WriteString("\nNo rule can allow this.\n")
	}
	fmt.Fprintf(&b, "What is allowed: http://%s/\n", belljar.PolicyHost)
	return b.String()
}

// ruleText is a rule in one line, with the place where it was written.
func ruleText(r *belljar.NetRule) string {
	s := r.Host
	if s == "" {
		s = r.CIDR.String()
	}
	ports := make([]string, len(r.Ports))
	for i, p := range r.Ports {
		ports[i] = fmt.Sprint(p)
	}
	s += " port " + strings.Join(ports, ", ")
	if len(r.Methods) > 0 {
		s += ", " + strings.Join(r.Methods, " ")
	}
	if len(r.Paths) > 0 {
		s += ", paths " + strings.Join(r.Paths, " ")
	}
	s += constraintText(&r.Constraint)
	if r.Git != nil {
		s += ", git " + r.Git.Repo
		if len(r.Git.Push) > 0 {
			s += ", pushes to " + strings.Join(r.Git.Push, " ")
		}
	}
	if r.Private {
		s += ", private addresses too"
	}
	if r.Ask {
		s += ", when somebody outside says so"
	}
	return s
}

// constraintText is what else confines the requests of a rule.
func constraintText(c *belljar.Constraint) string {
	s := ""
	if c.Query != nil {
		s += ", parameters" + fieldsText(c.Query.Params)
	}
	if len(c.Headers) > 0 {
		s += ", headers" + fieldsText(c.Headers)
	}
	if c.Rate != nil {
		s += ", " + c.Rate.String() + " requests"
	}
	if c.Response > 0 {
		s += fmt.Sprintf(", answers of %d bytes", c.Response)
	}
	return s
}

func fieldsText(l []belljar.Field) string {
	s := ""
	for _, f := range l {
		s += " " + f.Name + "=" + strings.Join(f.Values, "|")
	}
	if s == "" {
		return " none"
	}
	return s
}

func refusalReply(t target, d belljar.Decision) *httpproxy.Reply {
	return &httpproxy.Reply{Status: http.StatusForbidden, Reason: explain(d), Body: refusalText(t, d)}
}

// faultReply words a malformed request or a failure of the other side.
func faultReply(err error) *httpproxy.Reply {
	var f *httpproxy.Fault
	if errors.As(err, &f) {
		return &httpproxy.Reply{Status: f.Status, Reason: "belljar refused the request: " + f.Reason, Body: "belljar refused the request: " + f.Reason + "\n"}
	}
	return &httpproxy.Reply{Status: http.StatusBadGateway, Reason: "belljar could not reach the host", Body: "belljar could not reach the host: " + printable(err.Error()) + "\n"}
}

// denial answers every request with the reason of a refusal.
type denial struct {
	t target
	d belljar.Decision
}

func (h *denial) Handle(*http.Request) httpproxy.Action {
	return httpproxy.Action{Reply: refusalReply(h.t, h.d)}
}

func (h *denial) Failed(_ *http.Request, err error) *httpproxy.Reply { return faultReply(err) }

// sameHost forwards requests to the host that the connection was made to.
type sameHost struct {
	g  *Gateway
	p  *passage
	tr *http.Transport
}

func (h *sameHost) Handle(r *http.Request) httpproxy.Action {
	t := h.p.t
	if fault := hostFault(r, t); fault != "" {
		d := belljar.Decision{Nearest: h.p.d.Rule, Reason: fault}
		h.g.rec.refuse(h.g.context(), "http", t, d)
		return httpproxy.Action{Reply: refusalReply(t, d)}
	}
	x := h.g.unseen(h.g.context(), r, t, h.p.d, h.tr)
	x.event.Addr = h.p.addr
	r.URL.Scheme, r.URL.Host = "http", "upstream"
	return httpproxy.Action{Forward: x}
}

// unseen follows a request in clear whose rule does not ask for its requests to be
// seen: it is put on record as it is.
func (g *Gateway) unseen(ctx context.Context, r *http.Request, t target, d belljar.Decision, rt http.RoundTripper) *exchange {
	path, _, _ := strings.Cut(originForm(r), "?")
	e := belljar.NetEvent{Proto: "http", Host: t.host, Port: t.port, Method: r.Method, Path: path, Rule: origin(d.Rule)}
	if t.addr.IsValid() {
		e.Addr = t.addr.String()
	}
	return &exchange{g: g, ctx: ctx, t: t, rt: rt, event: e}
}

func (h *sameHost) Failed(r *http.Request, err error) *httpproxy.Reply {
	var rep *replyError
	if errors.As(err, &rep) {
		return rep.Reply
	}
	if r == nil {
		h.g.rec.refuse(h.g.context(), "http", h.p.t, belljar.Decision{Nearest: h.p.d.Rule, Reason: h.p.t.name() + ": " + printable(err.Error())})
	}
	return faultReply(err)
}

// hostFault says why a request does not belong on a connection to t.
func hostFault(r *http.Request, t target) string {
	if r.Method == http.MethodConnect {
		return t.name() + ": CONNECT is for the proxy at " + belljar.GatewayIPv4.String()
	}
	if t.host == "" {
		return "" // the rule allows the address, whatever answers there
	}
	if r.URL.Scheme != "" && !strings.EqualFold(r.URL.Scheme, "http") {
		return t.host + ": a request for another scheme"
	}
	for _, h := range []string{r.Host, r.URL.Host} {
		if h == "" && r.URL.Host == "" && r.Host != "" {
			continue // origin form
		}
		got, err := parseAuthority(h, 80)
		if err != nil {
			return fmt.Sprintf("%s: the Host header is no host: %s", t.host, printable(h))
		}
		if !sameTarget(got, t, strings.Contains(h, ":")) {
			return fmt.Sprintf("connected to %s, but the request's Host is %s", t.host, printable(h))
		}
	}
	return ""
}

// sameTarget compares a Host header with the target of its connection. Many
// clients leave the port out, whatever it is.
func sameTarget(got, t target, withPort bool) bool {
	if ablate.Off(ablate.Target) {
		return true
	}
	if withPort && got.port != t.port {
		return false
	}
	if t.host != belljar.Localhost {
		return got.host == t.host
	}
	return got.host == belljar.Localhost || strings.HasSuffix(got.host, "."+belljar.Localhost) || got.addr.IsLoopback()
}

// page is http://policy.belljar/.
type page struct {
	g  *Gateway
	in *inside // the connection
}

func (h *page) Handle(r *http.Request) httpproxy.Action {
	if a, ok := h.endpoint(r); ok {
		return a
	}
	if r.Method == http.MethodPost {
		if r.URL.Path == agenthook.Page {
			return httpproxy.Action{Reply: h.line(r)}
		}
		return httpproxy.Action{Reply: h.propose(r)}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return httpproxy.Action{Reply: &httpproxy.Reply{Status: http.StatusMethodNotAllowed, Reason: "this page can be read only"}}
	}
	wantJSON := strings.Contains(r.Header.Get("Accept"), "application/json")
	if asked := r.URL.Query().Get("host"); asked != "" {
		return httpproxy.Action{Reply: h.explain(asked, wantJSON)}
	}
	if id := strings.TrimPrefix(r.URL.Path, "/"); id != "" {
		return httpproxy.Action{Reply: h.progress(r, id, wantJSON)}
	}
	return httpproxy.Action{Reply: h.overview(wantJSON)}
}

func (h *page) Failed(_ *http.Request, err error) *httpproxy.Reply {
	var rep *replyError
	if errors.As(err, &rep) {
		return rep.Reply
	}
	return faultReply(err)
}

// An Explanation is what the gateway's page says about one host, as JSON.
type Explanation struct {
	Host    string `json:"host"`
	Port    uint16 `json:"port"`
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Nearest string `json:"nearest,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

func (h *page) explain(asked string, wantJSON bool) *httpproxy.Reply {
	t, err := parseAuthority(asked, 443)
	if err != nil {
		return &httpproxy.Reply{Status: http.StatusBadRequest, Reason: "host is no host name or address", Body: "host is no host name or address\n"}
	}
	d := h.g.decide(t)
	e := Explanation{Host: t.name(), Port: t.port, Allowed: d.Allow, Reason: d.Reason, Fix: d.Fix}
	if d.Rule != nil {
		e.Rule = ruleText(d.Rule)
	}
	if d.Nearest != nil {
		e.Nearest = ruleText(d.Nearest)
	}
	if wantJSON {
		return jsonReply(e)
	}
	if d.Allow {
		return &httpproxy.Reply{Status: http.StatusOK, Body: fmt.Sprintf("%s port %d is allowed by the rule: %s\n", e.Host, e.Port, e.Rule)}
	}
	return &httpproxy.Reply{Status: http.StatusOK, Body: refusalText(t, d)}
}

// An Overview is what the gateway's page says, as JSON.
type Overview struct {
	Allowed []string      `json:"allowed"`
	Refused []Explanation `json:"refused"`
	// Proposable are what was tried and refused because no rule is about it: a rule for
	// it may be proposed.
	Proposable []Proposal `json:"proposable"`
	// Models are what may be asked of models, and what was spent of what.
	Models []string `json:"models,omitempty"`
	// Commands are those that rules kept from running, the newest first.
	Commands []RefusedCommand `json:"commands"`
	// Denied are programs that cannot run, in tiers that do not ask before each.
	Denied []DeniedProgram `json:"denied,omitempty"`
}

// maxShown bounds the lists of the page.
const maxShown = 50

func (h *page) overview(wantJSON bool) *httpproxy.Reply {
	o := Overview{Allowed: []string{}, Refused: []Explanation{}, Proposable: []Proposal{}}
	rules := h.g.current().Rules
	for i := range rules {
		o.Allowed = append(o.Allowed, ruleText(&rules[i]))
	}
	refused := h.g.rec.summary().Refused
	for i := len(refused) - 1; i >= 0 && len(o.Refused) < maxShown; i-- {
		x := refused[i]
		o.Refused = append(o.Refused, Explanation{Host: x.Host, Port: x.Port, Reason: x.Reason, Fix: x.Fix})
	}
	for _, a := range h.g.rec.tried.newest(maxShown) {
		o.Proposable = append(o.Proposable, Proposal{Host: a.host, Port: a.port, Method: a.method, Path: a.path})
	}
	o.Models = h.g.modelLines()
	o.Commands, o.Denied = h.g.refusedCommands(), h.g.denied
	if wantJSON {
		return jsonReply(o)
	}
	var b strings.Builder
	b.WriteString("This is a belljar sandbox. It reaches only what its policy names.\n\nallowed:\n")
	for _, a := range o.Allowed {
		fmt.Fprintf(&b, "  %s\n", a)
	}
	if len(o.Allowed) == 0 {
		b.WriteString("  nothing\n")
	}
	if len(o.Models) > 0 {
		fmt.Fprintf(&b, "\nmodels:\n  %s\n", strings.Join(o.Models, "\n  "))
	}
	b.WriteString("\nrefused, the last first:\n")
	for _, e := range o.Refused {
		fmt.Fprintf(&b, "  %s\n", e.Reason)
		if e.Fix != "" {
			fmt.Fprintf(&b, "    to allow it: %s\n", e.Fix)
		}
	}
	if len(o.Refused) == 0 {
		b.WriteString("  nothing\n")
	}
	if len(o.Commands) > 0 {
		b.WriteString("\ncommands that did not run (of programs: \"Operation not permitted\"), the last first:\n")
	}
	for _, c := range o.Commands {
		fmt.Fprintf(&b, "  %s\n    %s\n", printable(c.Command), printable(c.Reason))
	}
	if len(o.Denied) > 0 {
		b.WriteString("\nprograms that do not run (\"Permission denied\"), whatever the arguments:\n")
	}
	for _, d := range o.Denied {
		fmt.Fprintf(&b, "  %s\n    %s\n", printable(strings.Join(d.Files, " ")), printable(d.Reason))
	}
	b.WriteString(proposableText(o.Proposable))
	fmt.Fprintf(&b, "\nabout one host: http://%s/?host=NAME[:PORT]\n", belljar.PolicyHost)
	return &httpproxy.Reply{Status: http.StatusOK, Body: b.String()}
}

func jsonReply(v any) *httpproxy.Reply {
	b, err := json.Marshal(v)
	if err != nil {
		return faultReply(err)
	}
	return &httpproxy.Reply{Status: http.StatusOK, Type: "application/json", Body: string(b) + "\n"}
}
