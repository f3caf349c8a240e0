// Package policy reads what an agent may do and makes one immutable value of it.
//
// A policy comes in layers: belljar's defaults, presets, the user's file, the
// project's belljar.yaml, flags; each adds to the ones before, and the
// organisation's ceiling cuts all of them. [Load] reads every layer strictly,
// reports everything that is wrong at once, with line, column and a suggestion,
// and returns a [Policy] or an error, never both. An invalid policy cannot be built.
//
// A project's file comes from a repository that nobody has read. It may only make
// the policy tighter; what tighter means for each key is a table in this package
// ([Keys]), printed in docs/policy.md. Everything beyond is an [Untrusted] error
// until the user has trusted the very bytes of the file ([Trust]).
//
// Every value keeps its [belljar.Origin], so that [Policy.YAML] and
// whoever explains a plan can name the layer, file and line that decided.
//
// # Limitations
//
// Paths are judged by name and by the links that exist while the policy is
// loaded; the plan judges the real paths again before it mounts them. A wildcard
// allows every name below it, whoever owns it. The package does not know which
// names of a workspace run by themselves: package workspace/rules holds those.
package policy

import (
	"encoding/json"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
)

// A Policy says what an agent may do. It is immutable and safe for concurrent use;
// its methods return copies.
type Policy struct {
	state *state
	paths *paths
	hash  func() string // computed when first asked for
	cuts  []Cut
	proj  string // hash of the project's file
	// ceiling is the organisation's layer; nil without one.
	ceiling *document
}

// A PathRule makes a path of the host visible inside.
type PathRule struct {
	Path   string         `json:"path"` // absolute and clean; links are not resolved
	Origin belljar.Origin `json:"origin"`
}

// A Cut is something that a default or a preset allows and the ceiling does not.
type Cut struct {
	What string         `json:"what"` // key and value
	By   belljar.Origin `json:"by"`   // the ceiling's line
}

// A PresetUse is a preset in force, with what asked for it.
type PresetUse struct {
	Name   string         `json:"name"`
	Origin belljar.Origin `json:"origin"`
}

func build(s *state, p *paths, cuts []Cut) *Policy {
	pol := &Policy{state: s, paths: p, cuts: cuts}
	s.settle()
	pol.hash = sync.OnceValue(func() string { return hashOf(pol.canonical()) })
	return pol
}

// settle puts the merged values into their final order and drops what says nothing.
func (s *state) settle() {
	// The first rule that matches decides whether a name may resolve to private
	// addresses; permissions add up, so the permissive one comes first.
	slices.SortStableFunc(s.rules, func(a, b item[belljar.NetRule]) int { return privateFirst(a.value, b.value) })
	s.write = outermost(s.write)
	s.read = slices.DeleteFunc(outermost(s.read), func(i item[string]) bool { return pathCovers(s.write)(i.value) })
	s.settleCredentials()
	sort.Slice(s.publish, func(i, j int) bool { return s.publish[i].value < s.publish[j].value })
}

// outermost drops paths that lie in another one.
func outermost(l []item[string]) []item[string] {
	var kept []item[string]
	for i, a := range l {
		inner := slices.ContainsFunc(l, func(b item[string]) bool { return a.value != b.value && within(a.value, b.value) })
		again := slices.ContainsFunc(l[:i], func(b item[string]) bool { return a.value == b.value })
		if !inner && !again {
			kept = append(kept, a)
		}
	}
	return kept
}

// Tier is "auto" or the name of a tier.
func (p *Policy) Tier() string { return p.state.tier.value }

// TierOrigin says who chose the tier.
func (p *Policy) TierOrigin() belljar.Origin { return p.state.tier.origin() }

// Mode is the workspace mode and who chose it. With the origin's layer "default"
// nobody did: the mode is then live, and whoever plans a detached run, or one where
// the view cannot be had, takes review.
func (p *Policy) Mode() (belljar.Mode, belljar.Origin) {
	return p.state.mode.value, p.state.mode.origin()
}

