package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/gateway/httpproxy"
)

const (
	// MaxGranted is how many rules may be added while a sandbox runs.
	MaxGranted = 256
	// maxAskedPath bounds a path that is asked about: a rule could have no longer one.
	maxAskedPath = 512
)

// LayerApproved is the layer of rules that were added while the sandbox runs.
const LayerApproved = "approved"

// current is the policy as it is now: the plan's with what was added since.
func (g *Gateway) current() *belljar.Network { return g.rules.Load() }

// ownRules is n, and n as it is in setup, with rules that stay where they are when others
// are added and when setup ends: those of setup stand before the others.
func ownRules(n *belljar.Network) (own, inSetup *belljar.Network) {
	all := append(make([]belljar.NetRule, 0, len(n.Setup)+len(n.Rules)+MaxGranted), n.Setup...)
	all = append(all, n.Rules...)
	x, y := *n, *n
	x.Rules, y.Rules = all[len(n.Setup):], all
	if len(n.Setup) == 0 {
		return &x, &x
	}
	return &x, &y
}

// Allow adds a rule for one host and port, or one address and port, at once: every
// question and connection from now on is judged by it. The address guard is not part of
// what is judged by rules. The error says why the rule cannot hold here.
func (g *Gateway) Allow(rule belljar.NetRule) error {
	switch {
	case strings.HasPrefix(rule.Host, "*."), rule.Host == belljar.PolicyHost, len(rule.Ports) != 1:
		return errors.New("only one host and one port is allowed while a sandbox runs")
	case rule.Host == belljar.Localhost && !g.asksAbout(rule):
		return errors.New("a service of this host is allowed by a policy only")
	case rule.Host == "" && (!rule.CIDR.IsSingleIP() || rule.Confined()):
		return errors.New("only one address is allowed while a sandbox runs")
	case g.blind(rule.Ports[0]) && rule.Host != belljar.Localhost && rule.Confined():
		return errors.New("this sandbox began without a rule or credential for which TLS is ended, so that it cannot see single requests: allow the host")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.current()
	if g.granted >= MaxGranted {
		return fmt.Errorf("more than %d rules were added: put them into a policy", MaxGranted)
	}
	if rule.Host != "" && rule.Host != belljar.Localhost {
		if _, err := g.names.add(rule.Host); err != nil {
			return err
		}
	}
	if rule.Origin.Layer == "" {
		rule.Origin = belljar.Origin{Layer: LayerApproved}
	}
	g.granted++
	now := *old
	now.Rules = append(old.Rules, rule) // in place, see ownRules: questions know rules by where they are
	g.rules.Store(&now)
	return nil
}

// EndSetup takes back the rules that hold in setup, and ends every connection: what
// began one has had its time. Rules that were added since stay.
func (g *Gateway) EndSetup() {
	g.mu.Lock()
	n := len(g.network.Setup)
	if n == 0 || g.setupOver {
		g.mu.Unlock()
		return
	}
	g.setupOver = true
	now := *g.current()
	now.Rules = now.Rules[n:]
	g.rules.Store(&now)
	g.mu.Unlock()
	// Who was judged by the old rules has a flow already.
	for _, f := range g.flows.list() {
		f.close()
	}
}

// asksAbout says whether a rule of the policy asks about exactly what rule allows.
func (g *Gateway) asksAbout(rule belljar.NetRule) bool {
	q := belljar.NetRequest{Host: rule.Host, Port: rule.Ports[0]}
	if rule.Confined() {
		if len(rule.Methods) != 1 || len(rule.Paths) != 1 {
			return false
		}
		q.Method, q.Path = rule.Methods[0], rule.Paths[0]
	}
	return slices.ContainsFunc(g.current().Rules, func(r belljar.NetRule) bool {
		if !r.Ask || !reflect.DeepEqual(r.Constraint, rule.Constraint) || r.Confined() && !rule.Confined() {
			return false
		}
		r.Constraint = belljar.Constraint{}
		n := belljar.Network{Rules: []belljar.NetRule{r}}
		return n.Decide(q).Ask
	})
}

// blind says whether requests to a port cannot be seen.
func (g *Gateway) blind(port uint16) bool { return g.authority == nil && port != 80 }

// RuleFor is the rule that allows the subject of a question and nothing else, under the
// conditions of the rule that asks; by is nobody where no rule does. With an error no rule
// is as narrow as the question, which can be answered for once only.
func (g *Gateway) RuleFor(s approval.Subject, by approval.Asker) (belljar.NetRule, error) {
	rule := belljar.NetRule{Host: s.Host, Ports: []uint16{s.Port}}
	if a, err := netip.ParseAddr(s.Host); err == nil {
		rule.Host, rule.CIDR = "", netip.PrefixFrom(a, a.BitLen())
	}
	if s.Method != "" {
		rule.Methods, rule.Paths = []string{s.Method}, []string{s.Path}
	}
	if by.Net == nil {
		return rule, nil
	}
	if by.Net.Git != nil || s.Method == "" && by.Net.Confined() {
		return rule, errors.New("the rule that asks is about more than the connection or the path")
	}
	rule.Private = by.Net.Private // the policy says so, whoever answers
	rule.Constraint = by.Net.Constraint
	return rule, nil
}

// Allows says whether what by asks about passes without asking now, and under conditions
// that are as strict where it goes on as what by asks about. Of commands it knows nothing.
func (g *Gateway) Allows(s approval.Subject, by approval.Asker) bool {
	d := g.current().Decide(netRequest(s))
	return s.Command == "" && d.Allow && (by.Net == nil || restsOn(by.Net, d.Rule) == "")
}

// restsOn says why a request that goes as rule has it may not be let pass because other
// allows it as well; empty: it may. What other bounds would not be bounded.
func restsOn(rule, other *belljar.NetRule) string {
	switch {
	case rule == other:
		return ""
	case other.Rate != nil && other.Rate != rule.Rate:
		return "a rule that has a rate"
	case other.Response > 0 && (rule.Response == 0 || rule.Response > other.Response):
		return "a rule that bounds the answer"
	case rule.Private && !other.Private:
		return "a rule that is not for private addresses"
	}
	return ""
}

func netRequest(s approval.Subject) belljar.NetRequest {
	q := belljar.NetRequest{Host: s.Host, Port: s.Port, Method: s.Method, Path: s.Path}
	if a, err := netip.ParseAddr(s.Host); err == nil {
		q.Host, q.Addr = "", a
	}
	return q
}

// ask waits for the answer about something that d asks about. What comes back allows it
// or says why not.
func (g *Gateway) ask(ctx context.Context, s approval.Subject, d belljar.Decision) belljar.Decision {
	what := s.Host
	if s.Method != "" {
		what += ": " + s.Method + " " + s.Path
	}
	no := belljar.Decision{Ask: true, Nearest: d.Rule}
	if g.questions == nil {
		no.Reason = what + ": the policy asks somebody outside first, but nobody is there"
		return no
	}
	id, err := g.questions.Ask(ctx, s, approval.AskedBy(d.Rule))
	switch {
	case err == nil:
		return belljar.Decision{Allow: true, Rule: d.Rule}
	case errors.Is(err, approval.ErrDenied):
		no.Reason = what + ": somebody outside was asked and denied it"
	case errors.Is(err, approval.ErrParked):
		no.Reason = fmt.Sprintf("%s: somebody outside is asked (question %s), and has not answered yet", what, id)
	case ctx.Err() != nil:
		no.Reason = what + ": nobody answered while it waited"
	default:
		no.Reason = what + ": the policy asks somebody outside first: " + err.Error()
	}
	return no
}

// permit judges a connection, and waits where it is asked about. A connection whose
// requests are seen is allowed: they are asked about one by one.
func (g *Gateway) permit(ctx context.Context, t target) belljar.Decision {
	d := g.decide(t)
	if !d.Ask {
		return d
	}
	if g.sees(t) {
		d.Allow = true
		return d
	}
	return g.ask(ctx, approval.Subject{Host: t.name(), Port: t.port}, d)
}

// askRequest makes x wait for an answer before it is sent. Only then its credentials are
// looked for and put into its header.
func (h *seen) askRequest(x *exchange, s approval.Subject, d belljar.Decision) {
	x.ask = func(ctx context.Context, header http.Header) *httpproxy.Reply {
		no := h.g.ask(ctx, s, d)
		if !no.Allow {
			return &httpproxy.Reply{Status: http.StatusForbidden, Reason: clip(no.Reason), Body: requestText(h.t, s.Method, s.Path, no, "")}
		}
		if x.v == nil {
			return nil
		}
		x.v.Put(ctx, header)
		if x.v.Refuse != "" {
			no = belljar.Decision{Nearest: d.Rule, Reason: x.v.Refuse}
			return &httpproxy.Reply{Status: x.v.Status, Reason: clip(no.Reason), Body: requestText(h.t, s.Method, s.Path, no, x.v.Fix)}
		}
		x.mu.Lock()
		x.event.Credential, x.event.Program = strings.Join(x.v.Injected, ","), clip(x.v.Program)
		x.mu.Unlock()
		return nil
	}
}

// unaskable says why a request is not asked about; empty: it is.
func unaskable(r *http.Request, path, merged string) string {
	_, upgrades := r.Header["Upgrade"]
	switch {
	case upgrades:
		return "a WebSocket, on which anything may be sent, is not asked about"
	case len(path) > maxAskedPath, len(r.Method) > 32:
		return "the path is too long to ask about"
	case path == "*", merged != path:
		return "a path with empty segments is not asked about"
	}
	return ""
}
