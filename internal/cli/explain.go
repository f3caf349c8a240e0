package cli

import (
	"path/filepath"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// explainFile says what becomes of a path of the project: what belljar knows by
// itself and what the policy adds, as the view judges it.
func explainFile(p *policy.Policy, mode belljar.Mode, rel string) (policy.Explanation, error) {
	rs, err := rules.New(rules.Options{Hide: p.Hide(), Hold: p.Hold(), Mode: mode})
	if err != nil {
		return policy.Explanation{}, err
	}
	v := rs.Explain(filepath.ToSlash(rel))
	e := policy.Explanation{
		Kind: "path", Subject: filepath.ToSlash(rel), Verdict: v.Kind.String(),
		Allowed: v.Kind == rules.Pass, Reason: v.Reason, Rule: v.Rule,
	}
	if e.Reason == "" {
		e.Reason = map[belljar.Mode]string{
			belljar.ModeLive:     "an ordinary file of the project: changes are written through",
			belljar.ModeReview:   "every change waits in mode review",
			belljar.ModeReadOnly: "nothing can be changed in mode readonly",
		}[mode]
	}
	if v.Class == rules.UserRun && e.Allowed {
		e.Fix = "workspace.mode: review, or files.hold, keeps changes until you apply them"
	}
	return e, nil
}
