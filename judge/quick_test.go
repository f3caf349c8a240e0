package judge

import (
	"os"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/goccy/go-yaml"
)

func corpusJudge(t testing.TB) *Judge {
	b, err := os.ReadFile("../testdata/corpus/commands.yaml")
	if err != nil { t.Fatal(err) }
	var f struct{ Commands struct {
		Context struct{ Dir, Home string; Writable, Programs []string }
		Allow, Ask, Deny []any
	} }
	if err := yaml.Unmarshal(b, &f); err != nil { t.Fatal(err) }
	var c belljar.Commands
	c.Context = belljar.CommandContext(f.Commands.Context)
	for v, l := range map[string][]any{"allow": f.Commands.Allow, "ask": f.Commands.Ask, "deny": f.Commands.Deny} {
		for _, r := range l {
			switch r := r.(type) {
			case string: c.Rules = append(c.Rules, belljar.CommandRule{Verdict: v, Pattern: r})
			case map[string]any: c.Rules = append(c.Rules, belljar.CommandRule{Verdict: v, Pattern: r["pattern"].(string)})
			}
		}
	}
	j, err := New(c)
	if err != nil { t.Fatal(err) }
	return j
}
