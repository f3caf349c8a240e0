package policy

import (
	"reflect"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/goccy/go-yaml"
)

func TestConstraintsOfARule(t *testing.T) {
	long := strings.Repeat("a", 600)
	for _, c := range []struct{ rule, want string }{
		{`{host: a.test, query: {}}`, ``},
		{`{host: a.test, query: {page: "*", "a[]": [x, "y*"], empty: ""}}`, ``},
		{`{host: a.test, query: [page]}`, `expected a mapping`},
		{`{host: a.test, query: {"p*": "*"}}`, `without a star`},
		{`{host: a.test, query: {"": "*"}}`, `not the name`},
		{`{host: a.test, query: {"a&b": "*"}}`, `decoded`},
		{`{host: a.test, query: {"a%20b": "*"}}`, `decoded`},
		{`{host: a.test, query: {a: []}}`, `allow nothing`},
		{`{host: a.test, query: {a: "**"}}`, `one star`},
		{`{host: a.test, query: {a: ["x", "` + long + `"]}}`, `at most 512`},
		{`{host: a.test, query: {a: "x\u0000y"}}`, `control character`},
		{`{host: a.test, query: {a: 1}}`, `expected`},
		{`{host: a.test, query: {a: x, a: y}}`, `duplicate key`},
		{`{host: a.test, headers: {accept: "application/*", X-Acme-Version: ["1", "2"]}}`, ``},
		{`{host: a.test, headers: {}}`, `say nothing`},
		{`{host: a.test, headers: {accept: a, Accept: b}}`, `twice`},
		{`{host: a.test, headers: {"x y": a}}`, `not the name`},
		{`{host: a.test, headers: {host: a}}`, `gateway decides`},
		{`{host: a.test, headers: {Connection: a}}`, `gateway decides`},
		{`{host: a.test, headers: {Transfer_Encoding: a}}`, `gateway decides`},
		{`{host: a.test, headers: {X-HTTP-Method-Override: a}}`, `gateway decides`},
		{`{host: a.test, headers: {X-Forwarded-Host: a}}`, `gateway decides`},
		{`{host: a.test, headers: {authorization: "Bearer *"}}`, `carries a credential`},
		{`{host: a.test, headers: {Cookie: ""}}`, `carries a credential`},
		{`{host: a.test, headers: {x-api-key: a}}`, `carries a credential`},
		{`{host: a.test, rate: 60/m}`, ``},
		{`{host: a.test, rate: 5/90s}`, ``},
		{`{host: a.test, rate: 0/m}`, `no rate`},
		{`{host: a.test, rate: 60}`, `expected`},
		{`{host: a.test, rate: 60/x}`, `no rate`},
		{`{host: a.test, rate: "-1/s"}`, `no rate`},
		{`{host: a.test, rate: 1/0s}`, `no rate`},
		{`{host: a.test, rate: 10000000/s}`, `at most`},
		{`{host: a.test, rate: 1/100d}`, `at most`},
		{`{host: a.test, rate: 1/99999999999999999999s}`, `no rate`},
		{`{host: a.test, response: 10MiB}`, ``},
		{`{host: a.test, response: 10}`, `expected`},
		{`{host: a.test, response: "10"}`, `10MiB`},
		{`{host: a.test, response: 0KiB}`, `at least one byte`},
		{`{host: a.test, response: 9999999TiB}`, `10MiB`},
		{`{cidr: 10.0.0.1, rate: 1/s}`, `not to addresses`},
		{`{cidr: 10.0.0.1, query: {}}`, `not to addresses`},
		{`{cidr: 10.0.0.1, response: 1KiB}`, `not to addresses`},
	} {
		_, faults := parse("version: 1\nnetwork:\n  allow:\n    - "+c.rule+"\n", layerUser)
		if (c.want == "") != (len(faults) == 0) || !strings.Contains(faults.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.rule, faults, c.want)
		}
	}
}

