package policy

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/glob"
)

// An Explanation is a verdict with what decided it.
type Explanation struct {
	Kind    string `json:"kind"`
	Subject string `json:"subject"` // canonical
	// Verdict is allow or refuse for a host; pass, hide or hold, read, write or
	// refuse for a path; pass, set or refuse for a variable; the value for a limit.
	Verdict string          `json:"verdict"`
	Allowed bool            `json:"allowed"`
	Rule    *belljar.Origin `json:"rule,omitempty"`    // that decided, with layer, file, line and text
	Nearest *belljar.Origin `json:"nearest,omitempty"` // that came nearest, when refused
	Reason  string          `json:"reason"`
	Fix     string          `json:"fix,omitempty"` // what would allow it
}

// Kinds are the kinds of subjects that [Policy.Explain] knows.
func Kinds() []string { return []string{"host", "path", "limit", "env"} }

// Explain says what the policy means for one subject: a host (name or address, with
// an optional port, 443 without one), a path, a limit or a variable. Commands and
// credentials are not yet part of a policy. An error means that the question makes
// no sense; it is a *[belljar.Error] of KindUsage.
func (p *Policy) Explain(kind, subject string) (Explanation, error) {
	var e Explanation
	var err error
	switch kind {
	case "host":
		e, err = p.explainHost(subject)
	case "path":
		e, err = p.explainPath(subject)
	case "limit":
		e, err = p.explainLimit(subject)
	case "env":
		e, err = p.explainEnv(subject)
	case "command", "credential":
		err = fmt.Errorf("%ss are not yet part of a policy", kind)
	default:
		err = fmt.Errorf("nothing of kind %q can be explained: kinds are %s", kind, strings.Join(Kinds(), ", "))
	}
	if err != nil {
		return Explanation{}, &belljar.Error{Op: "explain", ID: printable(subject), Kind: belljar.KindUsage, Err: err}
	}
	e.Kind = kind
	return e, nil
}

// ExplainHost is the verdict about one connection.
func (p *Policy) ExplainHost(r belljar.NetRequest) Explanation {
	e := Explanation{Kind: "host", Subject: requestText(r), Verdict: "refuse"}
	if i, ok := p.index.request(r); ok {
		o := p.state.rules[i].origin()
		e.Verdict, e.Allowed, e.Rule = "allow", true, &o
		e.Reason = "allowed by " + ruleText(p.index.rules[i])
		return e
	}
	var n belljar.Network
	for _, i := range p.index.nearest(r) {
		rule := p.index.rules[i]
		rule.Origin = p.state.rules[i].origin()
		n.Rules = append(n.Rules, rule)
	}
	d := n.Decide(r)
	e.Reason, e.Fix = d.Reason, d.Fix
	if d.Nearest != nil {
		e.Nearest = &d.Nearest.Origin
	}
	if r.Host == "" && r.Addr.IsValid() {
		if err := checkPrefix(netip.PrefixFrom(r.Addr.Unmap().WithZone(""), r.Addr.Unmap().BitLen())); err != nil {
			e.Reason, e.Fix = err.Error()+", which no rule can allow", ""
		}
	}
	return e
}

func requestText(r belljar.NetRequest) string {
	if r.Host != "" {
		return fmt.Sprintf("%s:%d", r.Host, r.Port)
	}
	return netip.AddrPortFrom(r.Addr, r.Port).String()
}

func (p *Policy) explainHost(subject string) (Explanation, error) {
	host, port, err := splitPort(subject)
	if err != nil {
		return Explanation{}, err
	}
	if port == 0 {
		port = defaultPort
	}
	if a, aerr := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); aerr == nil {
		return p.ExplainHost(belljar.NetRequest{Addr: a.Unmap(), Port: port}), nil
	}
	h, err := Host(host)
	if err != nil {
		return Explanation{}, err
	}
	return p.ExplainHost(belljar.NetRequest{Host: h, Port: port}), nil
}

