package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
	"github.com/belljar-dev/belljar/gateway/urlpath"
)

const (
	// maxTried bounds what is remembered of refusals for proposals: the newest.
	maxTried = 256
	// maxProposal bounds the body of a proposal, maxNote what it says for itself.
	maxProposal  = 8 << 10
	maxNote      = 200
	proposalTime = 10 * time.Second // for the body to arrive
	awaitTime    = time.Minute      // for an answer, at most
)

// attempted is what was tried and refused because no rule is about it: a request, a
// connection (no method), a name (no port).
type attempted struct {
	host         string
	port         uint16
	method, path string
}

// tried remembers the newest refusals. It is safe for concurrent use.
type tried struct {
	mu   sync.Mutex
	list []attempted // the oldest first; each once
}

func (l *tried) add(a attempted) {
	if len(a.path) > maxAskedPath || len(a.method) > 32 || a.host == belljar.Localhost {
		return // no rule could be made of it
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.list); n > 0 && l.list[n-1] == a {
		return
	}
	if i := slices.Index(l.list, a); i >= 0 {
		l.list = slices.Delete(l.list, i, i+1)
	} else if len(l.list) >= maxTried {
		l.list = slices.Delete(l.list, 0, 1)
	}
	l.list = append(l.list, a)
}

func (l *tried) newest(most int) []attempted {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []attempted
	for _, a := range slices.Backward(l.list) {
		if len(out) < most {
			out = append(out, a)
		}
	}
	return out
}

// covers says whether a was tried, or something of which it is a part.
func (l *tried) covers(a attempted) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range []attempted{a, {host: a.host, port: a.port}, {host: a.host}} {
		if slices.Contains(l.list, t) {
			return true
		}
	}
	return false
}

// A Proposal is what a program inside posts to the gateway's page, and what it lists.
type Proposal struct {
	Host   string `json:"host"` // a name, with a port after a colon or in Port
	Port   uint16 `json:"port,omitempty"`
	Method string `json:"method,omitempty"` // of one request; with Path
	Path   string `json:"path,omitempty"`
	Why    string `json:"why,omitempty"` // for the person who decides
}

// A Progress is what the gateway's page says about a proposal or a question, as JSON.
type Progress struct {
	ID     string         `json:"id,omitempty"`
	State  approval.State `json:"state"`
	What   string         `json:"what"`
	Advice string         `json:"advice"`
}

// readProposal reads what was posted: JSON or a form.
func (h *page) readProposal(r *http.Request) (p Proposal, err error) {
	if h.in != nil {
		_ = h.in.SetReadDeadline(time.Now().Add(proposalTime))
		defer h.in.SetReadDeadline(time.Time{})
	}
	if r.ContentLength > maxProposal {
		return p, fmt.Errorf("more than %d bytes", maxProposal)
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxProposal+1))
	switch {
	case err != nil:
		return p, errors.New("it broke off")
	case len(b) > maxProposal:
		return p, fmt.Errorf("more than %d bytes", maxProposal)
	}
	return parseProposal(b, strings.Contains(r.Header.Get("Content-Type"), "json"))
}

func parseProposal(b []byte, isJSON bool) (p Proposal, err error) {
	if isJSON {
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil {
			return p, errors.New("it is not JSON of the form {\"host\": …, \"port\": …, \"method\": …, \"path\": …, \"why\": …}")
		}
		return p, nil
	}
	form, err := url.ParseQuery(strings.TrimSpace(string(b)))
	if err != nil {
		return p, errors.New("it is neither JSON nor a form")
	}
	for name, values := range form {
		to := map[string]*string{"host": &p.Host, "method": &p.Method, "path": &p.Path, "why": &p.Why}[name]
		switch {
		case len(values) != 1:
			return p, errors.New("one value for each field: a proposal is for one thing")
		case to != nil:
			*to = values[0]
		case name == "port":
			n, err := strconv.ParseUint(values[0], 10, 16)
			if err != nil {
				return p, errors.New("port is no port")
			}
			p.Port = uint16(n)
		default:
			return p, errors.New("the fields are host, port, method, path and why")
		}
	}
	return p, nil
}

