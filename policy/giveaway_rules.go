package policy

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// rules tells where a credential goes by rules that only the project has: it is put into
// what it is bound to and some rule allows, so a rule that allows more gives more.
func (g *giveaway) rules(c grant, without, with *state) {
	old := slices.Concat(without.rules, without.setupRules)
	before := with.work.newIndex(given(with.work, c, old))
	had := with.work.indexItems(old)
	for _, rule := range slices.Concat(with.rules, with.setupRules) {
		if had.covers(rule.value) {
			continue
		}
		for _, h := range c.Hosts {
			bound := boundRule(c, h)
			part, ok := intersectPlace(bound, rule.value)
			if !ok {
				continue
			}
			q, ok, exact := meet(with.work, requestsOf(rule.value), c.requests())
			wide, narrow := part, part
			wide, narrow, part = requestsOf(rule.value).only(wide), c.requests().only(narrow), q.only(part)
			if exact && (!ok || before.covers(part)) || before.covers(wide) || before.covers(narrow) {
				continue
			}
			if !exact {
				part = requestsOf(narrow).only(part)
			}
			g.tellRule(c, part, before)
		}
	}
}

func (g *giveaway) tellRule(c grant, part belljar.NetRule, before *index) {
	to := c
	to.Hosts, to.Methods, to.Paths = []belljar.BoundHost{{Host: part.Host, Port: part.Ports[0]}}, part.Methods, part.Paths
	line := "sends " + to.giving()
	if part.Private {
		line += ", also at addresses of a private network"
	}
	var was []string
	for _, r := range before.rules {
		if _, ok := intersectPlace(part, r); !ok {
			continue
		}
		s := "to " + r.Host + requestsOf(r).text()
		if r.Private {
			s += ", also at addresses of a private network"
		}
		was = append(was, s)
	}
	if len(was) == 0 {
		was = []string{"not there"}
	}
	g.tell(line + ", by a rule of its own (without trust: " + strings.Join(was, "; ") + ")")
}

// given is what of a credential's hosts and requests the rules allow.
func given(w *work, c grant, rules []item[belljar.NetRule]) (parts []belljar.NetRule) {
	for _, h := range c.Hosts {
		for _, rule := range rules {
			if part, ok := w.intersect(boundRule(c, h), rule.value); ok {
				parts = append(parts, part)
			}
		}
	}
	return parts
}

// boundRule is the rule that would allow all that a credential has at h.
func boundRule(c grant, h belljar.BoundHost) belljar.NetRule {
	return belljar.NetRule{Host: h.Host, Ports: []uint16{h.Port}, Private: true, Methods: c.Methods, Paths: c.Paths}
}

// meet is [work.both] that says whether its answer is exact: no path is left out.
func meet(w *work, a, b requests) (q requests, ok, exact bool) {
	q, ok = w.both(a, b)
	if _, some := w.both(requests{methods: a.methods}, requests{methods: b.methods}); !some {
		return q, false, true // no method is in both
	}
	for _, p := range a.paths {
		apart := func(o string) bool {
			return p == o || w.patternWithin(p, []string{o}) || w.patternWithin(o, []string{p}) || disjoint(p, o)
		}
		if slices.ContainsFunc(b.paths, func(o string) bool { return !apart(o) }) {
			return q, ok, false
		}
	}
	return q, ok, true
}

// disjoint says whether two patterns surely have no path in common, by how they begin.
func disjoint(a, b string) bool {
	a, _, _ = strings.Cut(a, "*")
	b, _, _ = strings.Cut(b, "*")
	return !strings.HasPrefix(a, b) && !strings.HasPrefix(b, a)
}