// TestConstraintText: a rule is written as it was read, and read as it was written.
func TestConstraintText(t *testing.T) {
	text := `{host: "a.test", ports: [443], query: {"a[]": ["x", "y*"], "page": "*"}, headers: {"Accept": "application/*", "X-V": ["", "1"]}, rate: 5/90s, response: 512KiB}`
	d, faults := parse("version: 1\nnetwork: {allow: ["+text+"]}\n", layerUser)
	if len(faults) > 0 || ruleText(d.allow.items[0].value) != text {
		t.Fatalf("%v: %s", faults, ruleText(d.allow.items[0].value))
	}
	rule := d.allow.items[0].value
	if err := checkRule(rule); err != nil {
		t.Error(err)
	}
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*belljar.NetRule){
		func(r *belljar.NetRule) {
			r.Query.Params = append(r.Query.Params, belljar.Field{Name: "z*", Values: []string{"a"}})
		},
		func(r *belljar.NetRule) { r.Query.Params = append(r.Query.Params, belljar.Field{Name: "z"}) },
		func(r *belljar.NetRule) {
			r.Headers = append(r.Headers, belljar.Field{Name: "Host", Values: []string{"a"}})
		},
		func(r *belljar.NetRule) { r.Headers[0].Name = "accept" },
		func(r *belljar.NetRule) { r.Rate = &belljar.Rate{Requests: 0, Per: 1} },
		func(r *belljar.NetRule) { r.Response = -1 },
	} {
		bad := rule
		bad.Constraint = cloneConstraint(rule.Constraint)
		change(&bad)
		if checkRule(bad) == nil {
			t.Errorf("granted: %s", ruleText(bad))
		}
	}
	none, _ := parse("version: 1\nnetwork: {allow: [{host: a.test, query: {}}]}\n", layerUser)
	if got := ruleText(none.allow.items[0].value); got != `{host: "a.test", ports: [443], query: {}}` {
		t.Error(got)
	}
	n := merged(none, nil, nil, nil, false).Network()
	if n.Rules[0].Query == nil || !n.Sees("a.test", 443) {
		t.Error("a query without parameters is any query")
	}
	// What a caller does to the rules is no matter of the policy's.
	p := merged(d, nil, nil, nil, false)
	changed := p.Network()
	changed.Rules[0].Query.Params[0].Values[0], changed.Rules[0].Headers[0].Name = "!", "!"
	if again := p.Network(); !reflect.DeepEqual(again.Rules[0].Constraint, rule.Constraint) {
		t.Error("the policy was changed from outside")
	}
}

func TestConstraintWithin(t *testing.T) {
	of := func(rule string) belljar.NetRule {
		d, faults := parse("version: 1\nnetwork: {allow: [{host: a.test, "+rule+"}]}\n", layerUser)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		return d.allow.items[0].value
	}
	for _, c := range []struct {
		a, b string
		want bool
		both string // of what they have in common
	}{
		{`query: {}`, `query: {p: "*"}`, true, `query: {}`},
		{`query: {p: "*"}`, `query: {}`, false, `query: {}`},
		{`query: {p: "a*"}`, `query: {p: ["a*", b]}`, true, `query: {p: "a*"}`},
		{`query: {p: "*a"}`, `query: {p: "a*"}`, false, `query: {}`},
		{`query: {p: "a%2F*"}`, `query: {p: "a%*"}`, true, `query: {p: "a%2F*"}`},
		{`query: {p: "a/b"}`, `query: {p: "*"}`, true, `query: {p: "a/b"}`},
		{`query: {p: "*", q: x}`, `query: {p: "*"}`, false, `query: {p: "*"}`},
		{`methods: [GET]`, `query: {p: "*"}`, false, `methods: [GET], query: {p: "*"}`},
		{`query: {p: "*"}`, `methods: [GET]`, false, `methods: [GET], query: {p: "*"}`},
		{`headers: {accept: a, x-b: b}`, `headers: {accept: "*"}`, true, `headers: {accept: a, x-b: b}`},
		{`headers: {accept: a}`, `headers: {x-b: b}`, false, `headers: {accept: a, x-b: b}`},
		{`headers: {accept: a}`, `headers: {accept: b}`, false, ``},
		{`headers: {accept: a}`, `headers: {accept: a, x-b: ""}`, false, `headers: {accept: a, x-b: ""}`},
		{`headers: {accept: a}`, `headers: {accept: a, x-b: "*"}`, true, `headers: {accept: a, x-b: "*"}`},
		{`rate: 60/m`, `rate: 1/s`, false, `rate: 1/s`},
		{`rate: 1/s`, `rate: 60/m`, true, `rate: 1/s`},
		{`rate: 10/s`, `rate: 100/m`, false, `rate: 10/6s`},
		{`rate: 10/s`, `rate: 100/7m`, false, `rate: 10/42s`},
		{`rate: 1/s`, `methods: [GET]`, false, `methods: [GET], rate: 1/s`},
		{`response: 1KiB`, `response: 1MiB`, true, `response: 1KiB`},
		{`response: 2MiB`, `response: 1MiB`, false, `response: 1MiB`},
		{`query: {p: a}, rate: 1/s, response: 1KiB`, `response: 1KiB`, true, `query: {p: a}, rate: 1/s, response: 1KiB`},
	} {
		a, b := of(c.a), of(c.b)
		if got := newWork().newIndex([]belljar.NetRule{b}).covers(a); got != c.want {
			t.Errorf("%s within %s: %v", c.a, c.b, got)
		}
		both, ok := newWork().intersect(a, b)
		if ok != (c.both != "") || ok && ruleText(both) != ruleText(of(c.both)) {
			t.Errorf("%s and %s: %v %s", c.a, c.b, ok, ruleText(both))
		}
		if ok && (!newWork().newIndex([]belljar.NetRule{a}).covers(both) || !newWork().newIndex([]belljar.NetRule{b}).covers(both)) {
			t.Errorf("%s and %s: %s is not in both", c.a, c.b, ruleText(both))
		}
		if !newWork().newIndex([]belljar.NetRule{of("methods: [GET, POST, PUT]"), b}).covers(b) || newWork().newIndex([]belljar.NetRule{a}).covers(belljar.NetRule{Host: "a.test", Ports: []uint16{443}}) {
			t.Errorf("%s: a rule that is confined covers everything, or does not cover itself", c.a)
		}
	}
}

