package policy

import (
	"slices"

	"github.com/belljar-dev/belljar"
)

// extendsRule is extends: presets are merged before any layer, so that here only
// the names are left to judge.
type extendsRule struct{}

func (extendsRule) merge(*state, *document) {}

func (extendsRule) tighten(s, full *state, d *document, r *report) {
	for _, i := range d.extends.items {
		has := func(p item[string]) bool { return p.value == i.value }
		if !slices.ContainsFunc(s.presets, has) && !slices.ContainsFunc(full.presets, has) {
			r.add(i.mark, "extends", "", "adds preset %s, which the user's policy does not", i.value)
		}
	}
}

func (extendsRule) limit(_ *state, c *document, r *report, _ func(string, mark)) {
	if c.extends.set {
		r.add(c.extends.mark, "extends", "", "a ceiling only limits: it adds no presets")
	}
}

// tierRule is tier. Tiers are compared by LoadOptions.Tiers, strongest first.
type tierRule struct{}

func (tierRule) merge(s *state, d *document) {
	if d.tier != nil {
		s.tier = *d.tier
	}
}

func (tierRule) tighten(s, full *state, d *document, r *report) {
	switch {
	case d.tier == nil || d.tier.value == s.tier.value || d.tier.value == full.tier.value:
	case s.tierWithin(d.tier.value, s.tier.value):
		s.tier = *d.tier
	case !s.tierWithin(d.tier.value, full.tier.value):
		r.add(d.tier.mark, "tier", "", "asks for %s where the user's policy says %s", d.tier.value, s.tier.value)
	}
}

func (tierRule) limit(s *state, c *document, r *report, cut func(string, mark)) {
	if c.tier == nil || c.tier.value == tierAuto || s.tierWithin(s.tier.value, c.tier.value) {
		return
	}
	if asked(s.tier.src) && s.tier.value != tierAuto {
		r.add(s.tier.mark, "tier", "", "asks for %s where the organisation's ceiling (%s) says %s", s.tier.value, c.tier.place(), c.tier.value)
	} else {
		cut("tier: "+s.tier.value, c.tier.mark)
	}
	s.tier = *c.tier
}

// tierWithin says whether tier a is at least as strong as b. Only the strongest is
// at least as strong as auto, which may choose it.
func (s *state) tierWithin(a, b string) bool {
	if a == b {
		return true
	}
	i := slices.Index(s.tiers, a)
	if i < 0 {
		return false
	}
	if b == tierAuto {
		return i == 0
	}
	return i <= slices.Index(s.tiers, b)
}

// asked says whether a value was asked for by somebody, as opposed to a default.
func asked(src *source) bool { return src.layer != layerDefault && src.layer != layerPreset }

// modeRule is workspace.mode.
type modeRule struct{}

func (modeRule) merge(s *state, d *document) {
	if d.mode != nil {
		s.mode = *d.mode
	}
}

func modeRank(m belljar.Mode) int { return slices.Index(modes(), m) }

func (modeRule) tighten(s, full *state, d *document, r *report) {
	if d.mode == nil {
		return
	}
	switch rank := modeRank(d.mode.value); {
	case rank < modeRank(s.mode.value):
		s.mode = *d.mode
	case rank > modeRank(s.mode.value) && rank > modeRank(full.mode.value):
		r.add(d.mode.mark, "workspace.mode", "", "asks for %s where the user's policy says %s", d.mode.value, s.mode.value)
	}
}

func (modeRule) limit(s *state, c *document, r *report, cut func(string, mark)) {
	if c.mode == nil || modeRank(s.mode.value) <= modeRank(c.mode.value) {
		return
	}
	if asked(s.mode.src) {
		r.add(s.mode.mark, "workspace.mode", "", "asks for %s where the organisation's ceiling (%s) allows %s", s.mode.value, c.mode.place(), c.mode.value)
	} else {
		cut("workspace.mode: "+string(s.mode.value), c.mode.mark)
	}
	s.mode = *c.mode
}

// limitRule is one of the limits.
type limitRule struct{ name string }

func (l limitRule) merge(s *state, d *document) {
	if v, ok := d.limits[l.name]; ok {
		s.limits[l.name] = v
	}
}

func (l limitRule) tighten(s, full *state, d *document, r *report) {
	v, ok := d.limits[l.name]
	if !ok {
		return
	}
	switch base := s.limits[l.name].value; {
	case v.value < base:
		s.limits[l.name] = v
	case v.value > base && v.value > full.limits[l.name].value:
		format := limitKindOf(l.name).format
		r.add(v.mark, "limits."+l.name, "", "asks for %s where the user's policy says %s", format(v.value), format(base))
	}
}

func (l limitRule) limit(s *state, c *document, r *report, cut func(string, mark)) {
	v, ok := c.limits[l.name]
	have := s.limits[l.name]
	if !ok || have.value <= v.value {
		return
	}
	format := limitKindOf(l.name).format
	if asked(have.src) {
		r.add(have.mark, "limits."+l.name, "", "asks for %s where the organisation's ceiling (%s) allows %s", format(have.value), v.place(), format(v.value))
	} else {
		cut("limits."+l.name+": "+format(have.value), v.mark)
	}
	s.limits[l.name] = v
}
