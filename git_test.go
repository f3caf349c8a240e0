package belljar

import "testing"

func TestParseGitPath(t *testing.T) {
	oid := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, c := range []struct {
		path, repo string
		service    GitService
	}{
		{"/acme/widget.git/info/refs", "/acme/widget", GitRefs},
		{"/acme/widget/info/refs", "/acme/widget", GitRefs},
		{"/acme/widget.git/git-upload-pack", "/acme/widget", GitFetch},
		{"/acme/widget/git-receive-pack", "/acme/widget", GitPush},
		{"/acme/widget.git/info/lfs/objects/batch", "/acme/widget", GitLFSBatch},
		{"/acme/widget.git/info/lfs/objects/" + oid, "/acme/widget", GitLFSObject},
		{"/Acme/Widget.git/info/refs", "/Acme/Widget", GitRefs},
		{"/acme/widget.git.git/info/refs", "/acme/widget.git", GitRefs},
		{"/acme/widget.git/x/info/refs", "/acme/widget.git/x", GitRefs},
		{"/info/refs", "", ""},
		{"/.git/info/refs", "", ""},
		{"//acme/widget/info/refs", "", ""},
		{"/acme//widget/info/refs", "", ""},
		{"/acme/widget//info/refs", "", ""},
		{"/acme/widget/HEAD", "", ""},
		{"/acme/widget/objects/info/packs", "", ""},
		{"/acme/widget/objects/info/alternates", "", ""},
		{"/acme/widget/git-receive-pack/", "", ""},
		{"/acme/widget/Git-Receive-Pack", "", ""},
		{"/acme/widget/info/refs;x", "", ""},
		{"/acme/widget;x/git-receive-pack", "", ""},
		{"/acme/widget%3Bx/git-receive-pack", "", ""},
		{"/acme/widget.git/info/lfs/objects/batch%3F/git-upload-pack", "", ""},
		{"/acme/my%20widget.git/info/lfs/objects/batch", "/acme/my%20widget", GitLFSBatch},
		{"/acme/widget.git/info/lfs/locks", "", ""},
		{"/acme/widget.git/info/lfs/objects/" + oid + "/1", "", ""},
		{"*", "", ""},
	} {
		repo, service, ok := ParseGitPath("git.example.com", c.path)
		if repo != c.repo || service != c.service || ok != (c.repo != "") {
			t.Errorf("%s: %q %q %v", c.path, repo, service, ok)
		}
	}
	if repo, _, _ := ParseGitPath("github.com", "/Acme/Widget.git/info/refs"); repo != "/acme/widget" {
		t.Errorf("github.com does not tell case apart: %q", repo)
	}
}

func TestDecideGit(t *testing.T) {
	git := func(host, repo string, push ...string) NetRule {
		return NetRule{Host: host, Ports: []uint16{443}, Git: &GitRule{Repo: repo, Push: push}}
	}
	n := &Network{
		Rules: []NetRule{
			git("git.example.com", "/acme/*"), git("git.example.com", "/acme/widget", "refs/heads/agent/*"),
			{Host: "open.example.com", Ports: []uint16{443, 80, 22}}, git("open.example.com", "/acme/widget", "refs/heads/agent/*"),
		},
		Pushes: []BoundHost{{Host: "open.example.com", Port: 443}},
	}
	for _, c := range []struct {
		host, method, path string
		allow              bool
	}{
		{"git.example.com", "", "", true},
		{"git.example.com", "GET", "/acme/other.git/info/refs", true},
		{"git.example.com", "HEAD", "/acme/other.git/info/refs", false},
		{"git.example.com", "POST", "/acme/other.git/info/refs", false},
		{"git.example.com", "POST", "/acme/other/git-upload-pack", true},
		{"git.example.com", "POST", "/acme/other/git-receive-pack", false},
		{"git.example.com", "POST", "/acme/widget/git-receive-pack", true},
		{"git.example.com", "POST", "/acme/x/widget/git-receive-pack", false},
		{"git.example.com", "POST", "/ACME/widget/git-receive-pack", false},
		{"git.example.com", "GET", "/acme/widget/git-receive-pack", false},
		{"git.example.com", "GET", "/acme/widget", false},
		{"git.example.com", "GET", "/acme/widget/objects/info/packs", false},
		{"git.example.com", "GET", "/evil/widget/info/refs", false},
		{"open.example.com", "GET", "/anything", true},
		{"open.example.com", "POST", "/else/where.git/git-upload-pack", true},
		{"open.example.com", "POST", "/acme/widget/git-receive-pack", true},
		{"open.example.com", "POST", "/else/where.git/git-receive-pack", false},
		{"open.example.com", "POST", "/else/where.git/Git-Receive-Pack/", false},
		{"open.example.com", "POST", "/else/where.git/git%252Dreceive-pack;x", false},
		{"open.example.com", "PUT", "/else/where.git/info/lfs/objects/1", false},
	} {
		d := n.Decide(NetRequest{Host: c.host, Port: 443, Method: c.method, Path: c.path})
		if d.Allow != c.allow {
			t.Errorf("%s %s%s: allowed %v", c.method, c.host, c.path, d.Allow)
		}
		if !d.Allow && (d.Reason == "" || d.Nearest == nil) {
			t.Errorf("%s %s%s: not explained: %+v", c.method, c.host, c.path, d)
		}
	}
	for port, want := range map[uint16]bool{443: true, 80: true, 22: false} {
		if got := n.Sees("open.example.com", port); got != want {
			t.Errorf("open.example.com port %d is seen: %v", port, got)
		}
	}
	d := n.Decide(NetRequest{Host: "git.example.com", Port: 443, Method: "POST", Path: "/acme/other/git-receive-pack"})
	if want := `git: {push: [{repo: "git.example.com/acme/other", refs: ["refs/heads/agent/*"]}]}`; d.Fix != want {
		t.Errorf("fix %q, want %q", d.Fix, want)
	}
}