// attempt is what p speaks of, in the spelling that is judged.
func (p Proposal) attempt() (a attempted, err error) {
	def := p.Port
	if def == 0 {
		def = 443
	}
	t, err := parseAuthority(p.Host, def)
	switch {
	case err != nil:
		return a, errors.New("host is no host name in ASCII (A-labels), with a port or without")
	case p.Port != 0 && t.port != p.Port:
		return a, errors.New("host and port name two ports")
	case t.host == "":
		return a, errors.New("host is an address: only names can be proposed")
	case t.host == belljar.Localhost || strings.HasSuffix(t.host, "."+belljar.Localhost) || t.host == belljar.PolicyHost:
		return a, errors.New("this host cannot be proposed")
	case (p.Method == "") != (p.Path == ""):
		return a, errors.New("name both method and path, or neither")
	}
	a = attempted{host: t.host, port: t.port}
	if p.Method == "" {
		return a, nil
	}
	path, err := urlpath.Parse(p.Path)
	switch {
	case !isMethod(p.Method):
		return a, errors.New("method is no method of a request")
	case err != nil:
		return a, err
	case path.Path == "*" || path.Slash || path.Nested || path.Merged() != path.Path || len(path.Path) > maxAskedPath:
		return a, errors.New("no rule could name this path alone")
	}
	a.method, a.path = p.Method, path.Path
	return a, nil
}

