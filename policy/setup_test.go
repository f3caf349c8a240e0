package policy

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestSetup: layers add lines in order, a project may add lines but no rules, the ceiling's
// network.allow covers what setup allows, and a project that is trusted is told of
// when its rules of setup let a credential out.
func TestSetup(t *testing.T) {
	b := newBench(t).user("version: 1\nnetwork: {allow: [a.example.com]}\nsetup: {run: [one, two], allow: [b.example.com]}\n")
	b.project("version: 1\nsetup: {run: [three, one], allow: [a.example.com, b.example.com]}\n")
	p := b.must()
	var lines []string
	for _, s := range p.Setup() {
		lines = append(lines, s.Argv[2]+"/"+s.Origin.Layer)
	}
	if got := strings.Join(lines, " "); got != "one/user two/user three/project" {
		t.Error(got)
	}
	n := p.Network()
	in := n.InSetup()
	for host, want := range map[string][2]bool{"a.example.com": {true, true}, "b.example.com": {false, true}, "c.example.com": {false, false}} {
		q := belljar.NetRequest{Host: host, Port: 443}
		if got := [2]bool{n.Decide(q).Allow, in.Decide(q).Allow}; got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
	if b.project("version: 1\nsetup: {run: []}\n"); len(b.must().Setup()) != 0 {
		t.Error("a project does not take lines away")
	}
	for text, want := range map[string]string{
		"setup: {run: ['']}":               "empty line",
		"setup: {allow: ['localhost:80']}": "network.allow",
	} {
		newBench(t).user("version: 1\n"+text+"\n").refused(belljar.KindUsage, want)
	}
	newBench(t).user("version: 1\nsetup: {allow: [b.example.com]}\n").ceiling("version: 1\nnetwork: {allow: [a.example.com]}\n").
		refused(belljar.KindUsage, "setup.allow", "b.example.com", "ceiling")
	newBench(t).user("version: 1\n").ceiling("version: 1\nsetup: {run: [x]}\n").refused(belljar.KindUsage, "setup.run")
}
