package policy

import (
	"fmt"
	"slices"

	"github.com/belljar-dev/belljar"
)

// credentialsRule is credentials: one entry per name, which the layers above may change
// field by field.
type credentialsRule struct{}

func (s *state) credential(name string) (int, bool) {
	i := slices.IndexFunc(s.credentials, func(c item[grant]) bool { return c.value.Name == name })
	return i, i >= 0
}

// merge lets the layers of the user say everything. A project, although trusted, takes a
// credential away from a host without letting other keys go there.
func (credentialsRule) merge(s *state, d *document) {
	project := d.src.layer == layerProject
	switch {
	case d.credentials.clears() && project:
		s.withhold(d.credentials.mark)
	case d.credentials.clears():
		s.credentials = nil
	}
	for _, i := range d.credentials.items {
		if n, ok := s.credential(i.value.Name); ok {
			old := s.credentials[n].value
			g := old.over(i.value)
			if project {
				old.Credential = g.Credential
				old.Hosts = s.credentials[n].value.Hosts
				g = old.only(g.Hosts, i.mark)
			}
			s.credentials[n] = item[grant]{g, i.mark}
			continue
		}
		g := i.value
		g.more = false
		g.complete()
		s.credentials = append(s.credentials, item[grant]{g, i.mark})
	}
}

// withhold takes every credential away.
func (s *state) withhold(by mark) {
	for i := range s.credentials {
		s.credentials[i].value = s.credentials[i].value.only(nil, by)
	}
}

// tighten lets a project use credentials, and narrow them. What it takes away is
// withheld: were it gone, requests to its hosts would not be seen, and could carry any
// key. A flag which adds a host finds everything else as the user wrote it.
func (credentialsRule) tighten(s, full *state, d *document, r *report) {
	if d.credentials.clears() {
		s.withhold(d.credentials.mark)
	}
	for _, i := range d.credentials.items {
		key := "credentials." + i.value.Name
		n, ok := full.credential(i.value.Name)
		if !ok {
			r.add(i.mark, key, "a flag gives it: --credential "+i.value.Name+"=HOST", "uses a credential that the user's policy does not have")
			continue
		}
		all := full.credentials[n].value
		if why := beyond(s.work, i.value, all); why != "" {
			r.add(i.mark, key, "", "%s, which the user's policy does not", why)
			continue
		}
		if n, ok := s.credential(i.value.Name); ok {
			s.credentials[n] = item[grant]{narrowed(s.work, s.credentials[n].value, i), i.mark}
		}
	}
}

// beyond says what of the entry g goes beyond all.
func beyond(w *work, g, all grant) string {
	for _, h := range g.Hosts {
		if !slices.ContainsFunc(all.Hosts, func(a belljar.BoundHost) bool { return boundWithin(h, a) }) {
			return "binds it to " + boundText(h)
		}
	}
	q := g.requests()
	if len(q.methods) == 0 {
		q.methods = all.Methods
	}
	if len(q.paths) == 0 {
		q.paths = all.Paths
	}
	switch {
	case !w.requestsWithin(q, []requests{all.requests()}):
		return "gives it to other requests"
	case len(all.Programs) > 0 && !subset(g.Programs, all.Programs):
		return "gives it to other programs"
	case g.Form != "" && (g.Form != all.Form || g.Header != all.Header):
		return "puts it into another header"
	case g.User != "" && g.User != all.User:
		return "gives it another user"
	}
	return ""
}

// narrowed is base as far as an entry, which is within all that the user allows, leaves
// it; the rest is withheld.
func narrowed(w *work, base grant, entry item[grant]) grant {
	g, left := entry.value, base.Hosts
	if len(g.Hosts) > 0 {
		var hosts []belljar.BoundHost
		for _, h := range g.Hosts {
			for _, b := range base.Hosts {
				switch {
				case boundWithin(h, b):
					hosts = append(hosts, h)
				case boundWithin(b, h):
					hosts = append(hosts, b)
				}
			}
		}
		left = unionHosts(hosts, nil)
	}
	q, ok := w.both(base.requests(), g.requests())
	if !ok {
		return base.only(nil, entry.mark)
	}
	base.Methods, base.Paths = q.methods, q.paths
	if len(g.Programs) > 0 {
		if len(base.Programs) == 0 {
			base.Programs = g.Programs
		}
		base.Programs = slices.DeleteFunc(slices.Clone(base.Programs), func(p string) bool { return !slices.Contains(g.Programs, p) })
		if len(base.Programs) == 0 {
			return base.only(nil, entry.mark)
		}
	}
	return base.only(left, entry.mark)
}

