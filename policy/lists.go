package policy

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/belljar-dev/belljar"
)

// A permission is the rule of a key that lists what is allowed.
type permission[T any] struct {
	key   string
	doc   func(*document) list[T]
	state func(*state) *[]item[T]
	text  func(T) string
	// covers makes a test whether s already allows a value.
	covers func(s *state) func(T) bool
	// cut is the part of a value that the ceiling's items allow, in pieces.
	cut func(*work, T, []item[T]) []T
}

func (p permission[T]) merge(s *state, d *document) {
	l, dst := p.doc(d), p.state(s)
	if l.clears() {
		*dst = nil
	}
	add(dst, l.items, p.text)
}

// add appends what is not there word for word.
func add[T any](dst *[]item[T], items []item[T], text func(T) string) {
	if len(items) == 0 {
		return
	}
	seen := make(map[string]bool, len(*dst)+len(items))
	for _, i := range *dst {
		seen[text(i.value)] = true
	}
	for _, i := range items {
		if t := text(i.value); !seen[t] {
			seen[t] = true
			*dst = append(*dst, i)
		}
	}
}

func (p permission[T]) tighten(s, full *state, d *document, r *report) {
	l := p.doc(d)
	if l.clears() {
		*p.state(s) = nil
		return
	}
	if len(l.items) == 0 {
		return
	}
	base, more := p.covers(s), p.covers(full)
	for _, i := range l.items {
		// What is covered is left out as well: it would change nothing, and a path
		// below a writable one may be a link that the agent put there.
		if !base(i.value) && !more(i.value) {
			r.add(i.mark, p.key, "", "allows %s, which the user's policy does not", p.text(i.value))
		}
	}
}

func (p permission[T]) limit(s *state, c *document, r *report, cut func(string, mark)) {
	ceiling, dst := p.doc(c), p.state(s)
	if !ceiling.set {
		return
	}
	kept := make([]item[T], 0, len(*dst))
	for _, i := range *dst {
		if i.src.layer == layerDefault {
			kept = append(kept, i)
			continue
		}
		parts := p.cut(s.work, i.value, ceiling.items)
		if len(parts) != 1 || p.text(parts[0]) != p.text(i.value) {
			what := p.key + ": " + p.text(i.value)
			if i.src.layer == layerPreset {
				cut(what, ceiling.mark)
			} else {
				r.add(i.mark, p.key, "", "allows %s, which the organisation's ceiling (%s) does not", p.text(i.value), ceiling.mark.place())
			}
		}
		for _, v := range parts {
			kept = append(kept, item[T]{v, i.mark})
		}
	}
	*dst = kept
}

func same[T any](v T) string { return fmt.Sprint(v) }

// within reports equality only: for keys whose values do not contain each other.
func equalCovers[T comparable](get func(*state) *[]item[T]) func(*state) func(T) bool {
	return func(s *state) func(T) bool {
		m := make(map[T]bool, len(*get(s)))
		for _, i := range *get(s) {
			m[i.value] = true
		}
		return func(v T) bool { return m[v] }
	}
}

func equalCut[T comparable](_ *work, v T, ceiling []item[T]) []T {
	for _, c := range ceiling {
		if c.value == v {
			return []T{v}
		}
	}
	return nil
}

func registriesRule() keyRule {
	get := func(s *state) *[]item[string] { return &s.registries }
	return permission[string]{
		"network.registries", func(d *document) list[string] { return d.registries },
		get, same[string], equalCovers(get), equalCut[string],
	}
}

func publishRule() keyRule {
	get := func(s *state) *[]item[uint16] { return &s.publish }
	return permission[uint16]{
		"network.publish", func(d *document) list[uint16] { return d.publish },
		get, func(p uint16) string { return strconv.Itoa(int(p)) }, equalCovers(get), equalCut[uint16],
	}
}

func allowRule() keyRule {
	return permission[belljar.NetRule]{
		"network.allow",
		func(d *document) list[belljar.NetRule] { return d.allow },
		func(s *state) *[]item[belljar.NetRule] { return &s.rules },
		ruleText,
		func(s *state) func(belljar.NetRule) bool { return s.work.indexItems(s.rules).covers },
		cutRule,
	}
}

