package policy

import "slices"

// How git inside signs commits and tags.
const (
	SignNone = "none"
	SignSSH  = "ssh" // with a key that exists for the sandbox only
)

func signKinds() []string { return []string{SignSSH, SignNone} }

func (d *decoder) sign(p pair) {
	s, ok := d.text(p.value, keySign)
	if !ok {
		return
	}
	if !slices.Contains(signKinds(), s) {
		d.add(d.at(p.value), keySign, "write ssh or none", "%q is no way to sign", s)
		return
	}
	d.doc.sign = &item[string]{s, d.at(p.value)}
}

const keySign = "git.sign"

// signRule is git.sign.
type signRule struct{}

func (signRule) merge(s *state, d *document) {
	if d.sign != nil {
		s.sign = *d.sign
	}
}

func (signRule) tighten(s, full *state, d *document, r *report) {
	switch {
	case d.sign == nil || d.sign.value == s.sign.value || d.sign.value == full.sign.value:
	case d.sign.value == SignNone:
		s.sign = *d.sign
	default:
		r.add(d.sign.mark, keySign, "", "asks for %s where the user's policy says %s", d.sign.value, s.sign.value)
	}
}

func (signRule) limit(s *state, c *document, r *report, cut func(string, mark)) {
	if c.sign == nil || c.sign.value == SignSSH || s.sign.value == SignNone {
		return
	}
	if asked(s.sign.src) {
		r.add(s.sign.mark, keySign, "", "asks for %s where the organisation's ceiling (%s) says %s", s.sign.value, c.sign.place(), c.sign.value)
	} else {
		cut(keySign+": "+s.sign.value, c.sign.mark)
	}
	s.sign = *c.sign
}

// Signs says how git inside signs commits and tags: [SignNone] or [SignSSH].
func (p *Policy) Signs() string { return p.state.sign.value }
