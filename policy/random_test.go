package policy

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/belljar-dev/belljar"
)

// What random policies are made of: few values that contain each other, so that
// layers overlap often.
var (
	someHosts    = []string{"a.test", "b.a.test", "c.b.a.test", "*.a.test", "*.b.a.test", "d.test", "*.d.test", "localhost"}
	someCIDRs    = []string{"10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/9", "10.128.0.0/9", "10.1.2.3/32", "192.168.0.0/16", "2a00::/16", "2a00:1::/32"}
	somePorts    = []uint16{22, 80, 443}
	somePaths    = []string{"/p", "/p/q", "/p/q/r", "/pp", "/s", "/s/t"}
	somePatterns = []string{"*.a", "b/**", "**/c", "d"}
	someNames    = []string{"A", "B", "C"}
	someMethods  = []string{"GET", "HEAD", "POST"}
	someRequests = []string{"/**", "/a", "/a/*", "/a/**", "/a*", "/*/b", "/a/b", "/**/b", "/*"}
	someValues   = []string{"*", "a*", "*b", "ab", "b", "a"}
	someRates    = []belljar.Rate{{Requests: 10, Per: time.Minute}, {Requests: 60, Per: time.Minute}, {Requests: 1, Per: time.Second}, {Requests: 20, Per: time.Second}}
	someTiers    = []string{"strong", "middle", "weak"}

	askHosts    = []string{"a.test", "b.a.test", "c.b.a.test", "x.c.b.a.test", "x.a.test", "d.test", "x.d.test", "localhost", "aa.test", "test"}
	askRequests = []string{"/v1/messages", "/v1/responses", "/v1/models", "/", "/a", "/ab", "/a/b", "/a/b/c", "/x/b", "/a/", "/x/y/b", "/b"}
	askGit      = []string{"/a/git-receive-pack", "/a/b.git/git-receive-pack", "/b/git-receive-pack", "/a/b/info/refs", "/a/git-upload-pack", "/c/d/git-upload-pack"}
	askMethods  = []string{"", "", "GET", "HEAD", "POST", "PUT"}
	askAddrs    = []string{"10.0.0.1", "10.1.0.1", "10.1.2.3", "10.200.0.1", "192.168.1.1", "11.0.0.1", "2a00:1::1", "2a00:2::1", "::ffff:10.1.2.3"}
	askValues   = []string{"", "a", "b", "ab", "aab", "c"}
	askPaths    = append([]string{"/", "/p/x", "/p/q/r/s", "/s/t/u", "/ppp"}, somePaths...)
)

func pick[T any](r *rand.Rand, l []T) T { return l[r.IntN(len(l))] }

// some picks up to n values; ok is false where the list is left out.
func some[T any](r *rand.Rand, l []T, n int) (values []T, ok bool) {
	if r.IntN(3) > 0 || n == 1 && r.IntN(3) > 0 {
		return nil, false
	}
	for range r.IntN(n + 1) {
		values = append(values, pick(r, l))
	}
	return values, true
}