// Read lists what is visible outside the workspace, read-only. No path lies in
// another one, nor in one of [Policy.Write].
func (p *Policy) Read() []PathRule { return pathRules(p.state.read) }

// Write lists what is visible and writable outside the workspace. No path lies in
// another one.
func (p *Policy) Write() []PathRule { return pathRules(p.state.write) }

func pathRules(l []item[string]) []PathRule {
	rules := make([]PathRule, len(l))
	for i, v := range l {
		rules[i] = PathRule{v.value, v.origin()}
	}
	return rules
}

// Hide lists the names in the workspace that do not exist inside: the default
// secrets (layer "default") and every layer's additions.
func (p *Policy) Hide() []belljar.Pattern { return patterns(p.state.hide) }

// Hold lists the names in the workspace whose changes wait, added to what runs by itself.
func (p *Policy) Hold() []belljar.Pattern { return patterns(p.state.hold) }

// Pass lists the patterns of what lands by itself in mode review.
func (p *Policy) Pass() []belljar.Pattern { return patterns(p.state.landing) }

// RegistryKinds lists the kinds of registries whose hosts are allowed; Glob is the kind.
func (p *Policy) RegistryKinds() []belljar.Pattern { return patterns(p.state.registries) }

func patterns(l []item[string]) []belljar.Pattern {
	ps := make([]belljar.Pattern, len(l))
	for i, v := range l {
		ps[i] = belljar.Pattern{Glob: v.value, Origin: v.origin()}
	}
	return ps
}

// Network is what may be reached and published. Hosts are canonical, ports sorted;
// rules with Private come first. Registries and credentials are not in it.
func (p *Policy) Network() belljar.Network {
	var n belljar.Network
	for _, i := range p.state.rules {
		n.Rules = append(n.Rules, cloneRule(i))
	}
	for _, i := range p.state.setupRules {
		n.Setup = append(n.Setup, cloneRule(i))
	}
	p.state.gitNetwork(&n)
	p.state.llmNetwork(&n)
	for _, i := range p.state.publish {
		n.Publish = append(n.Publish, belljar.PublishRule{Port: i.value, Origin: i.origin()})
	}
	return n
}

func cloneRule(i item[belljar.NetRule]) belljar.NetRule {
	r := i.value
	r.Ports, r.Methods, r.Paths = slices.Clone(r.Ports), slices.Clone(r.Methods), slices.Clone(r.Paths)
	r.Constraint = cloneConstraint(r.Constraint)
	r.Origin = i.origin()
	return r
}

// Limits are the limits, defaults applied: none is zero but Tokens, where any number is.
func (p *Policy) Limits() belljar.Limits {
	l := p.state.limits
	tokens := l[limitTokens].value
	if tokens >= mostTokens {
		tokens = 0
	}
	return belljar.Limits{
		Memory: l[limitMemory].value, CPUs: float64(l[limitCPUs].value) / milli, Processes: int(l[limitProcesses].value),
		Disk: l[limitDisk].value, Files: int(l[limitFiles].value), Log: l[limitLog].value, Time: time.Duration(l[limitTime].value), Tokens: tokens,
	}
}

// LimitOrigin says who set a limit: memory, cpus, processes, disk, time, files, log or tokens.
func (p *Policy) LimitOrigin(name string) belljar.Origin {
	l, ok := p.state.limits[name]
	if !ok {
		return belljar.Origin{}
	}
	return l.origin()
}

// EnvPass lists the variables of the caller that are given to the sandbox, sorted.
// None of them is in [Policy.EnvSet].
func (p *Policy) EnvPass() []string {
	names := make([]string, len(p.state.pass))
	for i, v := range p.state.pass {
		names[i] = v.value
	}
	slices.Sort(names)
	return names
}

// EnvSet are the variables that are set inside.
func (p *Policy) EnvSet() map[string]string {
	m := make(map[string]string, len(p.state.set))
	for k, v := range p.state.set {
		m[k] = v.value
	}
	return m
}