func readRule() keyRule {
	return permission[string]{
		"files.read",
		func(d *document) list[string] { return d.read },
		func(s *state) *[]item[string] { return &s.read },
		same[string],
		func(s *state) func(string) bool { return pathCovers(s.read, s.write) },
		cutPath,
	}
}

func writeRule() keyRule {
	return permission[string]{
		"files.write",
		func(d *document) list[string] { return d.write },
		func(s *state) *[]item[string] { return &s.write },
		same[string],
		func(s *state) func(string) bool { return pathCovers(s.write) },
		cutPath,
	}
}

func pathCovers(lists ...[]item[string]) func(string) bool {
	return func(v string) bool {
		for _, l := range lists {
			for _, i := range l {
				if within(v, i.value) {
					return true
				}
			}
		}
		return false
	}
}

// cutPath is the part of v that lies below the ceiling's paths.
func cutPath(_ *work, v string, ceiling []item[string]) []string {
	var parts []string
	for _, c := range ceiling {
		switch {
		case within(v, c.value):
			return []string{v}
		case within(c.value, v):
			parts = append(parts, c.value)
		}
	}
	return parts
}

// passRule is a permission with one more effect: the later layer decides whether a
// variable is passed or set.
func passRule() keyRule {
	get := func(s *state) *[]item[string] { return &s.pass }
	return passing{permission[string]{
		"env.pass", func(d *document) list[string] { return d.pass },
		get, same[string], equalCovers(get), equalCut[string],
	}}
}

type passing struct{ permission[string] }

func (p passing) merge(s *state, d *document) {
	p.permission.merge(s, d)
	for _, i := range d.pass.items {
		delete(s.set, i.value)
	}
}

// A restriction is the rule of a key that lists what is taken away: every layer adds.
type restriction struct {
	doc   func(*document) list[string]
	state func(*state) *[]item[string]
}

func (p restriction) merge(s *state, d *document) { add(p.state(s), p.doc(d).items, same[string]) }

func (p restriction) tighten(s, _ *state, d *document, _ *report) { p.merge(s, d) }

func (p restriction) limit(s *state, c *document, _ *report, _ func(string, mark)) { p.merge(s, c) }

func hideRule() keyRule {
	return restriction{func(d *document) list[string] { return d.hide }, func(s *state) *[]item[string] { return &s.hide }}
}

func holdRule() keyRule {
	return restriction{func(d *document) list[string] { return d.hold }, func(s *state) *[]item[string] { return &s.hold }}
}

// keyLanding is the key of what lands by itself in mode review.
const keyLanding = "workspace.pass"

// landingRule is workspace.pass. Whether one pattern allows no more than another is
// not looked into, but "**" allows all.
func landingRule() keyRule {
	get := func(s *state) *[]item[string] { return &s.landing }
	all := func(i item[string]) bool { return i.value == "**" }
	return permission[string]{
		keyLanding, func(d *document) list[string] { return d.landing }, get, same[string],
		func(s *state) func(string) bool {
			if slices.ContainsFunc(s.landing, all) {
				return func(string) bool { return true }
			}
			return equalCovers(get)(s)
		},
		func(w *work, v string, ceiling []item[string]) []string {
			if slices.ContainsFunc(ceiling, all) {
				return []string{v}
			}
			return equalCut(w, v, ceiling)
		},
	}
}

// setRule is env.set.
type setRule struct{}

func (setRule) merge(s *state, d *document) {
	for _, i := range d.set.items {
		s.set[i.value.name] = item[string]{i.value.value, i.mark}
		s.pass = slices.DeleteFunc(s.pass, func(p item[string]) bool { return p.value == i.value.name })
	}
}

func (setRule) tighten(s, full *state, d *document, r *report) {
	for _, i := range d.set.items {
		base, a := s.set[i.value.name]
		more, b := full.set[i.value.name]
		if a && base.value == i.value.value || b && more.value == i.value.value {
			continue
		}
		r.add(i.mark, join("env.set", i.value.name), "", "sets a variable, which the user's policy does not")
	}
}

func (setRule) limit(_ *state, c *document, r *report, _ func(string, mark)) {
	if c.set.set {
		r.add(c.set.mark, "env.set", "", "a ceiling only limits: it sets nothing")
	}
}
