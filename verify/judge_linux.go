package verify

import (
	"cmp"

	"github.com/belljar-dev/belljar"
)

// A finding is what one world saw of one row.
type finding struct {
	Ran    bool   `json:"ran"`              // the attacker began it
	Effect bool   `json:"effect"`           // it did what it wants to do
	Detail string `json:"detail,omitempty"` // what was seen
}

// merge judges every row by what both worlds saw.
func merge(rows []*row, sandbox, control map[string]finding, enforced []belljar.Enforcement) []Attack {
	var out []Attack
	for _, r := range rows {
		a := Attack{ID: r.id, Name: r.name, Expected: r.expected()}
		if !r.works {
			a.Layer = layerOf(r, enforced)
		}
		judge(&a, r, sandbox[r.id], control[r.id], enforced)
		out = append(out, a)
	}
	return out
}

func judge(a *Attack, r *row, s, c finding, enforced []belljar.Enforcement) {
	switch {
	case !c.Ran, !c.Effect:
		a.Result = NotJudged
		a.Reason = "without a sandbox it does not succeed either: " + cmp.Or(c.Detail, "it had no effect")
		if r.excuse != nil {
			if why := r.excuse(); why != "" {
				a.Excused, a.Reason = true, why
			}
		}
	case !s.Ran:
		a.Result, a.Reason = NotJudged, "it did not run inside: "+cmp.Or(s.Detail, "the attacker said nothing")
	case r.works && s.Effect:
		a.Result = Works
	case r.works:
		a.Result, a.Reason = Broken, cmp.Or(s.Detail, "it had no effect")
		if gap := gapOf(r, enforced); gap != "" {
			a.Result, a.Excused, a.Reason = NotJudged, true, "the tier declares that it does not hold this: "+gap
		}
	case s.Effect:
		a.Result, a.Reason = Through, cmp.Or(s.Detail, "its effect was seen outside")
		if gap := gapOf(r, enforced); gap != "" {
			a.Result, a.Excused, a.Reason = NotJudged, true, "the tier declares that it does not hold this: "+gap
		}
	default:
		a.Result = Stopped
	}
}

// layerOf names what stands in the way of r: the row's own word, else what the
// capability table says of its requirement.
func layerOf(r *row, enforced []belljar.Enforcement) string {
	if r.layer != "" {
		return r.layer
	}
	for _, e := range enforced {
		if e.Requirement == r.req && e.By != "" {
			return e.By
		}
	}
	return string(r.req)
}

// gapOf is the gap that the tier declares for the requirement of r.
func gapOf(r *row, enforced []belljar.Enforcement) string {
	for _, e := range enforced {
		if e.Requirement == r.req && e.Level == belljar.None {
			return cmp.Or(e.Gap, "not enforced")
		}
	}
	return ""
}