// Home lists the files that presets put into a fresh HOME. Their content may hold
// the placeholder that [HomeFile.Expand] replaces.
func (p *Policy) Home() []HomeFile {
	l := make([]HomeFile, len(p.state.home))
	for i, v := range p.state.home {
		l[i] = v.value
		l[i].Origin = v.origin()
	}
	return l
}

// Sessions lists the folders below HOME that are kept per project.
func (p *Policy) Sessions() []string {
	l := make([]string, len(p.state.sessions))
	for i, v := range p.state.sessions {
		l[i] = v.value
	}
	return l
}

// Presets lists the presets in force.
func (p *Policy) Presets() []PresetUse {
	l := make([]PresetUse, len(p.state.presets))
	for i, v := range p.state.presets {
		l[i] = PresetUse{v.value, v.origin()}
	}
	return l
}

// Cuts lists what defaults and presets allow and the ceiling does not.
func (p *Policy) Cuts() []Cut { return slices.Clone(p.cuts) }

// ProjectHash is the hash of the project's file as it was parsed; empty without one.
func (p *Policy) ProjectHash() string { return p.proj }

// Hash is the SHA-256, in hexadecimal, of the canonical merged policy. Two policies
// that mean the same have the same hash, wherever their rules were written.
func (p *Policy) Hash() string { return p.hash() }

// canonical is the policy without origins, in a fixed order.
func (p *Policy) canonical() []byte {
	n := p.Network()
	rules := ruleTexts(p.state.rules)
	var git []string
	for _, g := range []gitRule{{}, {push: true}} {
		for _, i := range *g.of(p.state) {
			git = append(git, g.key()+" "+g.text(i.value))
		}
	}
	slices.Sort(git)
	type file struct{ Path, Content string }
	var home []file
	for _, h := range p.Home() {
		home = append(home, file{h.Path, h.Content})
	}
	var credentials []string
	for _, i := range p.state.credentials {
		credentials = append(credentials, i.value.text())
		if len(i.value.withheld) > 0 {
			credentials = append(credentials, i.value.withheldText())
		}
	}
	sorted := func(l []item[string]) []string {
		s := make([]string, len(l))
		for i := range l {
			s[i] = l[i].value
		}
		slices.Sort(s)
		return s
	}
	all := map[string]any{
		"tier": p.Tier(), "mode": p.state.mode.value, "modeDefault": !asked(p.state.mode.src),
		"read": sorted(p.state.read), "write": sorted(p.state.write), "hide": sorted(p.state.hide), "hold": sorted(p.state.hold),
		"registries": sorted(p.state.registries), "allow": rules, "git": git, "sign": p.Signs(), "llm": sorted(llmWords(p.state.llm)), "publish": publishPorts(n), "limits": p.Limits(), "credentials": credentials,
		"commands": p.state.commandTexts(), "setup": p.state.setupLines(), "setupAllow": ruleTexts(p.state.setupRules), "pass": p.EnvPass(), "set": p.EnvSet(), "home": home, "sessions": p.Sessions(),
	}
	if o := p.OTLP(); o != nil {
		all[keyOTLP] = o
	}
	if n := p.Records(); n > 0 {
		all[keyRecords] = n
	}
	if n := p.Notify(); n != nil {
		all[keyNotify] = n
	}
	if l := sorted(p.state.landing); len(l) > 0 {
		all[keyLanding] = l
	}
	b, _ := json.Marshal(all) // it cannot fail on strings, numbers and maps of them
	return b
}

// ruleTexts are rules in a fixed order, for the hash.
func ruleTexts(l []item[belljar.NetRule]) []string {
	rules := make([]string, len(l))
	for i, r := range l {
		rules[i] = ruleText(r.value)
	}
	slices.Sort(rules)
	return rules
}

func publishPorts(n belljar.Network) []uint16 {
	var ports []uint16
	for _, r := range n.Publish {
		ports = append(ports, r.Port)
	}
	return ports
}

// setNames lists the variables that are set, sorted.
func (s *state) setNames() []string { return slices.Sorted(maps.Keys(s.set)) }
