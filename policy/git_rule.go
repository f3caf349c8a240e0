package policy

import (
	"slices"

	"github.com/belljar-dev/belljar"
)

// gitRule is git.fetch or git.push. An entry of git.push without references gives
// nothing: it only says that pushes to its host are allowed by git.push alone. What
// takes other entries away leaves such ones, or network.allow would allow any push.
type gitRule struct{ push bool }

func (g gitRule) of(s *state) *[]item[belljar.NetRule] {
	if g.push {
		return &s.push
	}
	return &s.fetch
}

func (g gitRule) said(d *document) list[belljar.NetRule] {
	if g.push {
		return d.push
	}
	return d.fetch
}

func (g gitRule) key() string {
	if g.push {
		return keyPush
	}
	return keyFetch
}

func (g gitRule) text(r belljar.NetRule) string {
	if g.push {
		return pushText(r)
	}
	return fetchText(r)
}

const (
	keyFetch = "git.fetch"
	keyPush  = "git.push"
)

// emptied is what is left of entries that are taken away, by a line.
func (g gitRule) emptied(l []item[belljar.NetRule], by mark) (left []item[belljar.NetRule]) {
	if !g.push {
		return nil
	}
	for _, i := range l {
		add(&left, []item[belljar.NetRule]{confining(i.value, by)}, pushText)
	}
	return left
}

// confining is the entry that says of r's host that pushes are confined, and no more.
func confining(r belljar.NetRule, by mark) item[belljar.NetRule] {
	return item[belljar.NetRule]{belljar.NetRule{Host: r.Host, Ports: r.Ports, Git: &belljar.GitRule{Repo: "/**"}}, by}
}

// gives says whether an entry of git.push allows pushes.
func gives(r belljar.NetRule) bool { return len(r.Git.Push) > 0 }

func (g gitRule) merge(s *state, d *document) {
	l, dst := g.said(d), g.of(s)
	if l.clears() {
		*dst = g.emptied(*dst, l.mark)
	}
	if g.push && d.allow.clears() && d.src.layer != layerProject {
		s.closePushes(d.allow.mark)
	}
	add(dst, l.items, g.text)
}

// closePushes takes away what a project left of the pushes that network.allow allowed: a
// layer above it allows none of those hosts any more.
func (s *state) closePushes(by mark) {
	for n, i := range s.push {
		if i.src.layer == layerProject {
			s.push[n] = confining(i.value, by)
		}
	}
}

func (g gitRule) tighten(s, full *state, d *document, r *report) {
	l, dst := g.said(d), g.of(s)
	if l.clears() {
		*dst = g.emptied(*dst, l.mark)
		return
	}
	before := *s // without the project's own entries, of which one does not take the next one away
	before.push = slices.Clone(s.push)
	for _, i := range l.items {
		switch {
		case g.push && !gives(i.value):
			add(dst, []item[belljar.NetRule]{confining(i.value, i.mark)}, pushText)
		case g.push && before.opens(i.value) && !before.confines(i.value):
			add(dst, []item[belljar.NetRule]{i}, pushText) // of all pushes these are left
		case !g.covers(s, i.value) && !g.covers(full, i.value):
			r.add(i.mark, g.key(), "", "allows %s, which the user's policy does not", g.text(i.value))
		}
	}
}

// opens says whether network.allow allows every request to the host and port of r, without
// asking.
func (s *state) opens(r belljar.NetRule) bool {
	for _, i := range s.rules {
		o := i.value
		if !o.Confined() && !o.Ask && o.Host != "" && hostWithin(r.Host, o.Host) && slices.Contains(o.Ports, r.Ports[0]) && (o.Private || !r.Private) {
			return true
		}
	}
	return false
}

// confines says whether pushes to r's host and port are allowed by git.push only.
func (s *state) confines(r belljar.NetRule) bool {
	n := belljar.Network{Pushes: s.confined()}
	return n.ConfinesPushes(r.Host, r.Ports[0])
}

