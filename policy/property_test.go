package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

func rounds(normal, soak int) int {
	if os.Getenv("BELLJAR_SOAK") != "" {
		return soak
	}
	if testing.Short() {
		return normal / 10
	}
	return normal
}

// A project's file that nobody trusted never makes anything possible that is not
// possible without it; trusted, the same files do, so the question is a real one.
func TestProjectNeverWidens(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	var accepted, refused, tightened, widened int
	// Much garbage, little that lives.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	n := rounds(40_000, 1_000_000)
	for i := range n {
		user, flags := randomDocument(r, layerUser, 4), randomDocument(r, layerFlag, 1)
		var ceiling *document
		if r.IntN(8) == 0 {
			ceiling = randomDocument(r, layerCeiling, 6)
		}
		project := randomDocument(r, layerProject, 1)
		without := merged(user, nil, flags, ceiling, false)
		if without == nil {
			continue
		}
		with := merged(user, project, flags, ceiling, false)
		if with == nil {
			refused++
			continue
		}
		accepted++
		if w := wider(without, with, r); w != "" {
			t.Fatalf("seed %d, round %d: the project allows %s", seed, i, w)
		}
		if w := lessGuarded(without, with); w != "" {
			t.Fatalf("seed %d, round %d: the project lets any key go in %s", seed, i, w)
		}
		if i%16 == 0 {
			if with.Hash() != without.Hash() {
				tightened++
			}
			if trusted := merged(user, randomDocument(r, layerProject, 3), flags, ceiling, true); trusted != nil && wider(without, trusted, r) != "" {
				widened++
			}
		}
	}
	t.Logf("%d pairs: %d accepted, of which %d tighten, %d refused, %d of the trusted widen", n, accepted, tightened, refused, widened)
	if min(accepted, refused) < n/10 || min(tightened, widened) < n/500 {
		t.Errorf("the pairs are too much alike")
	}
}

// yamlOf writes a random layer as a file.
func yamlOf(d *document) string {
	var b strings.Builder
	b.WriteString("version: 1\n")
	textList(&b, 0, "extends", d.extends, strconv.Quote)
	if d.tier != nil {
		fmt.Fprintf(&b, "tier: %s\n", d.tier.value)
	}
	if d.mode != nil {
		fmt.Fprintf(&b, "workspace: {mode: %s}\n", d.mode.value)
	}
	if d.read.set || d.write.set || d.hide.set || d.hold.set {
		b.WriteString("files:\n")
		textList(&b, 2, "read", d.read, strconv.Quote)
		textList(&b, 2, "write", d.write, strconv.Quote)
		textList(&b, 2, "hide", d.hide, strconv.Quote)
		textList(&b, 2, "hold", d.hold, strconv.Quote)
	}
	if d.registries.set || d.allow.set || d.publish.set {
		b.WriteString("network:\n")
		textList(&b, 2, "registries", d.registries, strconv.Quote)
		textList(&b, 2, "allow", d.allow, func(r belljar.NetRule) string {
			if t := ruleText(r); strings.HasPrefix(t, "{") {
				return t
			}
			return strconv.Quote(ruleText(r))
		})
		textList(&b, 2, "publish", d.publish, func(p uint16) string { return strconv.Itoa(int(p)) })
	}
	if d.fetch.set || d.push.set || d.sign != nil {
		b.WriteString("git:\n")
		if d.sign != nil {
			fmt.Fprintf(&b, "  sign: %s\n", d.sign.value)
		}
		textList(&b, 2, "fetch", d.fetch, fetchText)
		textList(&b, 2, "push", d.push, pushText)
	}
	textList(&b, 0, keyLLM, d.llm, llmText)
	if len(d.limits) > 0 {
		b.WriteString("limits:\n")
		for n, v := range d.limits {
			fmt.Fprintf(&b, "  %s: %s\n", n, limitKindOf(n).format(v.value))
		}
	}
	if d.pass.set || len(d.set.items) > 0 {
		b.WriteString("env:\n")
		textList(&b, 2, "pass", d.pass, strconv.Quote)
		if len(d.set.items) > 0 {
			b.WriteString("  set:\n")
			for _, i := range d.set.items {
				fmt.Fprintf(&b, "    %s: %q\n", i.value.name, i.value.value)
			}
		}
	}
	if d.credentials.set {
		b.WriteString("credentials:")
		if len(d.credentials.items) == 0 {
			b.WriteString(" []")
		}
		b.WriteString("\n")
		for _, i := range d.credentials.items {
			b.WriteString("  - " + entryText(i.value) + "\n")
		}
	}
	return b.String()
}