// randomDocument makes a layer. Its text says the same, when somebody asks for it.
func randomDocument(r *rand.Rand, layer string, size int) *document {
	src := newSource(layer, layer, "", nil)
	d := &document{src: src, limits: map[string]item[int64]{}}
	at := mark{src: src, line: 1}
	if r.IntN(8) == 0 {
		d.tier = &item[string]{pick(r, []string{tierAuto, "strong", "middle", "weak"}), at}
	}
	if r.IntN(8) == 0 {
		d.mode = &item[belljar.Mode]{pick(r, modes()), at}
	}
	d.read, d.write = randomList(r, at, somePaths, size), randomList(r, at, somePaths, size)
	d.hide, d.hold = randomList(r, at, somePatterns, size), randomList(r, at, somePatterns, size)
	d.registries = randomList(r, at, registryKinds(), size)
	d.publish = randomList(r, at, somePorts, size)
	d.pass = randomList(r, at, someNames, size)
	var rules []belljar.NetRule
	for range 8 {
		rules = append(rules, randomRule(r))
	}
	d.allow = randomList(r, at, rules, 2*size)
	d.llm = randomList(r, at, someModels, min(size, 2))
	d.fetch, d.push = randomGit(r, at, false, size), randomGit(r, at, true, size)
	if r.IntN(8) == 0 {
		d.sign = &item[string]{pick(r, signKinds()), at}
	}
	if d.credentials = randomCredentials(r, at, layer, size); len(d.credentials.items) > 0 && layer == layerUser && r.IntN(4) > 0 {
		for _, h := range []string{"a.test", "*.a.test"} { // to which they are bound
			d.allow.set = true
			d.allow.items = append(d.allow.items, item[belljar.NetRule]{belljar.NetRule{Host: h, Ports: []uint16{80, 443}}, at})
		}
	}
	if layer != layerCeiling {
		d.extends = randomList(r, at, []string{"claude", "node"}, 1)
		if n, ok := some(r, someNames, size); ok {
			slices.Sort(n)
			for _, n := range slices.Compact(n) {
				d.set.items = append(d.set.items, item[setting]{setting{n, pick(r, []string{"1", "2"})}, at})
			}
			d.set.set = true
		}
	}
	for _, n := range limitNames() {
		if r.IntN(8) == 0 {
			k := limitKindOf(n)
			d.limits[n] = item[int64]{min(k.most, pick(r, []int64{k.least, k.preset, k.preset / 2, 2 * k.preset})), at}
		}
	}
	return d
}

var (
	someSecrets = []string{"K", "L"}
	someRepos   = []string{"/a", "/a/b", "/a/*", "/**", "/*"}
	someModels  = []belljar.LLMRule{
		{BoundHost: belljar.BoundHost{Host: "a.test", Port: 443}, API: belljar.LLMAnthropic},
		{BoundHost: belljar.BoundHost{Host: "a.test", Port: 443}, API: belljar.LLMAnthropic, Models: []string{"m"}, Tokens: 5000},
		{BoundHost: belljar.BoundHost{Host: "*.a.test", Port: 443}, API: belljar.LLMOpenAI, Fetch: true},
		{BoundHost: belljar.BoundHost{Host: "b.a.test", Port: 443}, API: belljar.LLMAnthropic, Endpoint: true, Requests: 3},
		{BoundHost: belljar.BoundHost{Host: "d.test", Port: 8080}, API: belljar.LLMOpenAI, Steer: true},
	}
	someRefs   = []string{"refs/heads/a", "refs/heads/*", "refs/**", "refs/heads/b"}
	someBounds = []belljar.BoundHost{{Host: "a.test", Port: 443}, {Host: "b.a.test", Port: 443}, {Host: "*.a.test", Port: 443}, {Host: "a.test", Port: 80}}
)

// randomGit is git.fetch or git.push.
func randomGit(r *rand.Rand, at mark, push bool, size int) list[belljar.NetRule] {
	var rules []belljar.NetRule
	for range 4 {
		rule := belljar.NetRule{Host: pick(r, []string{"a.test", "b.a.test", "d.test"}), Ports: []uint16{pick(r, []uint16{443, 443, 8080})}}
		rule.Private = r.IntN(6) == 0
		rule.Git = &belljar.GitRule{Repo: pick(r, someRepos)}
		if push {
			refs, _ := some(r, someRefs, 2)
			slices.Sort(refs)
			rule.Git.Push = slices.Compact(refs)
		}
		rules = append(rules, rule)
	}
	return randomList(r, at, rules, size)
}

