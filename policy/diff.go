package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
)

// A Change is one thing that became possible or impossible between two policies.
type Change struct {
	Key string `json:"key"` // of the policy file: network.allow, files.read, …
	// Possible says that the new policy allows more; otherwise it allows less. A
	// value that is neither more nor less, such as another tier, is Possible.
	Possible bool           `json:"possible"`
	What     string         `json:"what"` // the host and port, path, pattern, variable or value
	Old      string         `json:"old,omitempty"`
	New      string         `json:"new,omitempty"`
	Except   []string       `json:"except,omitempty"` // parts of What for which nothing changed
	Origin   belljar.Origin `json:"origin"`           // of the new policy's line, or of the old one's that is gone

	net    belljar.NetRule // of network.allow and network.private: one port
	except []belljar.NetRule
}

// String is the change in one line.
func (c Change) String() string {
	sign := "-"
	if c.Possible {
		sign = "+"
	}
	s := sign + " " + c.Key + ": " + printable(c.What)
	if c.Old != "" || c.New != "" {
		s += ": " + printable(c.Old) + " -> " + printable(c.New)
	}
	if len(c.Except) > 0 {
		s += " (except " + printable(strings.Join(c.Except, ", ")) + ")"
	}
	return s
}

// Covers says whether a change of network.allow is about request r: exactly the
// requests whose verdict changed are covered. Other changes cover none.
func (c Change) Covers(r belljar.NetRequest) bool {
	if c.Key != keyAllow || !matches(c.net, r) {
		return false
	}
	return !slices.ContainsFunc(c.except, func(e belljar.NetRule) bool { return matches(e, r) })
}

const (
	keyAllow   = "network.allow"
	keyPrivate = "network.private"
	keyAsk     = "network.ask"
)

// matches asks the real decider.
func matches(rule belljar.NetRule, r belljar.NetRequest) bool {
	n := belljar.Network{Rules: []belljar.NetRule{rule}}
	return n.Decide(r).Allow
}

// Diff lists exactly what became possible and what became impossible from old to
// new: a rule that is written in another way, in another file or order and allows
// the same is no change.
func Diff(old, new *Policy) []Change {
	a, b := old.state.compared(), new.state.compared()
	b.work = a.work
	var l []Change
	l = append(l, diffWords("tier", a.tier, b.tier, a.tierWithin(b.tier.value, a.tier.value))...)
	mode := func(i item[belljar.Mode]) item[string] { return item[string]{string(i.value), i.mark} }
	l = append(l, diffWords("workspace.mode", mode(a.mode), mode(b.mode), modeRank(b.mode.value) < modeRank(a.mode.value))...)
	l = append(l, diffSets(keyLanding, a.landing, b.landing, true)...)
	// Whatever is writable is readable: a path that is in both lists counts once.
	l = append(l, diffPaths("files.read", a.read, b.read, slices.Concat(a.read, a.write), slices.Concat(b.read, b.write))...)
	l = append(l, diffPaths("files.write", a.write, b.write, a.write, b.write)...)
	l = append(l, diffSets("files.hide", a.hide, b.hide, false)...)
	l = append(l, diffSets("files.hold", a.hold, b.hold, false)...)
	l = append(l, diffSets("network.registries", a.registries, b.registries, true)...)
	unasked := func(r belljar.NetRule) bool { return !r.Ask }
	l = append(l, diffRules(a.work, keyAllow, only(a.rules, unasked), only(b.rules, unasked))...)
	private := func(r belljar.NetRule) bool { return r.Private && !r.Ask }
	l = append(l, diffRules(a.work, keyPrivate, only(a.rules, private), only(b.rules, private))...)
	l = append(l, diffSets(keyAsk, asking(a.rules), asking(b.rules), true)...)
	l = append(l, diffGit(a, b)...)
	l = append(l, diffLLM(a, b)...)
	l = append(l, diffWords(keySign, a.sign, b.sign, b.sign.value == SignNone)...)
	l = append(l, diffSets("network.publish", portWords(a.publish), portWords(b.publish), true)...)
	for _, n := range limitNames() {
		l = append(l, diffLimit(n, a.limits[n], b.limits[n])...)
	}
	l = append(l, diffSets("env.pass", a.pass, b.pass, true)...)
	l = append(l, diffEnv(a, b)...)
	l = append(l, diffCredentials(a, b)...)
	l = append(l, diffCommands(a, b)...)
	l = append(l, diffOTLP(a, b)...)
	l = append(l, diffRecords(a, b)...)
	l = append(l, diffNotify(a, b)...)
	l = append(l, diffSets(keySetup, a.setup, b.setup, true)...)
	l = append(l, diffRules(a.work, keySetupAllow, a.setupRules, b.setupRules)...)
	l = append(l, diffHome(a, b)...)
	return append(l, diffSets("sessions", a.sessions, b.sessions, true)...)
}

