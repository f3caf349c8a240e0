package sandbox

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway"
	"github.com/belljar-dev/belljar/workspace"
	"github.com/belljar-dev/belljar/workspace/gitcommits"
)

// TestLines: the three closing lines read well in every case, and hold nothing that
// a terminal obeys.
func TestLines(t *testing.T) {
	passed := func(paths ...string) (out []belljar.FileEvent) {
		for _, p := range paths {
			out = append(out, belljar.FileEvent{Path: p, Verdict: "pass"})
		}
		return out
	}
	waiting := func(paths ...string) (out []workspace.Change) {
		for _, p := range paths {
			out = append(out, workspace.Change{Source: "/p", Path: p, Reason: "why"})
		}
		return out
	}
	refusal := gateway.Refusal{Host: "x.example", Reason: "x.example is not in the policy", Fix: "--allow x.example"}
	for name, c := range map[string]struct {
		s    Summary
		line int
		want string
	}{
		"no change":   {Summary{}, 0, "no file changed, nothing waits"},
		"one":         {Summary{Passed: 1, Files: passed("a")}, 0, "1 file changed: a, nothing waits"},
		"many":        {Summary{Passed: 5, Files: passed("a", "b", "c", "d", "e")}, 0, "5 files changed: a, b, c, …, nothing waits"},
		"git":         {Summary{Passed: 2, Git: 2}, 0, "only git's own data changed, nothing waits"},
		"git and one": {Summary{Passed: 3, Git: 2, Files: passed("a")}, 0, "1 file changed: a, and git's own data, nothing waits"},
		"user-run":    {Summary{Passed: 1, Files: []belljar.FileEvent{{Path: "Makefile", Class: "user-run"}}}, 0, "1 file changed: Makefile (you may run it), nothing waits"},
		"renamed":     {Summary{Passed: 1, Files: []belljar.FileEvent{{Path: "a", To: "b"}}}, 0, "1 file changed: a -> b, nothing waits"},
		"waits":       {Summary{Held: 1, Waiting: waiting("h")}, 0, "no file changed; 1 waits: /p/h (why); belljar diff shows what waits"},
		"wait": {Summary{Held: 1, Waiting: waiting("h", "i", "j")}, 0,
			"no file changed; 3 wait, 2 of them from other runs: /p/h (why); belljar diff shows what waits"},
		"before":   {Summary{Waiting: waiting("h", "i")}, 0, "no file changed; 2 wait from other runs; belljar diff shows what waits"},
		"conflict": {Summary{Held: 1, Waiting: []workspace.Change{{Source: "/p", Path: "h", Conflict: "the host changed it"}}}, 0, "no file changed; 1 waits: /p/h (conflict: the host changed it); belljar diff shows what waits"},
		"commits": {Summary{Passed: 1, Git: 1, Commits: gitcommits.Report{Commits: 1, Complete: true, Found: []gitcommits.Finding{{Path: ".envrc\x1b", Reason: "direnv executes it"}}}}, 0,
			`only git's own data changed, nothing waits; new commits hold files that run by themselves once checked out: .envrc\x1b (direnv executes it)`},
		"too many commits": {Summary{Commits: gitcommits.Report{Commits: 2000}}, 0, "no file changed, nothing waits; not all new commits could be looked at for files that run by themselves"},
		"unread":           {Summary{Unread: errors.New("no")}, 0, "no file changed; what waits could not be listed: no"},
		"hostile": {Summary{Passed: 1, Held: 1, Files: passed("a\x1b[2J"), Waiting: waiting("\u202eb\n")}, 0,
			`1 file changed: a\x1b[2J; 1 waits: "/p/\u202eb\n" (why); belljar diff shows what waits`},
		"no network": {Summary{}, 1, "reached nothing, refused nothing"},
		"reached":    {Summary{Net: gateway.Summary{Reached: []gateway.HostCount{{Host: "a"}, {Host: "a", Port: 80}, {Host: "b"}}}}, 1, "reached a, b, refused nothing"},
		"refused": {Summary{Net: gateway.Summary{Refused: []gateway.Refusal{{Host: "m", Reason: "never"}, refusal}}}, 1,
			"reached nothing, refused m, x.example; x.example is not in the policy; to allow it: belljar run --allow x.example …"},
		"never":  {Summary{Net: gateway.Summary{Refused: []gateway.Refusal{{Host: "m", Reason: "m is never reached"}}}}, 1, "reached nothing, refused m; m is never reached"},
		"failed": {Summary{Failed: []belljar.NetEvent{{Host: "a", Reason: "it does not answer"}}}, 1, "reached nothing, refused nothing; could not reach a (it does not answer)"},
		"used":   {Summary{Used: []string{"K to a"}}, 1, "reached nothing, refused nothing; credentials used: K to a"},
		"leak": {Summary{Leaks: []string{"K to b"}}, 1,
			"reached nothing, refused nothing; something inside tried to carry a credential away, and sent a worthless stand-in nowhere: K to b"},
		"ran": {Summary{Name: "n", Commands: 2, Took: 1500 * time.Millisecond}, 2, "2 programs ran in 1.5s; belljar log n tells what they did"},
	} {
		if got := c.s.Lines()[c.line]; got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		if all := strings.Join(c.s.Lines(), ""); strings.ContainsAny(all, "\x1b\n\u202e") {
			t.Errorf("%s: a control character: %q", name, all)
		}
	}
}