// randomCredentials names few credentials, each once.
func randomCredentials(r *rand.Rand, at mark, layer string, size int) list[grant] {
	names, ok := some(r, someSecrets, size)
	if !ok || r.IntN(2) == 0 {
		return list[grant]{}
	}
	l := list[grant]{set: true, mark: at}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		g := grant{}
		g.Name = n
		if layer == layerUser || r.IntN(2) == 0 {
			g.Hosts = unionHosts([]belljar.BoundHost{pick(r, someBounds), pick(r, someBounds)}, nil)
		}
		q := randomRequests(r)
		g.Methods, g.Paths = q.methods, q.paths
		if r.IntN(4) == 0 {
			g.Form, g.Header = belljar.FormHeader, pick(r, []string{"X-A", "X-B"})
		}
		if layer != layerProject && layer != layerCeiling && r.IntN(3) == 0 {
			g.From.File = "/secret"
		}
		g.more = layer == layerFlag && r.IntN(2) == 0
		at.line++
		l.items = append(l.items, item[grant]{g, at})
	}
	return l
}

func randomList[T any](r *rand.Rand, at mark, l []T, n int) list[T] {
	values, ok := some(r, l, n)
	if !ok {
		return list[T]{}
	}
	x := list[T]{set: true, mark: at}
	for _, v := range values {
		at.line++
		x.items = append(x.items, item[T]{v, at})
	}
	return x
}

func randomRule(r *rand.Rand) belljar.NetRule {
	var rule belljar.NetRule
	for _, p := range somePorts {
		if r.IntN(2) == 0 {
			rule.Ports = append(rule.Ports, p)
		}
	}
	if len(rule.Ports) == 0 {
		rule.Ports = []uint16{443}
	}
	if r.IntN(3) == 0 {
		rule.CIDR = netip.MustParsePrefix(pick(r, someCIDRs))
		rule.Ask = r.IntN(4) == 0
		return rule
	}
	rule.Host = pick(r, someHosts)
	rule.Private = rule.Host != belljar.Localhost && r.IntN(4) == 0
	if r.IntN(2) == 0 {
		q := randomRequests(r)
		rule.Methods, rule.Paths = q.methods, q.paths
		rule.Constraint = randomConstraint(r)
	}
	rule.Ask = r.IntN(4) == 0
	return rule
}

// randomConstraint confines the query, headers, the rate, the answer or, often, nothing.
func randomConstraint(r *rand.Rand) (c belljar.Constraint) {
	fields := func(names ...string) (l []belljar.Field) {
		for _, n := range names {
			if r.IntN(2) == 0 {
				v := []string{pick(r, someValues), pick(r, someValues)}
				slices.Sort(v)
				l = append(l, belljar.Field{Name: n, Values: slices.Compact(v)})
			}
		}
		return l
	}
	if r.IntN(4) == 0 {
		c.Query = &belljar.QueryRule{Params: fields("p", "q")}
	}
	if r.IntN(4) == 0 {
		c.Headers = fields("X-A", "X-B")
	}
	if r.IntN(4) == 0 {
		rate := pick(r, someRates)
		c.Rate = &rate
	}
	if r.IntN(4) == 0 {
		c.Response = pick(r, []int64{1 << 10, 1 << 20, 3 << 20})
	}
	return c
}

// randomDetail is what a request says beside its method and path.
func randomDetail(r *rand.Rand) *belljar.RequestDetail {
	d := &belljar.RequestDetail{Header: map[string][]string{}}
	for range r.IntN(3) {
		d.Params = append(d.Params, belljar.Param{Name: pick(r, []string{"p", "q"}), Value: pick(r, askValues)})
	}
	for _, n := range []string{"X-A", "X-B"} {
		if r.IntN(2) == 0 {
			d.Header[n] = []string{pick(r, askValues)}
		}
	}
	return d
}

// randomRequests confines by methods, paths, both or neither.
func randomRequests(r *rand.Rand) (q requests) {
	for range r.IntN(3) {
		q.methods = append(q.methods, pick(r, someMethods))
	}
	for range r.IntN(3) {
		q.paths = append(q.paths, pick(r, someRequests))
	}
	slices.Sort(q.paths)
	return requests{methods: canonicalMethods(q.methods), paths: slices.Compact(q.paths)}
}