func diffWords(key string, a, b item[string], tighter bool) []Change {
	if a.value == b.value {
		return nil
	}
	return []Change{{Key: key, Possible: !tighter, What: b.value, Old: a.value, New: b.value, Origin: b.origin()}}
}

func diffLimit(name string, a, b item[int64]) []Change {
	if a.value == b.value {
		return nil
	}
	f := limitKindOf(name).format
	return []Change{{
		Key: "limits." + name, Possible: b.value > a.value, What: f(b.value), Old: f(a.value), New: f(b.value), Origin: b.origin(),
	}}
}

// diffSets compares lists of words; grants says whether a word allows or takes away.
func diffSets(key string, a, b []item[string], grants bool) []Change {
	var l []Change
	for _, side := range []struct {
		these, others []item[string]
		added         bool
	}{{b, a, true}, {a, b, false}} {
		has := make(map[string]bool, len(side.others))
		for _, i := range side.others {
			has[i.value] = true
		}
		for _, i := range side.these {
			if !has[i.value] {
				l = append(l, Change{Key: key, Possible: side.added == grants, What: i.value, Origin: i.origin()})
			}
		}
	}
	return l
}

// diffPaths compares lists of paths: what lies in a path that the other policy has
// (allA, allB) is no change, and what the other has below a path is excepted from it.
func diffPaths(key string, a, b, allA, allB []item[string]) []Change {
	var l []Change
	for _, side := range []struct {
		these, others []item[string]
		added         bool
	}{{b, allA, true}, {a, allB, false}} {
		for _, i := range side.these {
			if pathCovers(side.others)(i.value) {
				continue
			}
			c := Change{Key: key, Possible: side.added, What: i.value, Origin: i.origin()}
			for _, o := range side.others {
				if within(o.value, i.value) && !slices.Contains(c.Except, o.value) {
					c.Except = append(c.Except, o.value)
				}
			}
			l = append(l, c)
		}
	}
	return l
}

func portWords(l []item[uint16]) []item[string] {
	words := make([]item[string], len(l))
	for i, p := range l {
		words[i] = item[string]{strconv.Itoa(int(p.value)), p.mark}
	}
	return words
}

func only(l []item[belljar.NetRule], keep func(belljar.NetRule) bool) []item[belljar.NetRule] {
	var kept []item[belljar.NetRule]
	for _, i := range l {
		if keep(i.value) {
			kept = append(kept, i)
		}
	}
	return kept
}

// asking are the rules that ask, as they are written.
func asking(l []item[belljar.NetRule]) []item[string] {
	var words []item[string]
	for _, i := range l {
		if i.value.Ask {
			words = append(words, item[string]{ruleText(i.value), i.mark})
		}
	}
	return words
}

func diffEnv(a, b *state) []Change {
	var l []Change
	for _, n := range b.setNames() {
		if old, ok := a.set[n]; !ok || old.value != b.set[n].value {
			c := Change{Key: "env.set", Possible: true, What: n, Origin: b.set[n].origin()}
			l = append(l, c)
		}
	}
	for _, n := range a.setNames() {
		if _, ok := b.set[n]; !ok {
			l = append(l, Change{Key: "env.set", What: n, Origin: a.set[n].origin()})
		}
	}
	return l
}