// explainPath judges a path by the lists of the policy. What the view holds by
// itself, because it would run on the host, is not known here.
func (p *Policy) explainPath(subject string) (Explanation, error) {
	if subject == "" || strings.ContainsRune(subject, 0) {
		return Explanation{}, fmt.Errorf("%q is not a path", subject)
	}
	abs := subject
	switch {
	case p.paths.home != "" && (subject == "~" || strings.HasPrefix(subject, "~/")):
		abs = filepath.Join(p.paths.home, subject[1:])
	case !filepath.IsAbs(subject):
		abs = filepath.Join("/", p.paths.workspace, subject)
	}
	abs = filepath.Clean(abs)
	e := Explanation{Subject: abs}
	if w := p.paths.workspace; w != "" && within(abs, w) || w == "" && !filepath.IsAbs(subject) {
		rel := strings.TrimPrefix(strings.TrimPrefix(abs, w), "/")
		p.explainInside(&e, rel)
		return e, nil
	}
	for _, l := range []struct {
		verdict string
		items   []item[string]
	}{{"write", p.state.write}, {"read", p.state.read}} {
		for _, i := range l.items {
			if within(abs, i.value) {
				o := i.origin()
				e.Verdict, e.Allowed, e.Rule = l.verdict, true, &o
				e.Reason = "lies in files." + l.verdict + " " + i.value
				return e, nil
			}
		}
	}
	e.Verdict, e.Reason = "refuse", "is outside the workspace and in neither files.read nor files.write"
	if p.paths.judge(abs, false) == nil {
		e.Fix = "--read " + abs
	}
	return e, nil
}

// explainInside judges a path below the workspace: a hidden folder hides what is in it.
func (p *Policy) explainInside(e *Explanation, rel string) {
	for _, l := range []struct {
		verdict string
		items   []item[string]
	}{{"hide", p.state.hide}, {"hold", p.state.hold}} {
		if i, ok := matchAny(l.items, rel); ok {
			o := i.origin()
			if o.Text == "" {
				o.Text = i.value
			}
			e.Verdict, e.Rule = l.verdict, &o
			e.Reason = "matches files." + l.verdict + " " + i.value
			e.Allowed = l.verdict == "hold"
			return
		}
	}
	e.Verdict, e.Allowed, e.Reason = "pass", true, "no pattern of the policy matches"
	if m := p.state.mode; m.value != belljar.ModeLive {
		o := m.origin()
		e.Verdict, e.Rule, e.Reason = "hold", &o, "every change is held in mode "+string(m.value)
		if m.value == belljar.ModeReadOnly {
			e.Verdict, e.Reason = "read", "no change is possible in mode readonly"
		}
	}
}

// matchAny finds a pattern that matches rel or a folder above it.
func matchAny(patterns []item[string], rel string) (item[string], bool) {
	var names []string
	for i, c := range rel {
		if c == '/' {
			names = append(names, rel[:i])
		}
	}
	names = append(names, rel)
	for _, i := range patterns {
		g, err := glob.Compile(i.value)
		if err == nil && slices.ContainsFunc(names, g.Match) {
			return i, true
		}
	}
	return item[string]{}, false
}

func (p *Policy) explainLimit(name string) (Explanation, error) {
	l, ok := p.state.limits[name]
	if !ok {
		return Explanation{}, fmt.Errorf("no limit %q: limits are %s", name, strings.Join(limitNames(), ", "))
	}
	o := l.origin()
	v := limitKindOf(name).format(l.value)
	return Explanation{Subject: name, Verdict: v, Allowed: true, Rule: &o, Reason: "limits." + name + " is " + v}, nil
}

func (p *Policy) explainEnv(name string) (Explanation, error) {
	if !validEnvName(name) {
		return Explanation{}, fmt.Errorf("%q is not the name of a variable", name)
	}
	if v, ok := p.state.set[name]; ok {
		o := v.origin()
		return Explanation{Subject: name, Verdict: "set", Allowed: true, Rule: &o, Reason: "env.set gives it a value"}, nil
	}
	for _, i := range p.state.pass {
		if i.value == name {
			o := i.origin()
			return Explanation{Subject: name, Verdict: "pass", Allowed: true, Rule: &o, Reason: "env.pass names it"}, nil
		}
	}
	return Explanation{Subject: name, Verdict: "refuse", Reason: "neither env.pass nor env.set names it", Fix: "--env " + name}, nil
}