// covers says whether s allows what r does already.
func (g gitRule) covers(s *state, r belljar.NetRule) bool {
	open := s.opens(r)
	if !open && !s.work.pathsWithin([]string{r.Git.Repo}, s.repos(r)) {
		return false
	}
	if !g.push || open && !s.confines(r) {
		return true
	}
	var refs []string
	for _, i := range s.push {
		if sameGitHost(i.value, r) && s.work.pathsWithin([]string{r.Git.Repo}, []string{i.value.Git.Repo}) {
			refs = append(refs, i.value.Git.Push...)
		}
	}
	return s.work.pathsWithin(r.Git.Push, refs)
}

// repos are the patterns of repositories at r's host that may be fetched from.
func (s *state) repos(r belljar.NetRule) (repos []string) {
	for _, i := range s.fetch {
		if sameGitHost(i.value, r) {
			repos = append(repos, i.value.Git.Repo)
		}
	}
	for _, i := range s.push {
		if gives(i.value) && sameGitHost(i.value, r) {
			repos = append(repos, i.value.Git.Repo)
		}
	}
	return repos
}

// sameGitHost says whether a speaks of the host and port of r, private where r is.
func sameGitHost(a, r belljar.NetRule) bool {
	return a.Host == r.Host && a.Ports[0] == r.Ports[0] && (a.Private || !r.Private)
}

// limit keeps what the ceiling's git covers; where it says nothing of git, what its
// network.allow does. Where the ceiling has git.push, pushes to those hosts are confined.
func (g gitRule) limit(s *state, c *document, r *report, cut func(string, mark)) {
	if !c.fetch.set && !c.push.set && !c.allow.set {
		return
	}
	ceiling := &state{rules: c.allow.items, fetch: c.fetch.items, push: c.push.items, work: s.work}
	dst := g.of(s)
	var kept []item[belljar.NetRule]
	for _, i := range *dst {
		if g.push && !gives(i.value) || g.allowedBy(ceiling, c, i.value) {
			kept = append(kept, i)
			continue
		}
		by := g.by(c)
		if asked(i.src) {
			r.add(i.mark, g.key(), "", "allows %s, which the organisation's ceiling (%s) does not", g.text(i.value), by.place())
		} else {
			cut(g.key()+": "+g.text(i.value), by)
		}
		kept = append(kept, g.emptied([]item[belljar.NetRule]{i}, by)...)
	}
	if g.push {
		add(&kept, g.emptied(c.push.items, c.push.mark), pushText)
	}
	*dst = kept
}

func (g gitRule) by(c *document) mark {
	switch {
	case g.push && c.push.set:
		return c.push.mark
	case c.fetch.set:
		return c.fetch.mark
	case c.allow.set:
		return c.allow.mark
	}
	return c.push.mark
}

// allowedBy says whether the ceiling allows r.
func (g gitRule) allowedBy(ceiling *state, c *document, r belljar.NetRule) bool {
	if (c.fetch.set || c.allow.set) && !(gitRule{}).covers(ceiling, r) {
		return false
	}
	return !g.push || !c.push.set && !c.allow.set || g.covers(ceiling, r)
}

// diffGit compares git.fetch and git.push: entries that the other policy covers are no
// change, and neither are hosts where pushes are confined in both.
func diffGit(a, b *state) []Change {
	var l []Change
	for _, side := range []struct {
		these, others *state
		added         bool
	}{{b, a, true}, {a, b, false}} {
		for _, g := range []gitRule{{}, {push: true}} {
			for _, i := range *g.of(side.these) {
				if (!g.push || gives(i.value)) && !g.covers(side.others, i.value) {
					l = append(l, Change{Key: g.key(), Possible: side.added, What: g.text(i.value), Origin: i.origin()})
				}
			}
		}
		for _, i := range side.these.push {
			c := Change{Key: keyPush, Possible: !side.added, What: "any other push to " + boundText(belljar.BoundHost{Host: i.value.Host, Port: i.value.Ports[0]}), Origin: i.origin()}
			told := slices.ContainsFunc(l, func(o Change) bool { return o.What == c.What && o.Possible == c.Possible })
			if side.others.opens(i.value) && !side.others.confines(i.value) && !told {
				l = append(l, c)
			}
		}
	}
	return l
}
