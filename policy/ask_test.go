package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestAsk: a rule that asks allows nothing by itself, is written as it is read, and no
// layer makes of asking what passes unasked.
func TestAsk(t *testing.T) {
	const user = `version: 1
network:
  allow:
    - {host: api.example.com, methods: [GET]}
    - {host: api.example.com, ask: true}
    - {host: db.example.com, ports: [5432], ask: true}
`
	p := newBench(t).user(user).must()
	n := p.Network()
	for _, c := range []struct {
		q          belljar.NetRequest
		allow, ask bool
	}{
		{belljar.NetRequest{Host: "api.example.com", Port: 443, Method: "GET", Path: "/x"}, true, false},
		{belljar.NetRequest{Host: "api.example.com", Port: 443, Method: "POST", Path: "/x"}, false, true},
		{belljar.NetRequest{Host: "api.example.com", Port: 443}, true, false},
		{belljar.NetRequest{Host: "api.example.com", Port: 80}, false, false},
		{belljar.NetRequest{Host: "db.example.com", Port: 5432}, false, true},
		{belljar.NetRequest{Host: "db.example.com"}, true, false}, // the name exists
	} {
		if d := n.Decide(c.q); d.Allow != c.allow || d.Ask != c.ask || d.Missing == (d.Allow || d.Ask) {
			t.Errorf("%+v: %+v", c.q, d)
		}
	}
	if !n.Sees("api.example.com", 443) || n.Sees("db.example.com", 5432) {
		t.Error("what is seen")
	}
	text := ruleText(p.state.rules[1].value)
	if text != `{host: "api.example.com", ports: [443], ask: true}` {
		t.Error(text)
	}
	plain := newBench(t).user(strings.ReplaceAll(user, ", ask: true", "")).must()
	var lines []string
	for _, c := range Diff(p, plain) {
		lines = append(lines, c.String())
	}
	for _, want := range []string{"+ network.allow: db.example.com:5432", `- network.ask: {host: "db.example.com", ports: [5432], ask: true}`} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %q in %q", want, lines)
		}
	}
	b := newBench(t).user(user).project("version: 1\nnetwork: {allow: [\"db.example.com:5432\"]}\n")
	if _, err := Load(b.opts); err == nil || !strings.Contains(err.Error(), "db.example.com:5432") {
		t.Errorf("a project made of asking what passes: %v", err)
	}
	b = newBench(t).user(user).project("version: 1\nnetwork: {allow: [{host: api.example.com, methods: [POST], ask: true}]}\n")
	if _, err := Load(b.opts); err != nil {
		t.Errorf("what asks already: %v", err)
	}
}

// TestAskCeiling: where the ceiling asks, what it covers asks, and nothing is granted for
// longer than once.
func TestAskCeiling(t *testing.T) {
	const ceiling = "version: 1\nnetwork: {allow: [{host: \"*.example.com\", ask: true}, open.example.org]}\n"
	b := newBench(t).user("version: 1\nnetwork: {allow: [a.example.com]}\n").ceiling(ceiling)
	if _, err := b.load(); err == nil {
		t.Error("a user passes unasked where the ceiling asks")
	}
	p := newBench(t).user("version: 1\nnetwork: {allow: [{host: a.example.com, ask: true}]}\n").ceiling(ceiling).must()
	for host, may := range map[string]bool{"a.example.com": false, "open.example.org": true, "b.example.net": false} {
		rule := belljar.NetRule{Host: host, Ports: []uint16{443}, Methods: []string{"GET"}, Paths: []string{"/x"}}
		if err := p.MayGrant(rule); (err == nil) != may {
			t.Errorf("%s: %v", host, err)
		}
	}
	one := belljar.NetRule{CIDR: netip.MustParsePrefix("10.20.0.5/32"), Ports: []uint16{5432}}
	if err := p.MayGrant(one); err == nil {
		t.Error("an address is granted that the ceiling does not cover")
	}
	for _, ok := range []belljar.NetRule{one, {Host: belljar.Localhost, Ports: []uint16{9000}}} {
		if err := newBench(t).must().MayGrant(ok); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []belljar.NetRule{
		{CIDR: netip.MustParsePrefix("10.20.0.0/24"), Ports: []uint16{1}}, {CIDR: netip.MustParsePrefix("169.254.169.254/32"), Ports: []uint16{80}},
		{Host: "open.example.org"}, {Ports: []uint16{443}}, {Host: "127.1", Ports: []uint16{443}}, {Host: "169.254.169.254", Ports: []uint16{80}},
		{Host: "open.example.org", Ports: []uint16{443}, Paths: []string{"/a/../b"}}, {Host: "open.example.org", Ports: []uint16{443}, Methods: []string{"CONNECT"}},
	} {
		if err := p.MayGrant(bad); err == nil {
			t.Errorf("granted: %+v", bad)
		}
	}
}