func TestLooksLikePush(t *testing.T) {
	for _, path := range []string{
		"/a/x/git-receive-pack", "/a/x/GIT-Receive-Pack", "/a/x/git-receive-pack/", "/a/x/git%252Dreceive-pack;x", "/a/x/git-receive-pac%E2%84%AA",
		"/a/x/git-%01receive-pack", "/a/x%2Fgit-receive-pack", "/a/%2525252525252541",
		"/a/x.git/info//lfs/objects/batch", "/a/x.git/info;a/lfs/objects/batch", "/a/x.git/info/lfs;a/objects/batch", "/a/x.git/info%3Ba/lfs/objects/batch",
		"/a/x.git/info%253Ba/lfs/objects/batch", "/a/x.git/info;a%2Fb/lfs/objects/batch", "/a/x.git/info%2Flfs/objects/batch", "/a/x.git/info%252Flfs/objects/batch",
		"/a/x.git/info%5Clfs%5Cobjects/batch", "/a/x.git/info/./lfs/objects/batch", "/a/x.git/info/y/%252e%252e/lfs/objects/batch", "/a/x.git/info./lfs%20/objects/batch",
		"/a/x.git/INFO/Lfs/objects/batch", "/a/x.git/%2569nfo/l%C5%BFf%C5%BF/lf%C5%BF/objects/batch", "/a/x.git/info/lfs/objects/batch/", "/a/x.git/info/lfs/objects/batch;a",
		"/a/x.git/info/lfs/objects//batch", "/a/x.git/info/lfs/%6Fbjects/batch", "/a;b/x.git/info/lfs/objects/batch", "//a/x.git/info/lfs/objects/batch", "/a//x.git/info/lfs/objects/batch",
		"/a/x.git/info/lfs/locks", "/a/x.git/info/lfs/objects/0/1", "/a/x.git/gitlab-lfs/objects/0/1", "/rest/git-lfs/storage/a/x/0", "/a/x.git/info/lfs/objects/batch.json",
	} {
		if !LooksLikePush("POST", path) {
			t.Errorf("POST %s is taken for none", path)
		}
	}
	for _, path := range []string{
		"/", "*", "/a/x.git/git-upload-pack", "/a/x.git/info/lfs/objects/batch", "/git-lfs/git-lfs.git/git-upload-pack", "/git-lfs/git-lfs/issues",
		"/a/golfshop/issues", "/api/v4/projects/a%2Fx/issues", "/a/100%25/info", "/a;b/c", "/lfs/about",
	} {
		if LooksLikePush("POST", path) {
			t.Errorf("POST %s is taken for a push", path)
		}
	}
	if LooksLikePush("GET", "/a/x.git/info/lfs/objects/0") || LooksLikePush("GET", "/a/x.git/info//refs") || !LooksLikePush("PUT", "/a/x.git/info/lfs/objects/batch") {
		t.Error("it goes by the method")
	}
}