// TestProjectsConstraints: a project may say what is within the user's rules, no more.
func TestProjectsConstraints(t *testing.T) {
	for _, c := range []struct{ user, project, want string }{
		{`{host: a.test, rate: 10/s}`, `{host: a.test, rate: 5/s}`, ``},
		{`{host: a.test, rate: 10/s}`, `{host: a.test, rate: 50/s}`, `allows {host`},
		{`{host: a.test, rate: 10/s}`, `a.test`, `allows a.test`},
		{`{host: a.test, response: 1MiB}`, `{host: a.test, response: 2MiB}`, `allows`},
		{`{host: a.test, query: {p: "a*"}}`, `{host: a.test, query: {p: ab}}`, ``},
		{`{host: a.test, query: {p: "a*"}}`, `{host: a.test, query: {p: "*"}}`, `allows`},
		{`{host: a.test, headers: {accept: a}}`, `{host: a.test, methods: [GET]}`, `allows`},
		{`a.test`, `{host: a.test, headers: {accept: a}, query: {}, rate: 1/d, response: 1KiB}`, ``},
	} {
		b := newBench(t).user("version: 1\nnetwork: {allow: [" + c.user + "]}\n").project("version: 1\nnetwork: {allow: [" + c.project + "]}\n")
		p, err := Load(b.opts)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s after %s: %v", c.project, c.user, err)
		}
		if err == nil && len(p.Network().Rules) != 1 {
			t.Errorf("%s after %s: %v", c.project, c.user, p.Network().Rules)
		}
	}
}

// TestHeadersOfCredentials: a header into which a credential is put is judged by no rule
// for its hosts.
func TestHeadersOfCredentials(t *testing.T) {
	text := func(host string) string {
		return "version: 1\nnetwork: {allow: [a.test, {host: " + host + ", headers: {x_acme_key: v}}]}\n" +
			"credentials: [{name: K, hosts: [a.test], header: X-Acme-Key}]\n"
	}
	if _, err := Load(newBench(t).user(text("a.test")).opts); err == nil || !strings.Contains(err.Error(), "into which K is put") {
		t.Error(err)
	}
	if _, err := Load(newBench(t).user(text("b.test")).opts); err != nil {
		t.Error(err)
	}
}

// TestPushesOfAProjectEnd: what a project leaves of the pushes that network.allow allows
// goes where a layer above it takes that away, and none is left where it asks.
func TestPushesOfAProjectEnd(t *testing.T) {
	parsed := func(text, layer string) *document {
		d, faults := parse("version: 1\n"+text+"\n", layer)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		return d
	}
	project := parsed(`git: {push: [{repo: a.test/x, refs: ["refs/heads/*"]}]}`, layerProject)
	p := merged(parsed("network: {allow: [a.test]}", layerUser), project, parsed("network: {allow: []}", layerFlag), nil, false)
	n := p.Network()
	if d := n.Decide(belljar.NetRequest{Host: "a.test", Port: 443, Method: "POST", Path: "/x/git-receive-pack"}); d.Allow {
		t.Error("a push to a host that the flags take away")
	}
	if p := merged(parsed("network: {allow: [{host: a.test, ask: true}]}", layerUser), project, nil, nil, false); p != nil {
		t.Error("a push without asking to a host about which is asked")
	}
}

func TestValuesHaveNoControls(t *testing.T) {
	for v, want := range map[string]bool{"a b": true, "a\tb": true, "a\nb": true, "a\rb": false, "a\r\nb": false, "\x00": false, "\x7f": false} {
		if _, err := parseValue(v); (err == nil) != want {
			t.Errorf("%q: %v", v, err)
		}
	}
}
