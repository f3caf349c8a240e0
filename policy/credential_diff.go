package policy

import (
	"strings"

	"github.com/belljar-dev/belljar"
)

// diffCredentials lists which requests are given a credential, or no longer, and
// credentials that come from elsewhere or stand elsewhere in a request.
func diffCredentials(a, b *state) []Change {
	var l []Change
	names := map[string]bool{}
	for _, s := range [][]item[grant]{a.credentials, b.credentials} {
		for _, i := range s {
			if names[i.value.Name] {
				continue
			}
			names[i.value.Name] = true
			l = append(l, diffCredential(i.value.Name, a, b)...)
		}
	}
	return append(l, diffOthers(a, b)...)
}

// diffOthers lists where keys that are no credential pass from now on, or no longer: at
// hosts that can be reached before and after, where a credential is bound to them on one
// side only.
func diffOthers(a, b *state) []Change {
	l := diffRules(a.work, "credentials", a.bound(b), b.bound(a))
	for i := range l {
		l[i].What, l[i].Possible = "other keys to "+l[i].What, !l[i].Possible
	}
	return l
}

// bound are the hosts that credentials are bound to and that the other policy reaches, in
// the form of rules.
func (s *state) bound(other *state) []item[belljar.NetRule] {
	var l []item[belljar.NetRule]
	for _, c := range s.credentials {
		for _, h := range unionHosts(c.value.Hosts, c.value.withheld) {
			if other.reaches(h) {
				l = append(l, item[belljar.NetRule]{belljar.NetRule{Host: h.Host, Ports: []uint16{h.Port}}, c.mark})
			}
		}
	}
	return l
}

func diffCredential(name string, a, b *state) []Change {
	const key = "credentials"
	l := diffRules(a.work, key, a.grantRules(name), b.grantRules(name))
	for i := range l {
		l[i].What = name + " to " + l[i].What
	}
	x, inA := a.credential(name)
	y, inB := b.credential(name)
	if !inA || !inB {
		return l
	}
	old, now := a.credentials[x], b.credentials[y]
	if len(old.value.Hosts) == 0 || len(now.value.Hosts) == 0 {
		return l // put into nothing
	}
	if o, n := sourceText(old.value.From), sourceText(now.value.From); o != n {
		l = append(l, Change{Key: key, Possible: true, What: name + " from", Old: o, New: n, Origin: now.origin()})
	}
	if o, n := programsText(old.value.Programs), programsText(now.value.Programs); o != n {
		wider := len(now.value.Programs) == 0 || len(old.value.Programs) > 0 && !subset(now.value.Programs, old.value.Programs)
		l = append(l, Change{Key: key, Possible: wider, What: name + " for", Old: o, New: n, Origin: now.origin()})
	}
	if o, n := old.value.formText(), now.value.formText(); o != n {
		l = append(l, Change{Key: key, Possible: true, What: name + " as", Old: o, New: n, Origin: now.origin()})
	}
	return l
}

// programsText is which programs are given a credential.
func programsText(programs []string) string {
	if len(programs) == 0 {
		return "any program"
	}
	return strings.Join(programs, ", ")
}

// formText is how the credential stands in a request.
func (g grant) formText() string {
	switch g.Form {
	case belljar.FormHeader:
		return "header " + g.Header
	case belljar.FormBasic:
		return "basic " + g.User
	}
	return string(g.Form)
}

// grantRules are the requests that are given the credential, in the form of rules.
func (s *state) grantRules(name string) []item[belljar.NetRule] {
	i, ok := s.credential(name)
	if !ok {
		return nil
	}
	c := s.credentials[i]
	var l []item[belljar.NetRule]
	for _, h := range c.value.Hosts {
		l = append(l, item[belljar.NetRule]{
			belljar.NetRule{Host: h.Host, Ports: []uint16{h.Port}, Methods: c.value.Methods, Paths: c.value.Paths}, c.mark,
		})
	}
	return l
}