// subset says whether all has every one of some; of no programs, that those of all count.
func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func boundWithin(a, b belljar.BoundHost) bool { return a.Port == b.Port && hostWithin(a.Host, b.Host) }

// limit keeps of every credential what the ceiling has under its name; the rest is
// withheld.
func (credentialsRule) limit(s *state, c *document, r *report, cut func(string, mark)) {
	if !c.credentials.set {
		return
	}
	for n, i := range s.credentials {
		parts := i.value.only(nil, c.credentials.mark)
		for _, l := range c.credentials.items {
			if l.value.Name == i.value.Name {
				parts = narrowed(s.work, i.value, l)
			}
		}
		if parts.text() != i.value.text() && len(i.value.Hosts) > 0 {
			if asked(i.src) {
				r.add(i.mark, "credentials", "", "uses %s, which the organisation's ceiling (%s) does not allow like this", i.value.Name, c.credentials.mark.place())
			} else {
				cut("credentials: "+i.value.text(), c.credentials.mark)
			}
		}
		s.credentials[n].value = parts
	}
}

// reaches says whether some rule allows connections to b, or to a part of it.
func (s *state) reaches(b belljar.BoundHost) bool {
	giving := slices.DeleteFunc(slices.Clone(s.push), func(i item[belljar.NetRule]) bool { return !gives(i.value) })
	for _, i := range slices.Concat(s.rules, s.fetch, giving) {
		if _, ok := intersectPlace(belljar.NetRule{Host: b.Host, Ports: []uint16{b.Port}}, i.value); ok {
			return true
		}
	}
	return false
}

// checkCredentials reports what somebody asked for that cannot work: a credential
// allows no host by itself.
func (s *state) checkCredentials(r *report) {
	for _, i := range s.credentials {
		if !asked(i.src) {
			continue
		}
		if len(i.value.Hosts) == 0 {
			r.add(i.mark, "credentials", "", "%s has no hosts: they say where it goes", i.value.Name)
		}
		for _, h := range i.value.Hosts {
			if s.reaches(h) {
				continue
			}
			if i.line == 0 { // a flag
				r.add(i.mark, "", "--allow "+boundText(h)+" allows it: a credential allows no host by itself", "%s: no rule allows %s", i.value.Name, boundText(h))
			} else {
				fix := fmt.Sprintf("allow it as well: %s below network.allow, or --allow %s", quote(boundText(h)), boundText(h))
				r.add(i.mark, "credentials", fix, "no rule allows %s, to which %s is bound", boundText(h), i.value.Name)
			}
		}
	}
}

// settleCredentials drops what goes nowhere. A host that no rule allows may still be one
// of network.registries, which only the plan knows: where there are any it is withheld,
// or a project that clears network.allow would let any key go there.
func (s *state) settleCredentials() {
	reached := func(l []belljar.BoundHost) (hosts []belljar.BoundHost) {
		for _, h := range l {
			if s.reaches(h) {
				hosts = append(hosts, h)
			}
		}
		return hosts
	}
	var kept []item[grant]
	for _, i := range s.credentials {
		if len(s.registries) > 0 {
			i.value = i.value.only(reached(i.value.Hosts), i.mark)
		} else {
			i.value = i.value.bound(reached(i.value.Hosts), reached(i.value.withheld))
		}
		if len(i.value.Hosts)+len(i.value.withheld) > 0 {
			kept = append(kept, i)
		}
	}
	slices.SortStableFunc(kept, func(a, b item[grant]) int {
		if a.value.Name < b.value.Name {
			return -1
		}
		return 1
	})
	s.credentials = kept
}
