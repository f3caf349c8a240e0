package plan

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/agenthook"
)

// TestHooks: where there are rules for commands, every known agent finds its hook in
// read-only files of /etc; gemini, where nothing is root's, in its own settings.
func TestHooks(t *testing.T) {
	made := func(uid int, rules ...belljar.CommandRule) *belljar.Plan {
		f := loadFacts(t, "testdata/credentials.facts.json")
		f.Identity.UID = uid
		w := wishes{limits: belljar.Limits{Memory: 1, CPUs: 1, Processes: 1, Disk: 1, Files: 1, Time: 1}, mode: belljar.ModeLive}
		w.commands.Rules = rules
		w.home = []homeFile{{agenthook.GeminiSettings, `{"privacy": {"usageStatisticsEnabled": false}}`}}
		p, err := build(w, f, fullCaps())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	own := func(p *belljar.Plan) string {
		for _, f := range p.HomeFiles {
			if f.Path == agenthook.GeminiSettings {
				return f.Content
			}
		}
		return ""
	}
	rule := belljar.CommandRule{Verdict: "allow", Pattern: "ls *"}
	for _, c := range []struct {
		p           *belljar.Plan
		files, home bool
	}{{made(1000), false, false}, {made(1000, rule), true, true}, {made(0, rule), true, false}} {
		for _, f := range agenthook.Files() {
			found := false
			for _, m := range c.p.Mounts {
				if m.Target == f.Path {
					found = true
					if m.Kind != belljar.MountFile || !m.ReadOnly || m.Perm != 0o444 || m.Content != f.Content {
						t.Errorf("%+v", m)
					}
				}
			}
			if found != c.files {
				t.Errorf("%s is there: %v", f.Path, found)
			}
		}
		if s := own(c.p); strings.Contains(s, agenthook.Program) != c.home || !strings.Contains(s, "usageStatisticsEnabled") {
			t.Errorf("uid %d, gemini's own settings: %s", c.p.Identity.UID, s)
		}
	}
}
