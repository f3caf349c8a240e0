package policy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
)

// An index finds the rules that speak of a host or an address without looking at
// all of them.
type index struct {
	rules []belljar.NetRule
	names map[string][]int // exact names, and "*.x" for wildcards
	cidrs map[netip.Prefix][]int
	bits  []int // lengths that occur in cidrs: IPv6 as 1000 more
	work  *work
}

func (w *work) indexItems(items []item[belljar.NetRule]) *index {
	rules := make([]belljar.NetRule, len(items))
	for i := range items {
		rules[i] = items[i].value
	}
	return w.newIndex(rules)
}

func (w *work) newIndex(rules []belljar.NetRule) *index {
	x := &index{rules: rules, names: make(map[string][]int, len(rules)), cidrs: map[netip.Prefix][]int{}, work: w}
	for i, r := range rules {
		if r.Host != "" {
			x.names[r.Host] = append(x.names[r.Host], i)
			continue
		}
		if b := lengthKey(r.CIDR.Addr(), r.CIDR.Bits()); !slices.Contains(x.bits, b) {
			x.bits = append(x.bits, b)
		}
		x.cidrs[r.CIDR] = append(x.cidrs[r.CIDR], i)
	}
	return x
}

func lengthKey(a netip.Addr, bits int) int {
	if a.Is6() {
		return 1000 + bits
	}
	return bits
}

// host lists the rules that match a name or contain a wildcard, in rising order.
func (x *index) host(h string) []int {
	found := slices.Clone(x.names[h])
	rest, wild := strings.CutPrefix(h, "*.")
	if wild {
		h = rest
		// "*.b.c" lies in "*.c", and the loop begins there.
	}
	for {
		i := strings.IndexByte(h, '.')
		if i < 0 {
			break
		}
		h = h[i+1:]
		found = append(found, x.names["*."+h]...)
	}
	slices.Sort(found)
	return found
}

// prefix lists the rules whose range contains all of p, in rising order.
func (x *index) prefix(p netip.Prefix) []int {
	var found []int
	for _, b := range x.bits {
		bits := b
		if p.Addr().Is6() {
			bits -= 1000
		}
		if bits < 0 || bits > p.Bits() {
			continue
		}
		if wide, err := p.Addr().Prefix(bits); err == nil {
			found = append(found, x.cidrs[wide]...)
		}
	}
	slices.Sort(found)
	return found
}

// about lists the rules that contain the host or the range of r.
func (x *index) about(r belljar.NetRule) []int {
	if r.Host != "" {
		return x.host(r.Host)
	}
	return x.prefix(r.CIDR)
}

// covers says whether every port of r is allowed already, private where r is, with
// all requests that r allows, and without asking where r does not ask.
func (x *index) covers(r belljar.NetRule) bool {
	q := requestsOf(r)
	var some []int // the rules that may cover a part
	for _, i := range x.about(r) {
		rule := &x.rules[i]
		if !x.work.spend(1) {
			return false
		}
		if r.Private && !rule.Private || rule.Ask && !r.Ask {
			continue
		}
		// What is confined is never as much as a connection that may carry anything.
		if !rule.Confined() || r.Confined() && x.sharesPort(r, rule) && x.work.constraintWithin(&q.Constraint, &rule.Constraint) {
			some = append(some, i)
		}
	}
	known := map[string]bool{} // by the rules that are there for a port
	for _, p := range r.Ports {
		if !x.coversPort(q, p, some, known) {
			return false
		}
	}
	return true
}

func (x *index) sharesPort(r belljar.NetRule, rule *belljar.NetRule) bool {
	return x.work.spend(len(r.Ports)) && slices.ContainsFunc(r.Ports, func(p uint16) bool { return slices.Contains(rule.Ports, p) })
}

// coversPort says whether the requests q to one port lie within what some rules allow.
func (x *index) coversPort(q requests, port uint16, some []int, known map[string]bool) bool {
	var those []requests
	key := ""
	for _, i := range some {
		rule := &x.rules[i]
		if !x.work.spend(1) {
			return false
		}
		if !slices.Contains(rule.Ports, port) {
			continue
		}
		if !rule.Confined() {
			return true
		}
		those = append(those, requestsOf(*rule))
		key += strconv.Itoa(i) + " "
	}
	if _, ok := known[key]; !ok {
		known[key] = len(those) > 0 && x.work.pathsAndMethodsWithin(q, those)
	}
	return known[key]
}

// cutRule is the part of r that the ceiling's rules allow.
func cutRule(w *work, r belljar.NetRule, ceiling []item[belljar.NetRule]) []belljar.NetRule {
	var parts []belljar.NetRule
	for _, c := range ceiling {
		part, ok := w.intersect(r, c.value)
		if !ok {
			continue
		}
		merged := false
		for i := range parts {
			if samePlace(parts[i], part) {
				parts[i].Ports = union(parts[i].Ports, part.Ports)
				merged = true
			}
		}
		if !merged {
			parts = append(parts, part)
		}
	}
	// Pieces that come to all of r are r.
	if w.newIndex(parts).covers(r) {
		return []belljar.NetRule{r}
	}
	return parts
}

// samePlace says whether rules differ in nothing but their ports.
func samePlace(a, b belljar.NetRule) bool {
	return a.Host == b.Host && a.CIDR == b.CIDR && a.Private == b.Private && a.Ask == b.Ask && requestsOf(a).text() == requestsOf(b).text()
}

func union(a, b []uint16) []uint16 {
	u := append(slices.Clone(a), b...)
	slices.Sort(u)
	return slices.Compact(u)
}

// intersect is what both rules allow, but for paths that no pattern can name.
func (w *work) intersect(a, b belljar.NetRule) (belljar.NetRule, bool) {
	r, ok := intersectPlace(a, b)
	if !ok {
		return r, false
	}
	q, ok := w.both(requestsOf(a), requestsOf(b))
	return q.only(r), ok
}

// intersectPlace is the hosts, addresses and ports that both rules name.
func intersectPlace(a, b belljar.NetRule) (belljar.NetRule, bool) {
	r := belljar.NetRule{Private: a.Private && b.Private, Ask: a.Ask || b.Ask, Origin: a.Origin}
	switch {
	case a.Host != "" && hostWithin(a.Host, b.Host):
		r.Host = a.Host
	case b.Host != "" && hostWithin(b.Host, a.Host):
		r.Host = b.Host
	case a.Host == "" && b.Host == "" && prefixWithin(a.CIDR, b.CIDR):
		r.CIDR = a.CIDR
	case a.Host == "" && b.Host == "" && prefixWithin(b.CIDR, a.CIDR):
		r.CIDR = b.CIDR
	default:
		return r, false
	}
	for _, p := range a.Ports {
		if slices.Contains(b.Ports, p) {
			r.Ports = append(r.Ports, p)
		}
	}
	return r, len(r.Ports) > 0
}

// hostWithin says whether every name of pattern a is one of pattern b.
func hostWithin(a, b string) bool {
	if a == b {
		return true
	}
	suffix, wild := strings.CutPrefix(b, "*")
	return wild && b != "" && strings.HasSuffix(strings.TrimPrefix(a, "*"), suffix) && len(strings.TrimPrefix(a, "*.")) > len(suffix)-1
}

// prefixWithin says whether every address of a is one of b.
func prefixWithin(a, b netip.Prefix) bool {
	return a.Addr().Is4() == b.Addr().Is4() && a.Bits() >= b.Bits() && b.Contains(a.Addr())
}
