package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestGitFaults(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`fetch: ["https://github.com/acme/widget.git"]`, "write github.com/acme/widget"},
		{`fetch: ["git@github.com:acme/widget.git"]`, "write github.com/acme/widget"},
		{`fetch: ["ssh://git@github.com:22/acme/widget"]`, "write github.com/acme/widget"},
		{`fetch: ["https://git.acme.dev:8443/w"]`, "write git.acme.dev:8443/w"},
		{`fetch: [github.com/acme/widget.git]`, "write github.com/acme/widget"},
		{`fetch: [github.com]`, "write github.com/** for all"},
		{`fetch: [github.com/]`, "names no repository"},
		{`fetch: [github.com/acme/]`, "ends with a slash"},
		{`fetch: [github.com//acme]`, "an empty part"},
		{`fetch: [github.com/acme/../x]`, "no canonical path has"},
		{`fetch: ["*.acme.dev/w"]`, "names its host"},
		{`fetch: [10.0.0.1/w]`, "names its host"},
		{`fetch: [localhost/w]`, "localhost:PORT"},
		{`fetch: [{repo: github.com/a/b, refs: []}]`, "unknown key"},
		{`fetch: [{private: true}]`, "needs repo"},
		{`fetch: {}`, "a list of repositories"},
		{`push: [github.com/acme/widget]`, "write {repo: github.com/acme/widget, refs:"},
		{`push: [{repo: github.com/a/b}]`, "a push needs refs"},
		{`push: [{refs: [refs/heads/x]}]`, "needs repo"},
		{`push: [{repo: github.com/a/b, refs: [main]}]`, "write refs/heads/main"},
		{`push: [{repo: github.com/a/b, refs: [HEAD]}]`, "does not begin with refs/"},
		{`push: [{repo: github.com/a/b, refs: ["**"]}]`, "does not begin with refs/"},
		{`push: [{repo: github.com/a/b, refs: ["refs/heads/a b"]}]`, "no pattern of references"},
		{`push: [{repo: github.com/a/b, refs: ["refs/heads/../x"]}]`, "no pattern of references"},
		{`pull: []`, "unknown key"},
	} {
		_, faults := parse("version: 1\ngit: {"+c.text+"}\n", layerUser)
		if !strings.Contains(faults.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, faults, c.want)
		}
	}
}

// gitAllowed decides about a request of git's.
func gitAllowed(p *Policy, host, method, path string) bool {

	n := p.Network()
	return n.Decide(belljar.NetRequest{Host: host, Port: 443, Method: method, Path: path}).Allow
}

func TestGitRules(t *testing.T) {
	b := newBench(t).user(`version: 1
network: {allow: [open.test]}
git:
  fetch: [git.test/acme/*, {repo: in.test/w, private: true}, GitHub.com/Acme/W]
  push:
    - {repo: git.test/acme/w, refs: ["refs/heads/agent/*", "refs/heads/agent/*"]}
    - {repo: "open.test/**", refs: []}
`)
	p := b.must()
	for _, c := range []struct {
		host, method, path string
		want               bool
	}{
		{"git.test", "POST", "/acme/w/git-receive-pack", true},
		{"git.test", "POST", "/acme/v/git-receive-pack", false},
		{"git.test", "POST", "/acme/v/git-upload-pack", true},
		{"git.test", "GET", "/acme/v", false},
		{"github.com", "GET", "/ACME/w.git/info/refs", true},
		{"open.test", "GET", "/x", true},
		{"open.test", "POST", "/x/git-receive-pack", false},
	} {
		if got := gitAllowed(p, c.host, c.method, c.path); got != c.want {
			t.Errorf("%s %s%s: %v", c.method, c.host, c.path, got)
		}
	}
	n := p.Network()
	if !n.Rules[0].Private || n.Rules[0].Host != "in.test" || len(n.Pushes) != 2 {
		t.Errorf("%+v", n)
	}
}

// TestGitOfAProject: a project takes pushes away and gives none, not even by taking the
// rules away that confine them.
func TestGitOfAProject(t *testing.T) {
	const user = "version: 1\nnetwork: {allow: [open.test]}\ngit: {fetch: [git.test/a/*], push: [{repo: git.test/a/b, refs: [\"refs/heads/x/*\"]}, {repo: open.test/a/b, refs: [\"refs/heads/x/*\"]}]}\n"
	for _, c := range []struct{ user, project, want string }{
		{user, `fetch: [git.test/a/b]`, ""},
		{user, `fetch: [open.test/any/thing]`, ""},
		{user, `fetch: [git.test/b/b]`, "allows \"git.test/b/b\""},
		{user, `push: [{repo: git.test/a/b, refs: ["refs/heads/x/y"]}]`, ""},
		{user, `push: [{repo: git.test/a/b, refs: ["refs/heads/*"]}]`, "allows {repo"},
		{user, `push: [{repo: git.test/a/c, refs: ["refs/heads/x/y"]}]`, "allows {repo"},
		{user, `push: [{repo: open.test/a/c, refs: ["refs/heads/x/y"]}]`, "allows {repo"},
		{user, `push: [{repo: "git.test/**", refs: []}]`, ""},
	} {
		b := newBench(t).user(c.user).project("version: 1\ngit: {" + c.project + "}\n")
		_, err := Load(b.opts)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.project, err, c.want)
		}
	}
	b := newBench(t).user(user).project("version: 1\ngit: {push: []}\n")
	p := b.must()
	for _, path := range []string{"/a/b/git-receive-pack", "/x/git-receive-pack"} {
		if gitAllowed(p, "open.test", "POST", path) {
			t.Errorf("a project that takes git.push away allows a push to %s", path)
		}
	}
	b = newBench(t).user("version: 1\nnetwork: {allow: [open.test]}\n").project("version: 1\ngit: {push: [{repo: open.test/a/b, refs: [refs/heads/x]}]}\n")
	p = b.must()
	if gitAllowed(p, "open.test", "POST", "/x/git-receive-pack") || !gitAllowed(p, "open.test", "POST", "/a/b/git-receive-pack") || !gitAllowed(p, "open.test", "POST", "/x/git-upload-pack") {
		t.Error("a project cannot confine pushes to a host that is allowed")
	}
	b = newBench(t).project("version: 1\ngit: {push: [{repo: a.test/b, refs: [refs/heads/x]}]}\n")
	b.opts.Trusted = func(string) bool { return true }
	given, err := GivenAway(b.opts, b.must().ProjectHash())
	if err != nil || strings.Join(given, "\n") != "lets the sandbox push to a.test/b: refs/heads/x" {
		t.Errorf("%q, %v", given, err)
	}
}