// merged is what the layers come to, or nil where they are refused.
func merged(user, project, flags, ceiling *document, trusted bool) *Policy {
	l := loader{
		o: &LoadOptions{Tiers: someTiers}, paths: &paths{}, user: user, project: project, flags: flags, ceiling: ceiling,
	}
	s, err := l.merge(trusted)
	if err != nil {
		return nil
	}
	if ceiling != nil {
		l.cap(s)
	}
	if len(l.faults) > 0 {
		return nil
	}
	return build(s, l.paths, nil)
}

// wider names something that b allows and a does not, or says "".
func wider(a, b *Policy, r *rand.Rand) string {
	x, y := a.state, b.state
	if !x.tierWithin(y.tier.value, x.tier.value) {
		return "tier"
	}
	if modeRank(y.mode.value) > modeRank(x.mode.value) {
		return "mode"
	}
	if y.sign.value == SignSSH && x.sign.value == SignNone {
		return "sign"
	}
	for _, p := range askPaths {
		if pathCovers(y.read, y.write)(p) && !pathCovers(x.read, x.write)(p) {
			return "read " + p
		}
		if pathCovers(y.write)(p) && !pathCovers(x.write)(p) {
			return "write " + p
		}
	}
	for _, n := range limitNames() {
		if y.limits[n].value > x.limits[n].value {
			return n
		}
	}
	for name, l := range map[string][2][]item[string]{
		"hide": {y.hide, x.hide}, "hold": {y.hold, x.hold}, "llm": {llmWords(y.llm), llmWords(x.llm)}, "registries": {x.registries, y.registries}, "pass": {x.pass, y.pass},
		"publish": {portWords(x.publish), portWords(y.publish)}, "sessions": {x.sessions, y.sessions}, "presets": {x.presets, y.presets},
	} {
		for _, i := range l[1] {
			if !slices.ContainsFunc(l[0], func(j item[string]) bool { return i.value == j.value }) {
				return name + " " + i.value
			}
		}
	}
	for n, v := range y.set {
		if old, ok := x.set[n]; !ok || old.value != v.value {
			return "set " + n
		}
	}
	if len(y.home) > len(x.home) {
		return "home"
	}
	if w := widerCredentials(a, b, r); w != "" {
		return w
	}
	return widerNetwork(a.Network(), b.Network(), r)
}

// widerCredentials names a request that is given a credential by b and not by a, or
// another one than by a, and one that may carry any other key with b and not with a.
func widerCredentials(a, b *Policy, r *rand.Rand) string {
	olds, news := a.Credentials(), b.Credentials()
	before, after := a.Network(), b.Network()
	for _, l := range []struct {
		n     *belljar.Network
		creds []Credential
	}{{&before, olds}, {&after, news}} {
		for _, c := range l.creds {
			l.n.Credentials = append(l.n.Credentials, c.Credential)
		}
	}
	for _, now := range news {
		i := slices.IndexFunc(olds, func(c Credential) bool { return c.Name == now.Name && !c.Withheld })
		switch {
		case now.Withheld:
			continue
		case i < 0:
			return "credential " + now.Name
		}
		old := olds[i]
		if sourceText(now.From) != sourceText(old.From) || now.Form != old.Form || now.Header != old.Header || now.User != old.User {
			return "credential " + now.Name + " of another kind"
		}
		for range 12 {
			q := randomRequest(r)
			if q.Method == "" || !now.Bound(q.Host, q.Port) || !now.Takes(q.Method, q.Path) {
				continue
			}
			if !old.Bound(q.Host, q.Port) || !old.Takes(q.Method, q.Path) {
				return "credential " + now.Name + " for " + requestText(q)
			}
		}
	}
	for _, host := range askHosts {
		for _, port := range somePorts {
			q := belljar.NetRequest{Host: host, Port: port}
			if boundTo(olds, q) != nil && after.Decide(q).Allow && (boundTo(news, q) == nil || !after.Sees(host, port)) {
				return "other keys to " + requestText(q)
			}
		}
	}
	return ""
}

// boundTo are the credentials that judge requests to q.
func boundTo(l []Credential, q belljar.NetRequest) (bound []Credential) {
	for i := range l {
		if l[i].Bound(q.Host, q.Port) {
			bound = append(bound, l[i])
		}
	}
	return bound
}

