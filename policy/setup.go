package policy

import (
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/goccy/go-yaml/ast"
)

const (
	keySetup      = "setup.run"
	keySetupAllow = "setup.allow"
)

func (d *decoder) setupKeys() map[string]func(pair) {
	return map[string]func(pair){
		"run":   func(p pair) { d.doc.setup = decodeList(d, p, keySetup, "lines", d.setupLine) },
		"allow": func(p pair) { d.doc.setupAllow = decodeList(d, p, keySetupAllow, "rules", d.setupHost) },
	}
}

func (d *decoder) setupHost(n ast.Node, key string) (belljar.NetRule, bool) {
	r, ok := d.rule(n, key)
	if ok && r.Host == belljar.Localhost {
		d.add(d.at(n), key, "write it into network.allow", "a service of this host is there from the start to the end")
		return r, false
	}
	return r, ok
}

func (d *decoder) setupLine(n ast.Node, key string) (string, bool) {
	s, ok := d.text(n, key)
	if ok && strings.TrimSpace(s) == "" {
		d.add(d.at(n), key, "", "an empty line runs nothing")
		return "", false
	}
	return s, ok
}

// setupRule is setup.run: what runs inside allows nothing, so that every layer may add.
type setupRule struct{}

func (setupRule) merge(s *state, d *document) {
	if d.setup.clears() {
		s.setup = nil
	}
	add(&s.setup, d.setup.items, same[string])
}

func (r setupRule) tighten(s, _ *state, d *document, _ *report) { r.merge(s, d) }

func (setupRule) limit(_ *state, c *document, r *report, _ func(string, mark)) {
	if c.setup.set {
		r.add(c.setup.mark, keySetup, "", "a ceiling only limits: it runs nothing")
	}
}

// setupAllowed is setup.allow: a permission that the ceiling's network.allow covers.
type setupAllowed struct{ permission[belljar.NetRule] }

func setupAllow() keyRule {
	return setupAllowed{permission[belljar.NetRule]{
		keySetupAllow,
		func(d *document) list[belljar.NetRule] { return d.setupAllow },
		func(s *state) *[]item[belljar.NetRule] { return &s.setupRules },
		ruleText,
		func(s *state) func(belljar.NetRule) bool {
			always, before := s.work.indexItems(s.rules).covers, s.work.indexItems(s.setupRules).covers
			return func(r belljar.NetRule) bool { return always(r) || before(r) }
		},
		cutRule,
	}}
}

func (p setupAllowed) limit(s *state, c *document, r *report, cut func(string, mark)) {
	if c.setupAllow.set {
		r.add(c.setupAllow.mark, keySetupAllow, "write network.allow", "a ceiling has one list of what may be reached")
	}
	q := p.permission
	q.doc = func(d *document) list[belljar.NetRule] { return d.allow }
	q.limit(s, c, r, cut)
}

// Setup is what runs inside before the command, in order.
func (p *Policy) Setup() []belljar.SetupStep {
	var l []belljar.SetupStep
	for _, s := range p.state.setup {
		l = append(l, belljar.SetupStep{Argv: []string{"/bin/sh", "-c", s.value}, Origin: s.origin()})
	}
	return l
}

// setupLines are the lines for the hash: their order counts.
func (s *state) setupLines() []string {
	l := make([]string, len(s.setup))
	for i := range l {
		l[i] = s.setup[i].value
	}
	return l
}

func (w *yamlWriter) setup(s *state) {
	if len(s.setup)+len(s.setupRules) == 0 {
		return
	}
	w.line(0, "setup:", "")
	w.list("run", s.setup, quote)
	w.rules(s.setupRules)
}
