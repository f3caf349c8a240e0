package judge

import (
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestRun: in a run those findings ask that mean something there.
func TestRun(t *testing.T) {
	rule := func(v, p string) belljar.CommandRule { return belljar.CommandRule{Verdict: v, Pattern: p} }
	strict := []belljar.CommandRule{rule("deny", "sudo *"), rule("ask", "git push *"), rule("ask", "source *")}
	full := append([]belljar.CommandRule{rule("allow", "git status *")}, strict...)
	for _, c := range []struct {
		line     string
		rules    []belljar.CommandRule
		s        Setting
		want     Verdict
		wantRule string
	}{
		{"make -j4", strict, Setting{}, Allow, ""},
		{"make -j4", full, Setting{}, Ask, ""},
		{"git status", full, Setting{}, Allow, "git status *"},
		{"make && sudo id", strict, Setting{AskedAtExec: true}, Deny, "sudo *"},
		{"git push origin x", strict, Setting{}, Ask, "git push *"},
		{"git push origin x", strict, Setting{AskedAtExec: true}, Allow, ""},
		{"git status; env git push origin x", full, Setting{AskedAtExec: true}, Allow, "git status *"},
		{"source ./x.sh", strict, Setting{AskedAtExec: true}, Ask, "source *"},
		{"sh $PROGRAM", strict, Setting{}, Allow, ""},
		{"if true; then", strict, Setting{}, Ask, "guard:shape"},
		{"cat .env", strict, Setting{}, Deny, "guard:secret"},
		{"rm -rf ../../x", strict, Setting{Dir: "/workspace/a/b/c"}, Allow, ""},
		{"rm -rf ../../../x", strict, Setting{Dir: "/workspace/a/b/c"}, Allow, ""},
		{"rm -rf ../../../../x", strict, Setting{Dir: "/workspace/a/b/c"}, Deny, "guard:delete"},
		{"rm -rf ../x", strict, Setting{Dir: "relative"}, Deny, "guard:delete"},
	} {
		j, err := New(belljar.Commands{Rules: c.rules})
		if err != nil {
			t.Fatal(err)
		}
		if d := j.Run(c.line, c.s); d.Verdict != c.want || c.wantRule != "" && d.Rule != c.wantRule {
			t.Errorf("%q %+v: %s by %q (%s), want %s by %q", c.line, c.s, d.Verdict, d.Rule, d.Reason, c.want, c.wantRule)
		}
	}
}