func TestGitUnderACeiling(t *testing.T) {
	const user = "version: 1\ngit: {fetch: [git.test/a/b], push: [{repo: git.test/a/b, refs: [refs/heads/x]}]}\n"
	for _, c := range []struct{ ceiling, want string }{
		{`network: {allow: [git.test]}`, ""},
		{`network: {allow: [other.test]}`, "organisation's ceiling"},
		{`network: {allow: []}`, "organisation's ceiling"},
		{`git: {push: [{repo: git.test/a/*, refs: [refs/heads/*]}]}`, ""},
		{`git: {push: [{repo: git.test/a/*, refs: [refs/heads/y]}]}`, "git.push: allows"},
		{`git: {push: []}`, "git.push: allows"},
		{`git: {fetch: [git.test/a/*]}`, ""},
		{`git: {fetch: [git.test/b]}`, "git.fetch: allows"},
	} {
		b := newBench(t).user(user).ceiling("version: 1\n" + c.ceiling + "\n")
		_, err := b.load()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.ceiling, err, c.want)
		}
	}
	b := newBench(t).user("version: 1\nextends: [git]\n").ceiling("version: 1\ngit: {push: [{repo: github.com/acme/*, refs: [\"refs/heads/**\"]}]}\n")
	p := b.must()
	if gitAllowed(p, "github.com", "POST", "/acme/w/git-receive-pack") || !gitAllowed(p, "github.com", "POST", "/x/y/git-upload-pack") || !gitAllowed(p, "gitlab.com", "POST", "/x/y/git-receive-pack") {
		t.Error("a ceiling's git.push confines pushes to its hosts, and gives none")
	}
}

func TestGitDiff(t *testing.T) {
	load := func(text string) *Policy { return newBench(t).user("version: 1\n" + text).must() }
	open := "network: {allow: [git.test]}\n"
	for _, c := range []struct{ old, new, want string }{
		{"", "git: {fetch: [git.test/a]}", `+ git.fetch: "git.test/a"`},
		{"git: {fetch: [git.test/*]}", "git: {fetch: [git.test/*, git.test/a]}", ""},
		{"git: {push: [{repo: git.test/a, refs: [refs/heads/x]}]}", "", `- git.push: {repo: "git.test/a", refs: ["refs/heads/x"]}`},
		{open, open + "git: {push: [{repo: git.test/a, refs: [refs/heads/x]}]}", "- git.push: any other push to git.test"},
		{open + "git: {push: [{repo: git.test/a, refs: []}]}", open, "+ git.push: any other push to git.test"},
	} {
		var l []string
		for _, d := range Diff(load(c.old), load(c.new)) {
			l = append(l, d.String())
		}
		if got := strings.Join(l, "\n"); got != c.want {
			t.Errorf("%s -> %s: %q, want %q", c.old, c.new, got, c.want)
		}
	}
}

// TestPushesOfAProject: of a host where the user allows any push a project leaves what all
// its entries say, in any order, and of no other host.
func TestPushesOfAProject(t *testing.T) {
	const b, c, none = `{repo: open.test/a/b, refs: ["refs/heads/x"]}`, `{repo: open.test/a/c, refs: ["refs/heads/y"]}`, `{repo: "open.test/**", refs: []}`
	for _, entries := range []string{b + ", " + c, c + ", " + b, none + ", " + b + ", " + c, b + ", " + c + ", " + b, b + ", " + none + ", " + c} {
		p := newBench(t).user("version: 1\nnetwork: {allow: [open.test, other.test]}\n").project("version: 1\ngit: {push: [" + entries + "]}\n").must()
		for path, want := range map[string]bool{"/a/b": true, "/a/c": true, "/a/d": false} {
			if got := gitAllowed(p, "open.test", "POST", path+".git/git-receive-pack"); got != want {
				t.Errorf("%s: %s %v", entries, path, got)
			}
			if !gitAllowed(p, "other.test", "POST", path+".git/git-receive-pack") {
				t.Errorf("%s: other.test%s", entries, path)
			}
		}
		var refs []string
		for _, i := range p.state.push {
			refs = append(refs, i.value.Git.Push...)
		}
		slices.Sort(refs)
		if !slices.Equal(refs, []string{"refs/heads/x", "refs/heads/y"}) {
			t.Errorf("%s: %v", entries, refs)
		}
	}
	newBench(t).user("version: 1\nnetwork: {allow: [open.test]}\ngit: {push: ["+b+"]}\n").project("version: 1\ngit: {push: ["+b+", "+c+"]}\n").refused(belljar.KindRefused, "open.test/a/c")
}
