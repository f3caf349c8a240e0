package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/goccy/go-yaml/ast"
)

// maxRefs bounds the patterns of references in one entry.
const maxRefs = 64

// parseRepo reads HOST[:PORT]/PATH, a repository or a pattern of repositories.
func parseRepo(s string) (r belljar.NetRule, suggestion string, err error) {
	if plain := plainRepo(s); plain != s {
		return r, "write " + plain, fmt.Errorf("%q is not written as HOST/PATH", s)
	}
	hostport, rest, ok := strings.Cut(s, "/")
	if !ok || rest == "" {
		return r, "write " + hostport + "/** for all repositories there", fmt.Errorf("%q names no repository: write HOST/PATH", s)
	}
	if r, suggestion, err = parseRule(hostport); err != nil {
		return r, suggestion, err
	}
	if r.Host == "" || strings.HasPrefix(r.Host, "*") {
		return r, "", errors.New("a repository names its host, without a star and not as an address")
	}
	if strings.HasSuffix(rest, "/") {
		return r, "write " + strings.TrimRight(s, "/"), fmt.Errorf("%q ends with a slash", s)
	}
	if suggestion, err = parsePathPattern("/" + rest); err != nil {
		if written, ok := strings.CutPrefix(suggestion, "write /"); ok {
			suggestion = "write " + hostport + "/" + written
		}
		return r, suggestion, err
	}
	r.Git = &belljar.GitRule{Repo: belljar.GitRepo(r.Host, "/"+rest)}
	return r, "", nil
}

// plainRepo is what a remote's URL names, as HOST/PATH.
func plainRepo(s string) string {
	scheme, rest, isURL := strings.Cut(s, "://")
	if !isURL {
		rest = s
	}
	host, path, _ := strings.Cut(rest, "/")
	_, bare, withUser := strings.Cut(host, "@")
	if withUser {
		host = bare
	}
	if withUser && !isURL { // git@host:path
		h, first, _ := strings.Cut(host, ":")
		host, path = h, first+"/"+path
	}
	if isURL && (scheme == "ssh" || scheme == "git") { // its port is another protocol's
		host, _, _ = strings.Cut(host, ":")
	}
	if path == "" && !isURL && !withUser {
		return s
	}
	return host + "/" + strings.TrimSuffix(path, ".git")
}

