package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// serveGit serves the repositories below root by git's own program.
func (s *secureServer) serveGit(t *testing.T, root string) {
	t.Helper()
	h := testenv.ServeGit(t, root, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	s.answers = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pass, _ := r.BasicAuth(); pass != realKey {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// TestGitRules: git inside fetches and pushes what the policy's git allows, with a
// token that is nowhere inside; all else is refused in words that git prints.
func TestGitRules(t *testing.T) {
	testenv.Need(t, "git")
	w := newWorld(t)
	s := newSecureServer(t, w.home)
	root := filepath.Join(w.home, "served")
	for _, repo := range []string{"acme/widget.git", "evil/repo.git"} {
		w.host("git", "init", "-q", "--bare", "-b", "main", filepath.Join(root, repo))
		w.host("git", "-C", filepath.Join(root, repo), "config", "gc.auto", "0")
	}
	widget := filepath.Join(root, "acme/widget.git")
	w.host("git", "init", "-q", "-b", "main", filepath.Join(w.home, "first"))
	w.host("git", "-C", filepath.Join(w.home, "first"), "-c", "user.name=a", "-c", "user.email=a@b.test", "commit", "-q", "--allow-empty", "-m", "first")
	w.host("git", "-C", filepath.Join(w.home, "first"), "push", "-q", widget, "main", "main:agent/old")
	s.serveGit(t, root)
	w.env = append(w.env, "ACME_GIT="+realKey, "NODE_EXTRA_CA_CERTS="+s.ca)
	w.write("git.yaml", `version: 1
git:
  fetch: ["localhost:`+s.port+`/acme/*"]
  push: [{repo: "localhost:`+s.port+`/acme/widget", refs: ["refs/heads/agent/*"]}]
credentials: [{name: ACME_GIT, hosts: ["localhost:`+s.port+`"], header: basic, user: agent}]
`)
	r := w.trySh(`u=https://localhost:`+s.port+`
git clone -q $u/acme/widget.git /tmp/c && cd /tmp/c
git commit -q --allow-empty -m second
git push -q origin HEAD:refs/heads/agent/x && echo created
git commit -q --allow-empty -m third
git push -q origin HEAD:refs/heads/agent/x && echo forwarded
git push origin HEAD:main 2>&1
git push origin :agent/old 2>&1
git push --force origin HEAD~2:agent/x 2>&1
git ls-remote $u/evil/repo.git 2>&1
curl -sS $u/acme/widget
`, "--policy", "git.yaml")
	mustContain(t, "output", r.out, "created\nforwarded\n", "remote: belljar: localhost/acme/widget: refs/heads/main: the policy allows refs/heads/agent/*",
		"! [remote rejected] HEAD -> main", "references are not deleted", "not shown to be a fast-forward", "remote: why:", "not GET /evil/repo.git/info/refs", "not GET /acme/widget")
	mustLack(t, "output", r.out+r.errout, realKey)
	got := strings.Fields(w.host("git", "-C", widget, "for-each-ref", "--format=%(refname)=%(subject)"))
	if want := "refs/heads/agent/old=first refs/heads/agent/x=third refs/heads/main=first"; strings.Join(got, " ") != want {
		t.Errorf("the server has %q\n%s%s", got, r.out, r.errout)
	}
	log := w.belljar("log", "--kind", "refuse")
	mustContain(t, "the record", log.out, "refs/heads/main: the policy allows")
}

// TestSSHRemotes: a project whose remotes are by ssh is cloned, fetched and pushed by https,
// where the policy's git judges it; nothing of the project is changed for that.
func TestSSHRemotes(t *testing.T) {
	testenv.Need(t, "git")
	w := newWorld(t)
	s := newSecureServer(t, w.home)
	root := filepath.Join(w.home, "served")
	widget := filepath.Join(root, "acme/widget.git")
	w.host("git", "init", "-q", "--bare", "-b", "main", widget)
	w.host("git", "init", "-q", "-b", "main", filepath.Join(w.home, "first"))
	w.host("git", "-C", filepath.Join(w.home, "first"), "-c", "user.name=a", "-c", "user.email=a@b.test", "commit", "-q", "--allow-empty", "-m", "first")
	w.host("git", "-C", filepath.Join(w.home, "first"), "push", "-q", widget, "main")
	s.serveGit(t, root)
	w.env = append(w.env, "ACME_GIT="+realKey, "NODE_EXTRA_CA_CERTS="+s.ca, "HTTPS_PROXY="+companyProxy(t, s.port))
	w.write("git.yaml", `version: 1
git:
  push: [{repo: git.example.com/acme/widget, refs: ["refs/heads/agent/*"]}]
credentials: [{name: ACME_GIT, hosts: [git.example.com], header: basic, user: agent}]
`)
	r := w.trySh(`for u in git@git.example.com:acme/widget.git ssh://git@git.example.com/acme/widget ssh://git@git.example.com:22/acme/widget.git; do
git clone -q $u /tmp/c && cd /tmp/c && echo cloned && git config remote.origin.url
git commit -q --allow-empty -m next && git push -q origin HEAD:refs/heads/agent/x && git fetch -q && echo pushed
git push -q origin HEAD:main 2>&1
cd / && rm -rf /tmp/c
done
git ls-remote git@other.example.com:acme/widget.git 2>&1
git ls-remote other@git.example.com:acme/widget.git 2>&1
`, "--policy", "git.yaml", "--upstream-by-name")
	if strings.Count(r.out, "cloned\n") != 3 || strings.Count(r.out, "pushed\n") < 1 {
		t.Errorf("%s\n%s", r.out, r.errout)
	}
	mustContain(t, "output", r.out, "cloned\ngit@git.example.com:acme/widget.git\n", "refs/heads/main: the policy allows refs/heads/agent/*")
	mustLack(t, "output", r.out+r.errout, realKey)
	got := strings.Fields(w.host("git", "-C", widget, "for-each-ref", "--format=%(refname)=%(subject)"))
	if want := "refs/heads/agent/x=next refs/heads/main=first"; strings.Join(got, " ") != want {
		t.Errorf("the server has %q", got)
	}
}