func diffHome(a, b *state) []Change {
	words := func(s *state) []item[string] {
		l := make([]item[string], len(s.home))
		for i, h := range s.home {
			l[i] = item[string]{h.value.Path + " " + hashOf([]byte(h.value.Content))[:12], h.mark}
		}
		return l
	}
	return diffSets("home", words(a), words(b), true)
}

// An atom is a rule with one port.
type atom struct {
	host     string
	cidr     netip.Prefix
	port     uint16
	requests string
}

// diffRules compares rules port by port. Patterns of hosts and ranges of addresses
// never overlap in part: one lies in the other or they have nothing in common. So
// what changed is an atom without the atoms of the other policy that lie in it.
func diffRules(w *work, key string, a, b []item[belljar.NetRule]) []Change {
	var l []Change
	for _, side := range []struct {
		these, others []item[belljar.NetRule]
		added         bool
	}{{b, a, true}, {a, b, false}} {
		index := w.indexItems(side.others)
		seen := map[atom]bool{}
		for _, i := range side.these {
			for _, p := range i.value.Ports {
				one := i.value
				one.Ports, one.Private = []uint16{p}, false
				at := atom{one.Host, one.CIDR, p, requestsOf(one).text()}
				if seen[at] || index.covers(one) {
					continue
				}
				seen[at] = true
				c := Change{Key: key, Possible: side.added, net: one, Origin: i.origin(), What: atomText(one)}
				c.exceptAtoms(side.others, index)
				if !exhausted(one, c.except) {
					l = append(l, c)
				}
			}
		}
	}
	return l
}

func atomText(r belljar.NetRule) string {
	if r.Host != "" {
		return fmt.Sprintf("%s:%d%s", r.Host, r.Ports[0], requestsOf(r).text())
	}
	return fmt.Sprintf("%s port %d", r.CIDR, r.Ports[0])
}

// exceptAtoms notes what the other policy allows within the change.
func (c *Change) exceptAtoms(others []item[belljar.NetRule], index *index) {
	of := func(yield func(belljar.NetRule) bool) {
		if c.net.Host != "" && !strings.HasPrefix(c.net.Host, "*.") || c.net.CIDR.IsSingleIP() {
			for _, i := range index.about(c.net) { // nothing else lies within one name or one address
				if !yield(index.rules[i]) {
					return
				}
			}
			return
		}
		for i := range others {
			if !yield(others[i].value) {
				return
			}
		}
	}
	for o := range of {
		part, ok := intersectPlace(o, c.net)
		part.Private, part.Ask = false, false
		part = requestsOf(o).only(part)
		if !ok || slices.ContainsFunc(c.except, func(e belljar.NetRule) bool { return samePlace(e, part) }) {
			continue
		}
		c.except = append(c.except, part)
		c.Except = append(c.Except, atomText(part))
	}
}

// exhausted says whether the exceptions leave nothing of a range of addresses.
// (Infinitely many names lie below a wildcard, so its exceptions always leave some.)
func exhausted(r belljar.NetRule, except []belljar.NetRule) bool {
	if r.Host != "" || len(except) == 0 {
		return false
	}
	var parts []netip.Prefix
	for _, e := range except {
		parts = append(parts, e.CIDR)
	}
	return fills(r.CIDR, parts)
}

// fills says whether parts, all within p, come to all of p.
func fills(p netip.Prefix, parts []netip.Prefix) bool {
	if slices.Contains(parts, p) {
		return true
	}
	if len(parts) == 0 || p.IsSingleIP() {
		return false
	}
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	high := netip.PrefixFrom(flip(p.Addr(), p.Bits()), p.Bits()+1)
	var below, above []netip.Prefix
	for _, q := range parts {
		if low.Contains(q.Addr()) {
			below = append(below, q)
		} else {
			above = append(above, q)
		}
	}
	return fills(low, below) && fills(high, above)
}

// flip inverts one bit of an address.
func flip(a netip.Addr, bit int) netip.Addr {
	b := a.AsSlice()
	b[bit/8] ^= 0x80 >> (bit % 8)
	f, _ := netip.AddrFromSlice(b)
	return f
}
