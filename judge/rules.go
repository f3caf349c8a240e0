package judge

import (
	"fmt"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/pattern"
)

// A rule is a rule of the policy, compiled.
type rule struct {
	pattern pattern.Pattern
	reason  string
}

// A ruleList finds rules by their first word, which most of them say literally.
type ruleList struct {
	byName map[string][]rule
	others []rule
}

func (j *Judge) compile(rules []belljar.CommandRule) error {
	for i := range j.rules {
		j.rules[i].byName = map[string][]rule{}
	}
	for _, r := range rules {
		p, err := pattern.Parse(r.Pattern)
		if err != nil {
			return fmt.Errorf("rule %q: %w", r.Pattern, err)
		}
		v := Allow
		switch r.Verdict {
		case "allow":
		case "ask":
			v = Ask
		case "deny":
			v = Deny
		default:
			return fmt.Errorf("rule %q: no verdict is called %q", r.Pattern, r.Verdict)
		}
		l := &j.rules[v]
		c := rule{p, r.Reason}
		if name, ok := p.First(); ok {
			l.byName[name] = append(l.byName[name], c)
		} else {
			l.others = append(l.others, c)
		}
	}
	return nil
}

// find is the first rule of a list that says yes.
func (l *ruleList) find(name string, match func(pattern.Pattern) bool) *rule {
	for _, rules := range [][]rule{l.byName[name], l.others} {
		for i := range rules {
			if match(rules[i].pattern) {
				return &rules[i]
			}
		}
	}
	return nil
}

// decide is the verdict of the rules for a command: its words as the table names
// them, and as they were written. Without a rule the answer is ask, and rule "".
func (j *Judge) decide(canonical, raw []string) Finding {
	either := func(p pattern.Pattern) bool { return p.Match(canonical) || p.Match(raw) }
	if r := j.rules[Deny].find(raw[0], either); r != nil {
		return ruled(Deny, r, "the policy denies it")
	}
	if r := j.rules[Ask].find(raw[0], either); r != nil {
		return ruled(Ask, r, "the policy wants it to be asked")
	}
	for _, w := range canonical {
		if shell.Unknown(w) {
			may := func(p pattern.Pattern) bool { return p.MayMatch(canonical, shell.Unknown) }
			for _, v := range []Verdict{Deny, Ask} {
				if r := j.rules[v].find(raw[0], may); r != nil {
					return ruled(Ask, r, "with words that are not known it may be what the policy does not allow")
				}
			}
			break
		}
	}
	if r := j.rules[Allow].find(raw[0], func(p pattern.Pattern) bool { return p.Match(canonical) }); r != nil {
		return ruled(Allow, r, "the policy allows it")
	}
	return Finding{Verdict: Ask, Reason: "no rule of the policy allows " + shell.Show(raw[0])}
}

func ruled(v Verdict, r *rule, otherwise string) Finding {
	f := Finding{Verdict: v, Reason: r.reason, Rule: r.pattern.String()}
	if f.Reason == "" {
		f.Reason = otherwise
	}
	return f
}