// isMethod says whether a rule may name m.
func isMethod(m string) bool {
	return m != "" && len(m) <= 32 && strings.Trim(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == "" && m != http.MethodConnect && m != http.MethodTrace
}

// propose answers a proposal.
func (h *page) propose(r *http.Request) *httpproxy.Reply {
	refuse := func(status int, why string) *httpproxy.Reply {
		return &httpproxy.Reply{Status: status, Reason: "not proposed: " + why, Body: "belljar does not take this proposal: " + why + "\n\nHow: http://" + belljar.PolicyHost + "/\n"}
	}
	if r.URL.Path != "/" && r.URL.Path != "" {
		return refuse(http.StatusNotFound, "post it to http://"+belljar.PolicyHost+"/")
	}
	if h.g.questions == nil {
		return refuse(http.StatusServiceUnavailable, "nobody outside answers here")
	}
	p, err := h.readProposal(r)
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	a, err := p.attempt()
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	if !h.g.rec.tried.covers(a) {
		return refuse(http.StatusForbidden, "only what was tried and refused for the want of a rule can be proposed, as it was tried: host, port, method and path")
	}
	if h.g.blind(a.port) { // what was tried is a connection, then
		a.method, a.path = "", ""
	}
	s := approval.Subject{Host: a.host, Port: a.port, Method: a.method, Path: a.path}
	switch d := h.g.judge(netRequest(s)); {
	case d.Allow:
		return h.told(r, Progress{State: approval.Allowed, What: a.String(), Advice: "it is allowed: try it again"}, http.StatusOK)
	case d.Ask:
		return h.told(r, Progress{State: approval.Open, What: a.String(), Advice: "no proposal is needed: try it, and somebody outside is asked"}, http.StatusOK)
	}
	q, err := h.g.questions.Propose(s, note(p.Why))
	switch {
	case errors.Is(err, approval.ErrDenied):
		return h.told(r, Progress{State: approval.Denied, What: a.String(), Advice: advice(approval.Denied, "")}, http.StatusForbidden)
	case err != nil:
		return refuse(http.StatusTooManyRequests, err.Error()+": wait for answers first")
	}
	return h.told(r, Progress{ID: q.ID, State: approval.Open, What: a.String(), Advice: advice(approval.Open, q.ID)}, http.StatusAccepted)
}

// note is what a program inside says for itself, as one short line.
func note(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, "?") {
		if n++; n > maxNote {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return strings.Join(strings.Fields(b.String()), " ") // no gaps, behind which it looks like a line of ours
}

func advice(s approval.State, id string) string {
	switch s {
	case approval.Open:
		return "the person outside is asked; to wait for the answer, again if need be: curl -sS 'http://" + belljar.PolicyHost + "/" + id + "?wait'"
	case approval.Allowed:
		return "it is allowed: try it again"
	case approval.Denied:
		return "the person outside denied it: do without it"
	}
	return "nobody answered: go on without it, or propose it again"
}

// String is what was tried, for people.
func (a attempted) String() string {
	s := "connections to " + a.host
	if a.method != "" {
		s = a.method + " " + a.path + " at " + a.host
	}
	if a.port != 0 {
		s += " port " + strconv.Itoa(int(a.port))
	}
	return s
}

// progress says what has become of a question; with ?wait it waits a while.
func (h *page) progress(r *http.Request, id string, wantJSON bool) *httpproxy.Reply {
	var q approval.Question
	var s approval.State
	found := false
	if h.g.questions != nil && len(id) < 20 {
		if _, wait := r.URL.Query()["wait"]; wait {
			ctx, cancel := context.WithTimeout(h.g.context(), awaitTime)
			q, s, found = h.g.questions.Await(ctx, id)
			cancel()
		} else {
			q, s, found = h.g.questions.Look(id)
		}
	}
	if !found {
		return &httpproxy.Reply{Status: http.StatusNotFound, Reason: "no such question", Body: "no such question\n"}
	}
	p := Progress{ID: q.ID, State: s, What: whatOf(q.Subject), Advice: advice(s, q.ID)}
	if wantJSON {
		return jsonReply(p)
	}
	return &httpproxy.Reply{Status: http.StatusOK, Body: p.text()}
}

// whatOf is what a question is about.
func whatOf(s approval.Subject) string {
	if s.Command != "" {
		return "to run " + s.Command
	}
	return attempted{s.Host, s.Port, s.Method, s.Path}.String()
}

func (p Progress) text() string {
	id := ""
	if p.ID != "" {
		id = "question " + p.ID + ", "
	}
	return fmt.Sprintf("%s%s: %s\n%s\n", id, p.State, p.What, p.Advice)
}

// told answers a proposal that was understood.
func (h *page) told(r *http.Request, p Progress, status int) *httpproxy.Reply {
	reply := &httpproxy.Reply{Status: status, Body: p.text()}
	if strings.Contains(r.Header.Get("Accept"), "json") {
		reply = jsonReply(p)
		reply.Status = status
	}
	if status >= 400 {
		reply.Reason = p.Advice
	}
	return reply
}

// proposeText says how a rule is proposed for what was refused; empty where none can be.
func proposeText(a attempted, d belljar.Decision) string {
	if !d.Missing || a.host == "" || a.host == belljar.Localhost || len(a.path) > maxAskedPath {
		return ""
	}
	return "To propose a rule for exactly this to the person outside:\n  " + proposeLine(Proposal{Host: a.host, Port: a.port, Method: a.method, Path: a.path}) + "\n"
}

// proposeLine is the command that proposes p, for a shell.
func proposeLine(p Proposal) string {
	host := p.Host
	if p.Port != 0 && p.Port != 443 {
		host += ":" + strconv.Itoa(int(p.Port))
	}
	s := "curl -sS -d host=" + host
	if p.Method != "" {
		s += " -d method=" + p.Method + " --data-urlencode 'path=" + strings.ReplaceAll(p.Path, "'", `'\''`) + "'"
	}
	return s + " --data-urlencode 'why=WHAT YOU NEED IT FOR' http://" + belljar.PolicyHost + "/"
}

// proposableText is the part of the page about proposals.
func proposableText(l []Proposal) string {
	if len(l) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nrules that can be proposed to the person outside, for what was tried, the last first (of a connection, add -d method=… -d path=… to\nask for less):\n")
	for _, p := range l {
		fmt.Fprintf(&b, "  %s\n", proposeLine(p))
	}
	return b.String()
}