// entryText is an entry of credentials with the fields that it has.
func entryText(g grant) string {
	s := "{name: " + g.Name
	if hasSource(g.From) {
		s += ", from: " + sourceText(g.From)
	}
	var hosts []string
	for _, h := range g.Hosts {
		hosts = append(hosts, boundText(h))
	}
	if len(hosts) > 0 {
		s += ", hosts: " + quotedList(hosts)
	}
	if g.Form != "" {
		s += ", header: " + g.Header
	}
	return s + g.requests().fields() + "}"
}

func textList[T any](b *strings.Builder, indent int, key string, l list[T], text func(T) string) {
	if !l.set {
		return
	}
	var words []string
	for _, i := range l.items {
		words = append(words, text(i.value))
	}
	fmt.Fprintf(b, "%s%s: [%s]\n", strings.Repeat(" ", indent), key, strings.Join(words, ", "))
}

// What the property test says of documents holds for files as well: the same layers
// as text, through Load, come to the same policy or the same refusal.
func TestFilesMeanWhatDocumentsMean(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 2))
	dir := t.TempDir()
	for i := range rounds(500, 20_000) {
		user, project := randomDocument(r, layerUser, 4), randomDocument(r, layerProject, 1)
		files := map[string]string{"user.yaml": yamlOf(user), "belljar.yaml": yamlOf(project)}
		for n, text := range files {
			if err := os.WriteFile(filepath.Join(dir, n), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want := merged(user, project, nil, nil, false)
		got, err := Load(LoadOptions{
			UserFile: filepath.Join(dir, "user.yaml"), ProjectFile: filepath.Join(dir, "belljar.yaml"), Tiers: someTiers,
		})
		switch {
		case (want == nil) != (err != nil):
			t.Fatalf("seed %d, round %d: %v\n%s\n%s", seed, i, err, files["user.yaml"], files["belljar.yaml"])
		case err != nil && belljar.KindOf(err) != belljar.KindRefused && !strings.Contains(err.Error(), "no rule allows") && !strings.Contains(err.Error(), "judges the header"):
			t.Fatalf("seed %d, round %d: %v", seed, i, err)
		case err == nil && got.Hash() != want.Hash():
			t.Fatalf("seed %d, round %d: another policy\n%s\n%s", seed, i, got.canonical(), want.canonical())
		}
	}
}

// Every request whose verdict differs between two policies is covered by a change
// in the right direction, and every covered request differs.
func TestDiffAgreesWithTheDecider(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 3))
	var differ int
	n := rounds(4000, 200_000)
	for i := range n {
		// What git may do is told entry by entry.
		one, other := randomDocument(r, layerUser, 4), randomDocument(r, layerUser, 4)
		one.fetch, one.push, other.fetch, other.push = list[belljar.NetRule]{}, list[belljar.NetRule]{}, list[belljar.NetRule]{}, list[belljar.NetRule]{}
		one.llm, other.llm = list[belljar.LLMRule]{}, list[belljar.LLMRule]{} // and so are models
		a, b := merged(one, nil, nil, nil, false), merged(other, nil, nil, nil, false)
		if a == nil || b == nil {
			continue // a credential for a host that nothing allows
		}
		changes := Diff(a, b)
		before, after := a.Network(), b.Network()
		for range 12 {
			q := randomRequest(r)
			if q.Port == 0 {
				q.Port = 443
			}
			old, now := before.Decide(q).Allow, after.Decide(q).Allow
			var more, less bool
			for _, c := range changes {
				if c.Covers(q) {
					more, less = more || c.Possible, less || !c.Possible
				}
			}
			if more != (now && !old) || less != (old && !now) {
				t.Fatalf("seed %d, round %d: %s: before %v, after %v, changes %v\n%s\n%s", seed, i, requestText(q), old, now, changes, a.canonical(), b.canonical())
			}
			if old != now {
				differ++
			}
		}
		for _, p := range askPaths {
			write := func(c Change) bool { return c.Key == "files.write" }
			any := func(c Change) bool { return write(c) || c.Key == "files.read" }
			samePath(t, p, changes, any, pathCovers(a.state.read, a.state.write)(p), pathCovers(b.state.read, b.state.write)(p))
			samePath(t, p, changes, write, pathCovers(a.state.write)(p), pathCovers(b.state.write)(p))
		}
		if w := wider(a, b, r); w != "" && !slices.ContainsFunc(changes, func(c Change) bool { return c.Possible }) {
			t.Fatalf("seed %d, round %d: %s became possible without a change", seed, i, w)
		}
		if a.Hash() == b.Hash() && len(changes) > 0 {
			t.Fatalf("seed %d, round %d: the same policy, but %v", seed, i, changes)
		}
		if len(Diff(a, a)) != 0 {
			t.Fatalf("seed %d, round %d: differs from itself: %v", seed, i, Diff(a, a))
		}
	}
	if differ < n/10 {
		t.Errorf("only %d requests differed", differ)
	}
}

