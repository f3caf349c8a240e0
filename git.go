package belljar

import (
	"slices"
	"strconv"
	"strings"
)

// A GitRule confines a rule to git's own requests by smart HTTP for some repositories of
// its host: fetching, and pushing where Push names references.
type GitRule struct {
	// Repo is a pattern of [MatchPath] for the paths of repositories, without ".git":
	// "/acme/widget", "/acme/*".
	Repo string `json:"repo"`
	// Push are patterns of [MatchPath] for the references that a push may create and
	// fast-forward; empty: fetching only.
	Push []string `json:"push,omitempty"`
}

// GitService is what a path of git's smart HTTP asks of a repository.
type GitService string

// The services. Everything else, the dumb protocol too, is none.
const (
	GitRefs      GitService = "info/refs"              // GET: the references, for fetching or pushing as the query says
	GitFetch     GitService = "git-upload-pack"        // POST
	GitPush      GitService = "git-receive-pack"       // POST
	GitLFSBatch  GitService = "info/lfs/objects/batch" // POST: where large files are read or written, as the body says
	GitLFSObject GitService = "info/lfs/objects/"      // GET: one large file
)

// ParseGitPath splits a canonical path of a URL at host into the path of a repository
// and what is asked of it. The repository's path is without ".git", so that both
// spellings are one, and in lower case at the forges that do not tell case apart. A
// path that some server reads as another one, such as "/a;b", is no repository's.
func ParseGitPath(host, path string) (repo string, service GitService, ok bool) {
	for _, s := range []GitService{GitRefs, GitFetch, GitPush, GitLFSBatch} {
		if repo, ok = strings.CutSuffix(path, "/"+string(s)); ok {
			service = s
			break
		}
	}
	if !ok {
		if repo, ok = cutObject(path); !ok {
			return "", "", false
		}
		service = GitLFSObject
	}
	repo = strings.TrimSuffix(repo, ".git")
	if len(repo) < 2 || repo[0] != '/' || strings.HasSuffix(repo, "/") || strings.Contains(repo, "//") ||
		strings.ContainsAny(decodeOnce(repo), `;%?#\`) {
		return "", "", false
	}
	return GitRepo(host, repo), service, true
}

// cutObject cuts what names one large file off.
func cutObject(path string) (repo string, ok bool) {
	repo, oid, ok := strings.Cut(path, "/"+string(GitLFSObject))
	return repo, ok && len(oid) == 64 && strings.Trim(oid, "0123456789abcdef") == ""
}

// GitRepo is the path of a repository as host tells it apart from others.
func GitRepo(host, repo string) string {
	if slices.Contains([]string{"github.com", "gitlab.com", "bitbucket.org", "codeberg.org"}, host) {
		return strings.ToLower(repo)
	}
	return repo
}

// allows says whether the rule allows a request with r's method and path. The query of
// [GitRefs], the body of [GitPush] and that of [GitLFSBatch] remain to be judged.
func (g *GitRule) allows(r NetRequest) bool {
	repo, service, ok := ParseGitPath(r.Host, r.Path)
	if !ok || !MatchPath(g.Repo, repo) {
		return false
	}
	switch service {
	case GitRefs, GitLFSObject:
		return r.Method == "GET"
	case GitPush:
		return r.Method == "POST" && len(g.Push) > 0
	}
	return r.Method == "POST"
}

// GitRules lists the rules for git's requests that speak of a repository at host and
// port, in order.
func (n *Network) GitRules(host string, port uint16, repo string) (rules []*NetRule) {
	for i := range n.Rules {
		rule := &n.Rules[i]
		if rule.Git != nil && rule.names(NetRequest{Host: host}) && rule.allowsPort(port) && MatchPath(rule.Git.Repo, repo) {
			rules = append(rules, rule)
		}
	}
	return rules
}

// ConfinesPushes says whether pushes to host and port are allowed by rules with Git
// only, whatever other rules allow: whether Pushes name the host. They count for the
// usual ports of HTTP as well, not for others, where other protocols are spoken.
func (n *Network) ConfinesPushes(host string, port uint16) bool {
	for _, b := range n.Pushes {
		if b.Host == host && (b.Port == port || (port == 443 || port == 80) && host != Localhost) {
			return true
		}
	}
	return false
}

// LooksLikePush says whether some server could take a request for one that writes to a
// repository or to its large files, however its path is spelled. Of requests of git-lfs
// only the plain spelling of [GitLFSBatch] is none: its body says more.
func LooksLikePush(method, path string) bool {
	p, known := decoded(path)
	if !known || strings.Contains(p, string(GitPush)) {
		return true
	}
	parts := plainParts(p)
	if strings.Contains(strings.Join(parts, "/"), string(GitPush)) {
		return true
	}
	if method == "GET" || method == "HEAD" || !asksLFS(parts) && !strings.Contains(p, "info/lfs") {
		return false
	}
	_, service, ok := ParseGitPath("", path)
	return !ok || service != GitLFSBatch || method != "POST"
}

// decoded is a path decoded to its end, in one case; known is false where there is no
// end after a few rounds, which nobody has a reason for.
func decoded(p string) (s string, known bool) {
	for range 4 {
		p = decodeOnce(p)
	}
	return strings.ToLower(strings.ToUpper(p)), decodeOnce(p) == p
}

// plainParts are the segments of a decoded path as the most lenient server reads them:
// without parameters (";a"), without what is dropped at their ends or anywhere in them,
// without the empty ones, and with a backslash for a slash.
func plainParts(p string) (parts []string) {
	for part := range strings.FieldsFuncSeq(p, func(r rune) bool { return r == '/' || r == '\\' }) {
		part, _, _ = strings.Cut(part, ";")
		part = strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' {
				return r
			}
			return -1
		}, part)
		if part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// asksLFS says whether the segments of a path lead to the interface of git-lfs, which is
// in a folder of its own at some forges. What stands between may be dropped by dot segments.
func asksLFS(parts []string) bool {
	info := slices.Index(parts, "info")
	if info >= 0 && slices.Contains(parts[info:], "lfs") {
		return true
	}
	folder := slices.IndexFunc(parts, func(s string) bool { return s == "lfs" || s == "git-lfs" || s == "gitlab-lfs" })
	return folder >= 0 && slices.ContainsFunc(parts[folder:], func(s string) bool { return s == "objects" || s == "locks" || s == "storage" })
}

// decodeOnce decodes the percent-encoding of a path; what is none stays.
func decodeOnce(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// gitFix is the entry of a policy's git that would allow the request r, empty when r is
// none of git's. Which references a push is for its path does not say.
func (r NetRequest) gitFix() string {
	repo, service, ok := ParseGitPath(r.Host, r.Path)
	if !ok {
		return ""
	}
	if service == GitPush {
		return r.PushFix(repo, "refs/heads/agent/*")
	}
	return "git: {fetch: [" + strconv.Quote(r.repoText(repo)) + "]}"
}

// PushFix is the entry of a policy's git.push that would allow pushes of ref to the
// repository at r's host and port.
func (r NetRequest) PushFix(repo, ref string) string {
	return "git: {push: [{repo: " + strconv.Quote(r.repoText(repo)) + ", refs: [" + strconv.Quote(ref) + "]}]}"
}

func (r NetRequest) repoText(repo string) string {
	if r.Port == 443 && r.Host != Localhost {
		return r.Host + repo
	}
	return r.Host + ":" + strconv.Itoa(int(r.Port)) + repo
}
