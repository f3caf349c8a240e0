package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// A Seen is something that a sandbox reached, or was refused for the want of a rule.
type Seen struct {
	Host    string // a name; empty: Addr
	Addr    netip.Addr
	Port    uint16
	Method  string // of a request; empty: a connection whose requests were not seen
	Path    string // canonical
	Private bool   // the name led to an address of a private network
	Refused bool
}

// place is what rules differ in first.
type learnPlace struct {
	host string // or an address
	addr netip.Addr
	port uint16
}

// learned is what is known of one place.
type learned struct {
	private, whole bool
	paths          map[string][]string // by method, sorted
}

// Learn is the smallest policy that allows what was seen: as a policy file, always the
// same for the same things, in whatever order they are told. What was refused stands in
// comments, or is allowed as well where refused is set. A place where a rule could not
// name every path that was seen, alone, is allowed as a whole, and a comment says so.
func Learn(seen []Seen, refused bool) []byte {
	var w bytes.Buffer
	w.WriteString("version: 1\n")
	live, other := places(seen, func(s Seen) bool { return refused || !s.Refused }), map[learnPlace]*learned(nil)
	if !refused {
		n := belljar.Network{}
		for at, p := range live {
			rules, _ := p.rules(at)
			n.Rules = append(n.Rules, rules...)
		}
		other = places(seen, func(s Seen) bool {
			q := belljar.NetRequest{Host: s.Host, Addr: s.Addr, Port: cmp.Or(s.Port, defaultPort), Method: s.Method, Path: s.Path}
			return s.Refused && !n.Decide(q).Allow // it was allowed meanwhile
		})
	}
	if len(live) == 0 {
		w.WriteString("# nothing was reached\n")
	} else {
		w.WriteString("network:\n  allow:\n")
		writePlaces(&w, live, "    - ")
	}
	if len(other) > 0 {
		w.WriteString("# refused; to be allowed, below network.allow:\n")
		writePlaces(&w, other, "#   - ")
	}
	return w.Bytes()
}

func places(seen []Seen, want func(Seen) bool) map[learnPlace]*learned {
	all := map[learnPlace]*learned{}
	for _, s := range seen {
		if s.Port == 0 {
			s.Port = defaultPort
		}
		at := learnPlace{s.Host, s.Addr, s.Port}
		if s.Host != "" {
			at.addr = netip.Addr{}
		}
		if !want(s) || !at.nameable() {
			continue
		}
		p := all[at]
		if p == nil {
			p = &learned{paths: map[string][]string{}}
			all[at] = p
		}
		p.private = p.private || s.Private
		switch {
		case s.Method == "":
			p.whole = true
		case !slices.Contains(p.paths[s.Method], s.Path):
			p.paths[s.Method] = append(p.paths[s.Method], s.Path)
		}
	}
	return all
}

// nameable says whether a rule can name the place at all.
func (at learnPlace) nameable() bool {
	if at.host == belljar.Localhost {
		return true
	}
	if at.host != "" {
		h, err := Host(at.host)
		return err == nil && h == at.host
	}
	if !at.addr.IsValid() {
		return false
	}
	_, _, err := parsePrefix(at.addr.String())
	return err == nil
}

func writePlaces(w *bytes.Buffer, all map[learnPlace]*learned, bullet string) {
	order := make([]learnPlace, 0, len(all))
	for at := range all {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b learnPlace) int {
		return cmp.Or(strings.Compare(a.host, b.host), a.addr.Compare(b.addr), cmp.Compare(a.port, b.port))
	})
	for _, at := range order {
		rules, why := all[at].rules(at)
		for _, r := range rules {
			w.WriteString(bullet + ruleText(r))
			if why != "" {
				w.WriteString("  # " + why)
			}
			w.WriteByte('\n')
		}
	}
}

// maxLearned bounds the rules of one place; beyond it is allowed as a whole.
const maxLearned = 10

// rules are the rules for a place, and why there is only one, for all of it.
func (l *learned) rules(at learnPlace) ([]belljar.NetRule, string) {
	rule := belljar.NetRule{Host: at.host, Ports: []uint16{at.port}, Private: l.private && at.host != belljar.Localhost}
	if at.host == "" {
		rule.CIDR, rule.Private = netip.PrefixFrom(at.addr, at.addr.BitLen()), false
	}
	switch {
	case l.whole && len(l.paths) > 0:
		return []belljar.NetRule{rule}, "also connections whose requests were not seen"
	case l.whole:
		return []belljar.NetRule{rule}, ""
	}
	// Methods with the same paths share a rule. GET allows HEAD.
	groups := map[string][]string{}
	for m, paths := range l.paths {
		if m == "HEAD" {
			paths = slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return slices.Contains(l.paths["GET"], p) })
			if len(paths) == 0 {
				continue
			}
		}
		if _, err := parseMethod(m); err != nil {
			return []belljar.NetRule{rule}, "a method that no rule can name"
		}
		slices.Sort(paths)
		for _, p := range paths {
			if _, err := parsePathPattern(p); err != nil || strings.Contains(p, "*") {
				return []belljar.NetRule{rule}, "a path that no rule can name alone"
			}
		}
		key := strings.Join(paths, "\n")
		groups[key] = append(groups[key], m)
	}
	var rules []belljar.NetRule
	for key, methods := range groups {
		for paths := range slices.Chunk(strings.Split(key, "\n"), maxPaths) {
			one := rule
			one.Methods, one.Paths = canonicalMethods(methods), paths
			rules = append(rules, one)
		}
	}
	if len(rules) > maxLearned {
		return []belljar.NetRule{rule}, fmt.Sprintf("more than %d paths", maxLearned*maxPaths)
	}
	slices.SortFunc(rules, func(a, b belljar.NetRule) int {
		return cmp.Or(slices.Compare(a.Methods, b.Methods), slices.Compare(a.Paths, b.Paths))
	})
	return rules, ""
}
