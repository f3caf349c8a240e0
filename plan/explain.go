package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/limit"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// An Explanation is a verdict of a plan about one subject, with what decided it.
type Explanation struct {
	Kind    string `json:"kind"`
	Subject string `json:"subject"` // canonical
	// Verdict is allow or refuse for a host; for a path pass, hold, hide or deny in the
	// project, read, write, private or refuse elsewhere; pass, set or refuse for a
	// variable; the value for a limit; stand-in or refuse for a credential; allow, ask or
	// refuse for a command.
	Verdict string `json:"verdict"`
	// Allowed says that the host can be reached, that the host's file is visible, that
	// the variable has a value.
	Allowed bool            `json:"allowed"`
	Rule    *belljar.Origin `json:"rule,omitempty"`    // that decided: its layer, and file, line and text where it has them
	Nearest *belljar.Origin `json:"nearest,omitempty"` // that came nearest, when refused
	Reason  string          `json:"reason"`
	Fix     string          `json:"fix,omitempty"` // what would change the verdict
}

// A Reasoned plan is a plan with what it was made of.
type Reasoned struct {
	Plan   *belljar.Plan
	Policy *policy.Policy
	Facts  *Facts
}

// Kinds are the kinds of subjects that [Reasoned.Explain] knows.
func Kinds() []string { return []string{"path", "host", "env", "limit", "credential", "command"} }

// Explain says what the plan means for one subject: a path (absolute, below ~/, or
// relative to the current folder), a host (a name or an address, with an optional
// port, 443 without one), a variable, a limit, a credential, a command with its arguments
// (as one word of the question). Paths are looked up on the host, links
// followed, as the sandbox would find them. An error means that the question makes no
// sense; it is a *[belljar.Error] of KindUsage.
func (r Reasoned) Explain(kind, subject string) (Explanation, error) {
	e := Explanation{Kind: kind, Subject: subject}
	x := explainer{r, map[int]*rules.Rules{}}
	var err error
	switch kind {
	case "host":
		err = x.host(&e)
	case "path":
		err = x.path(&e)
	case "limit":
		err = x.limit(&e)
	case "env":
		err = x.env(&e)
	case "credential":
		err = x.credential(&e)
	case "command":
		err = x.command(&e)
	default:
		err = fmt.Errorf("nothing of kind %q can be explained: kinds are %s", kind, strings.Join(Kinds(), ", "))
	}
	if err != nil {
		return Explanation{}, &belljar.Error{Op: "explain", ID: quoted(subject), Kind: belljar.KindUsage, Err: err}
	}
	return e, nil
}

// An explainer answers one question.
type explainer struct {
	Reasoned
	sets map[int]*rules.Rules // by view, compiled when they are first needed
}

// host asks the decider that the gateway asks.
func (r *explainer) host(e *Explanation) error {
	q, err := policy.ParseTarget(e.Subject)
	if err != nil {
		return err
	}
	e.Subject = destination(q)
	d := r.Plan.Network.Decide(q)
	if d.Allow {
		e.Verdict, e.Allowed, e.Rule = "allow", true, origin(d.Rule.Origin)
		e.Reason = "a rule names it"
		switch {
		case q.Host == belljar.Localhost:
			e.Reason = "it is this port of the host's own loopback"
		case d.Rule.Private:
			e.Reason += "; it may have an address of a private network"
		}
		e.Reason += r.confined(q)
		return nil
	}
	if d.Ask {
		e.Verdict, e.Rule = "ask", origin(d.Rule.Origin)
		e.Reason = "a rule names it, and somebody outside is asked each time: belljar approve"
		return nil
	}
	e.Verdict, e.Reason, e.Fix = "refuse", d.Reason, d.Fix
	if d.Nearest != nil {
		e.Nearest = origin(d.Nearest.Origin)
	}
	if err := r.Policy.MayReach(q); err != nil {
		e.Reason, e.Fix = d.Reason+", and no rule can allow it: "+err.Error(), ""
	}
	return nil
}

// confined says which requests of a connection that is allowed are, where not all.
func (r *explainer) confined(q belljar.NetRequest) string {
	n := &r.Plan.Network
	if !n.Sees(q.Host, q.Port) {
		return ""
	}
	if l := n.LLMRules(q.Host, q.Port); len(l) > 0 {
		return "; the gateway sees its requests: those of the API " + string(l[0].API) + " are judged" + at(l[0].Origin) + ", others need a rule with paths"
	}
	var some []string
	for _, rule := range n.Rules {
		one := belljar.Network{Rules: []belljar.NetRule{rule}}
		d := one.Decide(q)
		if d.Ask {
			some = append(some, strings.TrimSpace("after asking: "+ruleRequests(&rule)))
		}
		if !d.Allow {
			continue
		}
		if !rule.Confined() {
			return "; the gateway sees its requests, for a credential is bound to it"
		}
		some = append(some, ruleRequests(&rule))
	}
	return "; its requests are seen, and only these pass: " + strings.Join(some, "; ")
}