// samePath wants changes of the given kind to cover p if, and where only that kind is
// looked at only if, the verdict about it differs.
func samePath(t *testing.T, p string, changes []Change, kind func(Change) bool, old, now bool) {
	t.Helper()
	var more, less bool
	for _, c := range changes {
		if kind(c) && within(p, c.What) && !slices.ContainsFunc(c.Except, func(e string) bool { return within(p, e) }) {
			more, less = more || c.Possible, less || !c.Possible
		}
	}
	if now && !old && !more || old && !now && !less {
		t.Fatalf("%s: before %v, after %v, changes %v", p, old, now, changes)
	}
}

// What the index says is covered, the real decider allows, and the other way round,
// for every name and address.
func TestIndexAgreesWithTheDecider(t *testing.T) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 4))
	for range rounds(4000, 200_000) {
		d := randomDocument(r, layerUser, 6)
		d.fetch, d.push = list[belljar.NetRule]{}, list[belljar.NetRule]{} // they are not in the index
		d.llm = list[belljar.LLMRule]{}                                    // nor are these
		p := merged(d, nil, nil, nil, false)
		if p == nil {
			continue
		}
		n, x := p.Network(), newWork().indexItems(p.state.rules)
		for range 8 {
			q := randomRequest(r)
			if q.Port == 0 {
				q.Port = 443
			}
			if q.Method == "" && q.Host != "" {
				continue // a connection says nothing of what it may carry
			}
			rule := belljar.NetRule{Host: q.Host, Ports: []uint16{q.Port}}
			if q.Host != "" {
				rule.Methods, rule.Paths, rule.Constraint = []string{q.Method}, []string{q.Path}, constraintOf(q.Detail)
			}
			if q.Host == "" {
				rule.CIDR = netip.PrefixFrom(q.Addr.Unmap(), q.Addr.Unmap().BitLen())
			}
			if d := n.Decide(q); x.covers(rule) != d.Allow {
				t.Fatalf("%s: covered %v, decided %v, rules %v", requestText(q), x.covers(rule), d.Allow, n.Rules)
			}
		}
	}
}

// constraintOf admits one request, once, with the smallest answer.
func constraintOf(d *belljar.RequestDetail) belljar.Constraint {
	c := belljar.Constraint{Query: &belljar.QueryRule{}, Rate: &belljar.Rate{Requests: 1, Per: belljar.MaxRatePer}, Response: 1}
	for _, p := range d.Params {
		i := slices.IndexFunc(c.Query.Params, func(f belljar.Field) bool { return f.Name == p.Name })
		if i < 0 {
			i = len(c.Query.Params)
			c.Query.Params = append(c.Query.Params, belljar.Field{Name: p.Name})
		}
		c.Query.Params[i].Values = append(c.Query.Params[i].Values, p.Value)
	}
	for _, n := range []string{"X-A", "X-B"} {
		c.Headers = append(c.Headers, belljar.Field{Name: n, Values: []string{strings.Join(d.Header[n], "")}})
	}
	return c
}

func requestText(r belljar.NetRequest) string {
	if r.Host != "" {
		return fmt.Sprintf("%s:%d %s %s", r.Host, r.Port, r.Method, r.Path)
	}
	return netip.AddrPortFrom(r.Addr, r.Port).String()
}
