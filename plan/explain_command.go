package plan

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
)

// command says what rules mean for a program that is executed with its arguments, which
// differs between tiers.
func (r *explainer) command(e *Explanation) error {
	if _, err := policy.MatchesCommand("x", e.Subject); err != nil {
		return err
	}
	var found *belljar.CommandRule
	if c := r.Plan.Commands; c != nil {
		for i := range c.Rules {
			rule := &c.Rules[i]
			ok, err := policy.MatchesCommand(rule.Pattern, e.Subject)
			if err != nil {
				return err
			}
			if ok && rule.Verdict != "allow" && (found == nil || rule.Verdict == "deny" && found.Verdict == "ask") {
				found = rule
			}
		}
	}
	if found == nil {
		e.Verdict, e.Allowed = "allow", true
		e.Reason = "no rule denies or asks it; what known agents run by their own tools is judged besides: belljar judge"
		return nil
	}
	e.Rule = origin(found.Origin)
	e.Verdict = map[string]string{"deny": "refuse", "ask": "ask"}[found.Verdict]
	e.Reason, e.Fix, e.Allowed = r.heldBy(found)
	if found.Reason != "" {
		e.Reason = found.Reason + "; " + e.Reason
	}
	return nil
}

// heldBy says what the tier does about a rule, what would hold it where nothing does, and
// whether the program runs.
func (r *explainer) heldBy(rule *belljar.CommandRule) (how, fix string, runs bool) {
	i := slices.IndexFunc(r.Plan.Denied, func(d belljar.DeniedProgram) bool { return d.Pattern == rule.Pattern && d.Verdict == rule.Verdict })
	if i < 0 {
		return "in tier " + r.Plan.Tier + " this is decided before each program is executed (\"Operation not permitted\"), by all its names and arguments; a tier that shares the host's kernel can only deny whole programs", "", false
	}
	d := &r.Plan.Denied[i]
	other := enforced(r.Plan.Enforcement, belljar.ReqCommands).Remedy
	switch {
	case d.Gap != "":
		return "it runs all the same in tier " + r.Plan.Tier + ": " + d.Gap, other, true
	case len(d.Files) == 0:
		return "no such program is visible inside; in tier " + r.Plan.Tier + " one that comes later runs", other, true
	}
	return "in tier " + r.Plan.Tier + " an empty file covers " + strings.Join(d.Files, ", ") +
		" (\"Permission denied\"); a copy under another name or another program that does the same still runs, as does one that the host installs anew meanwhile", "", false
}
