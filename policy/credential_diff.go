package policy

import (
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
	return l
}

func diffCredential(name string, a, b *state) []Change {
	const key = "credentials"
	l := diffRules(key, a.grantRules(name), b.grantRules(name))
	for i := range l {
		l[i].What = name + " to " + l[i].What
	}
	x, inA := a.credential(name)
	y, inB := b.credential(name)
	if !inA || !inB {
		return l
	}
	old, now := a.credentials[x], b.credentials[y]
	if o, n := sourceText(old.value.From), sourceText(now.value.From); o != n {
		l = append(l, Change{Key: key, Possible: true, What: name + " from", Old: o, New: n, Origin: now.origin()})
	}
	if o, n := old.value.formText(), now.value.formText(); o != n {
		l = append(l, Change{Key: key, Possible: true, What: name + " as", Old: o, New: n, Origin: now.origin()})
	}
	return l
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