func destination(q belljar.NetRequest) string {
	if q.Host != "" {
		return q.Host + ":" + strconv.Itoa(int(q.Port))
	}
	return netip.AddrPortFrom(q.Addr, q.Port).String()
}

func origin(o belljar.Origin) *belljar.Origin { return &o }

func (r *explainer) limit(e *Explanation) error {
	l := r.Plan.Limits
	tokens := "unlimited"
	if l.Tokens > 0 {
		tokens = strconv.FormatInt(l.Tokens, 10)
	}
	values := []struct{ name, value string }{
		{"memory", limit.Format(limit.Memory, l.Memory)},
		{"cpus", strconv.FormatFloat(l.CPUs, 'g', -1, 64)},
		{"processes", strconv.Itoa(l.Processes)},
		{"disk", limit.Format(limit.Disk, l.Disk)},
		{"time", limit.Format(limit.Time, int64(l.Time))},
		{"files", strconv.Itoa(l.Files)},
		{"log", limit.Format(limit.Disk, l.Log)},
		{"tokens", tokens},
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.name
		if v.name != e.Subject {
			continue
		}
		e.Verdict, e.Allowed, e.Rule = v.value, true, origin(r.Policy.LimitOrigin(v.name))
		e.Reason = "limits." + v.name + " is " + v.value
		return nil
	}
	return fmt.Errorf("no limit %q: limits are %s", e.Subject, strings.Join(names, ", "))
}

// env makes the environment once more, with what gave each variable its value.
func (r *explainer) env(e *Explanation) error {
	name := e.Subject
	if name == "" || strings.ContainsAny(name, "=\x00") || !plainName(name) {
		return fmt.Errorf("%q is not the name of a variable", name)
	}
	m := r.maker()
	if v, ok := m.environment()[name]; ok {
		e.Verdict, e.Allowed, e.Rule, e.Reason = "set", true, origin(v.origin), v.why
		if v.passed {
			e.Verdict = "pass"
		}
		return nil
	}
	e.Verdict = "refuse"
	value, set := envMap(m.f.Env)[name]
	o, named := r.Policy.EnvOrigin(name)
	err := r.Policy.MayPass(name)
	switch {
	case err != nil:
		e.Reason = err.Error()
		if policy.NeverPassed(name) {
			e.Fix = "--env " + name + "=VALUE sets it"
		}
		return nil
	case named:
		e.Rule, e.Reason = origin(o), "env.pass names it, but it is not set here"
		return nil
	case set && slices.Contains(policy.CertVariables(), name):
		e.Reason = "it names no certificates that could be carried inside: " + quoted(value)
	case set && slices.Contains(policy.ToolVariables(), name):
		e.Reason = "it names a place that is not visible inside: " + quoted(value)
	case !set:
		e.Reason = "neither env.pass nor env.set names it, and it is not set here"
	default:
		e.Reason = "neither env.pass nor env.set names it"
	}
	e.Fix = "--env " + name
	return nil
}

// maker is the maker of the plan once more, as far as the environment and names need it.
func (r *explainer) maker() *maker {
	m := &maker{w: envWishes(r.Policy), f: r.Facts, p: r.Plan, t: newTable()}
	for _, v := range r.Plan.Workspace.Views {
		m.t.view(v.Target)
	}
	for _, x := range r.Plan.Mounts {
		m.t.byTarget[x.Target] = x
	}
	return m
}

// path finds where a path leads inside, and what serves that place.
func (r *explainer) path(e *Explanation) error {
	if e.Subject == "" || strings.ContainsRune(e.Subject, 0) {
		return errors.New("an empty name, or one with a NUL byte, is no path")
	}
	abs := e.Subject
	switch {
	case abs == "~" || strings.HasPrefix(abs, "~/"):
		abs = filepath.Join(r.Plan.Identity.Home, abs[1:])
	case !filepath.IsAbs(abs):
		abs = filepath.Join(r.Facts.Dir, abs)
	}
	abs = filepath.Clean(abs)
	e.Subject = abs
	at, ok := r.follow(abs)
	if !ok {
		e.Verdict, e.Reason = "refuse", "its links lead in a circle"
		return nil
	}
	named := abs // by which a rule would show it
	if under(abs, r.Plan.Workspace.Dir) {
		named = at
	}
	r.explainPlace(e, r.place(at), named)
	if at != abs {
		e.Reason = "it leads to " + quoted(at) + ": " + e.Reason
	}
	return nil
}