// parseRef reads a pattern of references.
func parseRef(s string) (suggestion string, err error) {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?[\`, r) }
	switch {
	case s == "" || len(s) > maxPattern || strings.ContainsFunc(s, bad) || strings.Contains(s, "..") || strings.Contains(s, "//") || strings.HasSuffix(s, "/"):
		return "", fmt.Errorf("%q is no pattern of references", s)
	case s == "HEAD" || strings.HasPrefix(s, "*"):
		return "write refs/heads/agent/*, say", fmt.Errorf("%q does not begin with refs/", s)
	case !strings.HasPrefix(s, "refs/"):
		return "write refs/heads/" + s, fmt.Errorf("%q does not begin with refs/", s)
	}
	return "", nil
}

// gitKeys decodes git.
func (d *decoder) gitKeys() map[string]func(pair) {
	return map[string]func(pair){
		"fetch": func(p pair) { d.doc.fetch = decodeList(d, p, "git.fetch", "repositories", d.fetchEntry) },
		"sign":  d.sign,
		"push":  func(p pair) { d.doc.push = decodeList(d, p, "git.push", "mappings with repo and refs", d.pushEntry) },
	}
}

// fetchEntry decodes HOST/PATH or {repo: HOST/PATH, private: true}.
func (d *decoder) fetchEntry(n ast.Node, path string) (belljar.NetRule, bool) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return d.gitEntry(n, path, nil)
	}
	return d.repo(n, path)
}

// pushEntry decodes {repo: HOST/PATH, refs: […], private: true}.
func (d *decoder) pushEntry(n ast.Node, path string) (belljar.NetRule, bool) {
	if _, word := n.(*ast.StringNode); word {
		d.add(d.at(n), path, "write {repo: "+n.GetToken().Value+`, refs: ["refs/heads/agent/*"]}`, "a push needs repo and refs")
		return belljar.NetRule{}, false
	}
	var refs list[string]
	r, ok := d.gitEntry(n, path, &refs)
	switch {
	case !ok:
		return r, false
	case !refs.set:
		d.add(d.at(n), path, `add refs: ["refs/heads/agent/*"], say; refs: [] allows no push to that host`, "a push needs refs")
		return r, false
	case len(refs.items) > maxRefs:
		d.add(refs.mark, path+".refs", "", "more than %d references in one entry", maxRefs)
		return r, false
	}
	for _, i := range refs.items {
		r.Git.Push = append(r.Git.Push, i.value)
	}
	slices.Sort(r.Git.Push)
	r.Git.Push = slices.Compact(r.Git.Push)
	return r, true
}

func (d *decoder) gitEntry(n ast.Node, path string, refs *list[string]) (belljar.NetRule, bool) {
	var r belljar.NetRule
	before := len(d.faults) + d.more
	private := false
	known := map[string]func(pair){
		"repo":    func(p pair) { r, _ = d.repo(p.value, path+".repo") },
		"private": func(p pair) { private = d.boolean(p.value, path+".private") },
	}
	if refs != nil {
		known["refs"] = func(p pair) {
			*refs = decodeList(d, p, path+".refs", "references", func(n ast.Node, key string) (string, bool) {
				return checked(d, n, key, parseRef)
			})
		}
	}
	d.fields(n, path, known)
	r.Private = private
	switch {
	case len(d.faults)+d.more != before:
		return r, false
	case r.Git == nil:
		d.add(d.at(n), path, "", "an entry needs repo")
	case private && r.Host == belljar.Localhost:
		d.add(d.at(n), path+".private", "remove it", "localhost is never private")
	}
	return r, len(d.faults)+d.more == before
}

func (d *decoder) repo(n ast.Node, path string) (belljar.NetRule, bool) {
	s, ok := d.text(n, path)
	if !ok {
		return belljar.NetRule{}, false
	}
	r, suggestion, err := parseRepo(s)
	if err != nil {
		d.add(d.at(n), path, suggestion, "%s", err)
	}
	return r, err == nil
}

// repoText is a repository as it can be written again.
func repoText(r belljar.NetRule) string {
	if r.Ports[0] == defaultPort && r.Host != belljar.Localhost {
		return r.Host + r.Git.Repo
	}
	return r.Host + ":" + strconv.Itoa(int(r.Ports[0])) + r.Git.Repo
}

// fetchText and pushText are entries as they can be written again.
func fetchText(r belljar.NetRule) string {
	if r.Private {
		return "{repo: " + quote(repoText(r)) + ", private: true}"
	}
	return quote(repoText(r))
}

func pushText(r belljar.NetRule) string {
	s := "{repo: " + quote(repoText(r)) + ", refs: " + quotedList(r.Git.Push)
	if r.Private {
		s += ", private: true"
	}
	return s + "}"
}

// gitNetwork adds the rules for git to n, and where pushes are confined.
func (s *state) gitNetwork(n *belljar.Network) {
	gitItem := func(i item[belljar.NetRule], text func(belljar.NetRule) string) {
		r := i.value
		r.Ports, r.Git = slices.Clone(r.Ports), &belljar.GitRule{Repo: r.Git.Repo, Push: slices.Clone(r.Git.Push)}
		r.Origin = i.origin()
		r.Origin.Text = text(r)
		n.Rules = append(n.Rules, r)
	}
	for _, i := range s.push {
		if gives(i.value) {
			gitItem(i, pushText)
		}
	}
	for _, i := range s.fetch {
		gitItem(i, fetchText)
	}
	slices.SortStableFunc(n.Rules, privateFirst)
	n.Pushes = s.confined()
}

// privateFirst orders rules so that the permissive ones come first: the first that
// matches decides whether a name may resolve to private addresses.
func privateFirst(a, b belljar.NetRule) int {
	switch {
	case a.Private == b.Private:
		return 0
	case a.Private:
		return -1
	}
	return 1
}

// confined are the hosts where pushes are allowed by git.push only.
func (s *state) confined() (hosts []belljar.BoundHost) {
	for _, i := range s.push {
		hosts = append(hosts, belljar.BoundHost{Host: i.value.Host, Port: i.value.Ports[0]})
	}
	return unionHosts(hosts, nil)
}