// lessGuarded names a host where b refuses less than a of what carries a key: it judges
// fewer headers or fewer paths.
func lessGuarded(a, b *Policy) string {
	olds, news, n := a.Credentials(), b.Credentials(), b.Network()
	for _, host := range askHosts {
		for _, port := range somePorts {
			q := belljar.NetRequest{Host: host, Port: port}
			if !n.Decide(q).Allow {
				continue
			}
			now := boundTo(news, q)
			for _, c := range boundTo(olds, q) {
				if !slices.ContainsFunc(now, func(d Credential) bool {
					return d.Header == c.Header && (len(d.Methods) > 0 || len(c.Methods) == 0) && (len(d.Paths) > 0 || len(c.Paths) == 0)
				}) {
					return c.Header + " to " + requestText(q)
				}
			}
		}
	}
	return ""
}

// widerNetwork asks the real decider about a few requests.
func widerNetwork(a, b belljar.Network, r *rand.Rand) string {
	for range 12 {
		q := randomRequest(r)
		now := b.Decide(q)
		before := a.Decide(q)
		if now.Ask && !before.Ask && !before.Allow {
			return requestText(q) + " after asking"
		}
		if !now.Allow {
			continue
		}
		if !before.Allow {
			return requestText(q)
		}
		if now.Rule.Private && !before.Rule.Private {
			return requestText(q) + " private"
		}
		if !asOften(a, q, now.Rule) {
			return requestText(q) + " more often or with a larger answer"
		}
		if ref := widerRefs(a, b, q, before, now); ref != "" {
			return requestText(q) + " " + ref
		}
	}
	return ""
}

// asOften says whether n allows q by some rule as often, and with as large an answer, as by.
func asOften(n belljar.Network, q belljar.NetRequest, by *belljar.NetRule) bool {
	return slices.ContainsFunc(n.Rules, func(rule belljar.NetRule) bool {
		one := belljar.Network{Rules: []belljar.NetRule{rule}}
		bounds := func(c belljar.Constraint) belljar.Constraint {
			return belljar.Constraint{Rate: c.Rate, Response: c.Response}
		}
		mine, theirs := bounds(by.Constraint), bounds(rule.Constraint)
		return one.Decide(q).Allow && newWork().constraintWithin(&mine, &theirs)
	})
}

// widerRefs names a reference that a push to q may be for with b and not with a.
func widerRefs(a, b belljar.Network, q belljar.NetRequest, before, now belljar.Decision) string {
	repo, service, ok := belljar.ParseGitPath(q.Host, q.Path)
	if !ok || service != belljar.GitPush || before.Rule.Git == nil {
		return ""
	}
	if now.Rule.Git == nil {
		return "any reference"
	}
	may := func(n belljar.Network, ref string) bool {
		return slices.ContainsFunc(n.GitRules(q.Host, q.Port, repo), func(r *belljar.NetRule) bool {
			return slices.ContainsFunc(r.Git.Push, func(p string) bool { return belljar.MatchPath(p, ref) })
		})
	}
	for _, ref := range []string{"refs/heads/a", "refs/heads/b", "refs/heads/a/b", "refs/tags/v"} {
		if may(b, ref) && !may(a, ref) {
			return ref
		}
	}
	return ""
}

func randomRequest(r *rand.Rand) belljar.NetRequest {
	q := belljar.NetRequest{Port: pick(r, []uint16{0, 8080, 22, 80, 443})}
	if r.IntN(3) == 0 {
		q.Addr = netip.MustParseAddr(pick(r, askAddrs))
	} else {
		q.Host = pick(r, askHosts)
		if q.Port == 0 {
			return q // the question of a resolver, which knows no request
		}
		if q.Method = pick(r, askMethods); q.Method != "" {
			if q.Path = pick(r, askRequests); r.IntN(3) == 0 {
				q.Path = pick(r, askGit)
			}
			q.Detail = randomDetail(r)
		}
	}
	return q
}
