package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential"
	"github.com/belljar-dev/belljar/internal/testenv"
)

func gitRule(host, repo string, push ...string) belljar.NetRule {
	r := rule(host, 443)
	r.Git = &belljar.GitRule{Repo: repo, Push: push}
	return r
}

// A gitWorld has a server of real git outside and real git inside.
type gitWorld struct {
	*secureWorld
	root, work string // the server's folder and the client's
	env        []string

	mu      sync.Mutex
	arrived []string // METHOD path
}

// newGitWorld serves acme/widget, acme/other and evil/repo at git.example.com.
func newGitWorld(t *testing.T, h2 bool, n belljar.Network, change ...func(*Options)) *gitWorld {
	t.Helper()
	testenv.Need(t, "git")
	w := &gitWorld{secureWorld: newSecureWorld(t, n, change...), root: t.TempDir(), work: t.TempDir()}
	pem := filepath.Join(t.TempDir(), "inside.pem")
	if err := os.WriteFile(pem, []byte(w.inside.PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = testenv.Environ("GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_SSL_CAINFO="+pem, "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b.test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b.test", "LC_ALL=C",
		"https_proxy=http://127.0.0.1:"+w.proxyDoor())
	handler := testenv.ServeGit(t, w.root, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	w.site("git.example.com", "93.184.216.40:443", h2, func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		_, pass, _ := r.BasicAuth()
		w.arrived = append(w.arrived, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+pass))
		w.mu.Unlock()
		handler.ServeHTTP(rw, r)
	})
	for _, repo := range []string{"acme/widget.git", "acme/other.git", "evil/repo.git"} {
		dir := filepath.Join(w.root, repo)
		w.git("", "init", "-q", "--bare", "-b", "main", dir)
		w.git("", "-C", dir, "config", "receive.advertisePushOptions", "true")
		w.git("", "-C", dir, "config", "receive.certNonceSeed", "x")
		w.git("", "-C", dir, "config", "gc.auto", "0")
	}
	w.git("", "init", "-q", "-b", "main", w.work)
	w.commit("first")
	w.git("", "-C", w.work, "push", "-q", filepath.Join(w.root, "acme/widget.git"), "main", "main:agent/old", "main:refs/tags/v1", "main:refs/tags/agent/v1")
	w.git("", "-C", w.work, "remote", "add", "origin", "https://git.example.com/acme/widget.git")
	return w
}

// proxyDoor is a port of the host's loopback that leads to the gateway's proxy.
func (w *gitWorld) proxyDoor() string {
	return w.doorTo(belljar.GatewayIPv4.String(), belljar.ProxyPort)
}

// try runs git in the client's folder and returns everything that it printed.
func (w *gitWorld) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(w.ctx, hangs)
	defer cancel()
	c := exec.CommandContext(ctx, "git", append([]string{"-C", w.work}, args...)...)
	c.Env, c.WaitDelay = w.env, hangs // its helpers have its output, too, and may end after it
	out, err := c.CombinedOutput()
	return string(out), err
}

func (w *gitWorld) git(in string, args ...string) string {
	w.t.Helper()
	c := exec.CommandContext(w.ctx, "git", args...)
	c.Env, c.Stdin = w.env, strings.NewReader(in)
	out, err := c.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *gitWorld) commit(message string) string {
	w.t.Helper()
	w.git("", "-C", w.work, "commit", "-q", "--allow-empty", "-m", message)
	return w.git("", "-C", w.work, "rev-parse", "HEAD")
}

// at is what a reference of the server's acme/widget is; empty for nothing.
func (w *gitWorld) at(ref string) string {
	out, _ := w.try("--git-dir", filepath.Join(w.root, "acme/widget.git"), "rev-parse", "-q", "--verify", ref)
	return strings.TrimSpace(out)
}

func widgetNetwork() belljar.Network {
	return belljar.Network{
		Rules:  []belljar.NetRule{gitRule("git.example.com", "/acme/*"), gitRule("git.example.com", "/acme/widget", "refs/heads/agent/*", "refs/tags/agent/*")},
		Pushes: []belljar.BoundHost{{Host: "git.example.com", Port: 443}},
	}
}

// TestGitFetches: clone and fetch by every version of the protocol, from the named
// repositories only.
func TestGitFetches(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		w := newGitWorld(t, h2, widgetNetwork())
		for _, v := range []string{"0", "1", "2"} {
			dir := filepath.Join(t.TempDir(), "clone")
			if out, err := w.try("-c", "protocol.version="+v, "clone", "-q", "https://git.example.com/acme/widget", dir); err != nil {
				t.Fatalf("version %s: %v\n%s", v, err, out)
			}
		}
		out, err := w.try("fetch", "-q", "--depth=1", "origin", "main")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		out, err = w.try("ls-remote", "https://git.example.com/evil/repo.git")
		if err == nil || !strings.Contains(out, "remote: ") || !strings.Contains(out, `git: {fetch: ["git.example.com/evil/repo"]}`) {
			t.Errorf("%v\n%s", err, out)
		}
		if e := w.rec.wait(t, belljar.EventRefuse, "not GET /evil/repo.git/info/refs"); e.Nearest == nil {
			t.Errorf("%+v", e)
		}
		w.rec.wait(t, belljar.EventRequest, "git.example.com")
	}
}

// TestGitPushes: what may be pushed arrives, all else is refused in words that git
// prints, and nothing of it is done.
func TestGitPushes(t *testing.T) {
	for i, h2 := range []bool{false, true} {
		testGitPushes(t, newGitWorld(t, h2, widgetNetwork()), i)
	}
}

func testGitPushes(t *testing.T, w *gitWorld, part int) {
	first := w.at("main")
	main2 := w.commit("second")
	ok := func(args ...string) {
		t.Helper()
		if out, err := w.try(append([]string{"push"}, args...)...); err != nil {
			t.Errorf("push %q: %v\n%s", args, err, out)
		}
	}
	ok("origin", "HEAD:refs/heads/agent/x")
	main3 := w.commit("third")
	ok("origin", "HEAD:refs/heads/agent/x")
	ok("https://git.example.com/acme/widget", "HEAD:refs/heads/agent/y", "HEAD:refs/tags/agent/v2")
	if w.at("agent/x") != main3 || w.at("agent/y") != main3 || w.at("refs/tags/agent/v2") != main3 {
		t.Errorf("agent/x %s, agent/y %s", w.at("agent/x"), w.at("agent/y"))
	}
	w.git("", "-C", w.work, "checkout", "-q", "-b", "side", first)
	side := w.commit("side")
	for i, c := range []struct {
		name, want string
		args       []string
	}{
		{"main", `to allow it: git: {push: [{repo: "git.example.com/acme/widget", refs: ["refs/heads/main"]}]}`, []string{"origin", main2 + ":refs/heads/main"}},
		{"case", "refs/heads/AGENT/x: the policy allows", []string{"origin", "HEAD:refs/heads/AGENT/x"}},
		{"tag", "refs/tags/v2: the policy allows", []string{"origin", "HEAD:refs/tags/v2"}},
		{"delete", "references are not deleted", []string{"origin", ":agent/old"}},
		{"one of two", "belljar refused the push", []string{"origin", "HEAD:refs/heads/agent/z", main2 + ":refs/heads/main"}},
		{"atomic", "the policy allows", []string{"--atomic", "origin", "HEAD:refs/heads/agent/z", main2 + ":refs/heads/main"}},
		{"force", "not shown to be a fast-forward", []string{"--force", "origin", side + ":agent/x"}},
		{"force with a creation", "not shown to be a fast-forward", []string{"--force", "origin", "HEAD:refs/heads/agent/z", side + ":agent/x"}},
		{"moved tag", "tags are not moved", []string{"--force", "origin", main2 + ":refs/tags/agent/v1"}},
		{"options", "push options are not allowed", []string{"-o", "merge_request.create", "origin", "HEAD:refs/heads/agent/z"}},
		{"another repository", "the policy allows no push to this repository", []string{"https://git.example.com/acme/other.git", "HEAD:refs/heads/agent/x"}},
		{"a repository of nobody", "does not allow|but not GET /evil/repo.git/info/refs", []string{"https://git.example.com/evil/repo.git", "HEAD:refs/heads/agent/x"}},
	} {
		if (i%4 == 0) != (part == 1) { // each with one kind of server
			continue
		}
		out, err := w.try(append([]string{"push"}, c.args...)...)
		said := false
		for _, want := range strings.Split(c.want, "|") {
			said = said || strings.Contains(out, want)
		}
		if err == nil || !said || !strings.Contains(out, "remote: ") || !strings.Contains(out, "belljar") {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
	if w.at("main") != first || w.at("agent/x") != main3 || w.at("agent/z") != "" || w.at("agent/old") != first || w.at("refs/tags/agent/v1") != first {
		t.Errorf("it was done: main %s, agent/x %s", w.at("main"), w.at("agent/x"))
	}
	if part == 1 {
		w.signedPush()
	}
	w.rec.wait(t, belljar.EventRefuse, "git.example.com/acme/widget: refs/")
}

// signedPush tries a push certificate.
func (w *gitWorld) signedPush() {
	w.t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		return
	}
	key := filepath.Join(w.t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		w.t.Fatalf("%v %s", err, out)
	}
	out, err := w.try("-c", "gpg.format=ssh", "-c", "user.signingkey="+key, "push", "--signed", "origin", "HEAD:refs/heads/agent/signed")
	if err == nil || !strings.Contains(out, "remote: belljar: git.example.com/acme/widget: signed pushes (push-cert) are not allowed") || w.at("agent/signed") != "" {
		w.t.Errorf("signed: %v\n%s", err, out)
	}
}

// TestGitLargePush: a pack that is larger than git's buffer is streamed, and a refused
// one is answered.
func TestGitLargePush(t *testing.T) {
	w := newGitWorld(t, true, widgetNetwork())
	big := make([]byte, 6<<20)
	_, _ = rand.Read(big)
	if err := os.WriteFile(filepath.Join(w.work, "big"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	w.git("", "-C", w.work, "add", "big")
	head := w.commit("big")
	if out, err := w.try("push", "origin", "HEAD:main"); err == nil || !strings.Contains(out, "the policy allows refs/heads/agent/*") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, args := range [][]string{{"HEAD:agent/old"}, {"HEAD:refs/heads/agent/new"}} {
		if out, err := w.try(append([]string{"push", "origin"}, args...)...); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	w.git("", "-C", w.work, "checkout", "-q", "-b", "side", w.at("main"))
	_, _ = rand.Read(big)
	if err := os.WriteFile(filepath.Join(w.work, "other"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	w.git("", "-C", w.work, "add", "other")
	w.commit("other")
	for _, version := range []string{"HTTP/2", "HTTP/1.1"} {
		out, err := w.try("-c", "http.version="+version, "push", "--force", "origin", "HEAD:agent/old")
		if err == nil || !strings.Contains(out, "remote: belljar: git.example.com/acme/widget: refs/heads/agent/old: not shown to be a fast-forward") {
			t.Errorf("%s: %v\n%s", version, err, out)
		}
	}
	if w.at("agent/old") != head || w.at("agent/new") != head || w.at("main") == head {
		t.Error("not as it should be")
	}
	w.rec.wait(t, belljar.EventRefuse, "not shown to be a fast-forward")
	w.allGivenBack()
}

// allGivenBack waits until no request holds memory.
func (w *gitWorld) allGivenBack() {
	w.t.Helper()
	for w.ctx.Err() == nil && w.g.git.Left() != gitMemory {
		runtime.Gosched()
	}
	if left := w.g.git.Left(); left != gitMemory {
		w.t.Errorf("%d bytes are not given back", gitMemory-left)
	}
}

// TestGitCredential: the server gets the token, git has a stand-in or nothing.
func TestGitCredential(t *testing.T) {
	creds, keys, err := credential.Make(t.Context(), []belljar.Credential{{
		Name: "GIT_TOKEN", From: belljar.CredentialSource{Env: "GIT_TOKEN"}, Form: belljar.FormBasic, Header: "Authorization", User: "agent",
		Hosts: []belljar.BoundHost{{Host: "git.example.com", Port: 443}},
	}}, credential.Host{Env: []string{"GIT_TOKEN=" + realKey}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	n := widgetNetwork()
	n.Credentials = creds
	w := newGitWorld(t, false, n, func(o *Options) { o.Keys = keys })
	w.commit("second")
	for _, url := range []string{"https://git.example.com/acme/widget.git", "https://agent:" + creds[0].StandIn + "@git.example.com/acme/widget.git"} {
		if out, err := w.try("push", url, "HEAD:refs/heads/agent/x"); err != nil || strings.Contains(out, realKey) {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if out, err := w.try("-c", "http.extraHeader=Authorization: Basic YTpi", "push", "origin", "HEAD:refs/heads/agent/y"); err == nil || !strings.Contains(out, "remote: why:    git.example.com: the header Authorization carries a credential that is not yours") {
		t.Errorf("a foreign token: %v %s", err, out)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.arrived {
		if !strings.HasSuffix(a, " "+realKey) {
			t.Errorf("arrived without the token: %s", a)
		}
	}
}

// TestGitAttacks: requests that no git sends.
func TestGitAttacks(t *testing.T) {
	n := widgetNetwork()
	open := rule("open.example.com", 443)
	n.Rules = append(n.Rules, open)
	n.Pushes = append(n.Pushes, belljar.BoundHost{Host: "open.example.com", Port: 443})
	w := newGitWorld(t, false, n)
	w.site("open.example.com", "93.184.216.41:443", false, func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.arrived = append(w.arrived, r.Method+" "+r.URL.RequestURI())
		w.mu.Unlock()
	})
	old := w.at("main")
	zero := strings.Repeat("0", 40)
	pkt := func(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }
	create := pkt(zero+" "+old+" refs/heads/agent/raw\x00report-status") + "0000"
	bad := pkt(zero+" "+old+" refs/heads/evil\x00report-status") + "0000"
	zip := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.String()
	}
	empty := "PACK\x00\x00\x00\x02\x00\x00\x00\x00\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e"
	push := func(path, body string, fields ...string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: git.example.com\r\nContent-Type: application/x-git-receive-pack-request\r\nConnection: close\r\n" +
			strings.Join(append(fields, ""), "\r\n") + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	get := func(path string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: git.example.com\r\nConnection: close\r\n\r\n"
	}
	fetch := func(body string, fields ...string) string {
		return strings.Replace(push("/acme/widget.git/git-upload-pack", body, fields...), "git-receive-pack-request", "git-upload-pack-request", 1)
	}
	at := "/acme/widget.git/git-receive-pack"
	bomb := zip(strings.Repeat("\x00", 64<<20))
	for _, c := range []struct{ name, request, want string }{
		{"dumb refs", get("/acme/widget.git/info/refs"), "403"},
		{"dumb HEAD", get("/acme/widget.git/HEAD"), "403"},
		{"dumb packs", get("/acme/widget.git/objects/info/packs"), "403"},
		{"alternates", get("/acme/widget.git/objects/info/alternates"), "403"},
		{"http-alternates", get("/acme/widget.git/objects/info/http-alternates"), "403"},
		{"service twice", get("/acme/widget.git/info/refs?service=git-upload-pack&service=git-receive-pack"), "403"},
		{"another service", get("/acme/widget.git/info/refs?service=git-upload-archive"), "403"},
		{"service encoded, no push rule", get("/acme/other.git/info/refs?service=git%2dreceive%2dpack"), "403"},
		{"nested", get("/acme/widget.git/evil.git/info/refs?service=git-upload-pack"), "403"},
		{"nested through objects", get("/acme/widget.git/../../evil/repo.git/info/refs?service=git-upload-pack"), "403"},
		{"encoded dots", get("/acme/%2e%2e/evil/repo.git/info/refs?service=git-upload-pack"), "403"},
		{"encoded slash", get("/acme%2fwidget.git/info/refs?service=git-upload-pack"), "403"},
		{"encoded slash within", get("/acme/widget.git%2f..%2f..%2fevil%2frepo.git/info/refs?service=git-upload-pack"), "403"},
		{"empty segment", get("//acme/widget.git/info/refs?service=git-upload-pack"), "403"},
		{"empty segment within", get("/acme//widget.git/info/refs?service=git-upload-pack"), "403"},
		{"parameters of a segment", push("/acme/widget;x/git-receive-pack", create), "403"},
		{"case", get("/ACME/widget.git/info/refs?service=git-upload-pack"), "403"},
		{"upload-pack archive", push("/acme/widget.git/git-upload-archive", create), "403"},
		{"push as fetch", push("/acme/widget.git/git-upload-pack", bad), "403"},
		{"push as fetch with its type", fetch(bad), "ERR belljar"},
		{"unknown command", fetch(pkt("command=push")+"0000", "Git-Protocol: version=2"), "ERR belljar"},
		{"unknown version", fetch(pkt("command=fetch")+"0000", "Git-Protocol: version=3"), "403"},
		{"two versions", fetch(pkt("command=fetch")+"0000", "Git-Protocol: version=2:version=1"), "403"},
		{"type", strings.Replace(push(at, create+empty), "receive-pack-request", "upload-pack-request", 1), "403"},
		{"query", push(at+"?x", create+empty), "403"},
		{"deflate", push(at, create+empty, "Content-Encoding: deflate"), "403"},
		{"two encodings", push(at, zip(create+empty), "Content-Encoding: gzip, gzip"), "403"},
		{"bomb", push(at, bomb, "Content-Encoding: gzip"), "403"},
		{"bomb with commands", push(at, zip(create+strings.Repeat("x", 17<<20)), "Content-Encoding: gzip"), ""},
		{"gzip of a bad one", push(at, zip(bad), "Content-Encoding: gzip"), "ng refs/heads/evil belljar: the policy allows"},
		{"not gzip", push(at, bad, "Content-Encoding: gzip"), "403"},
		{"bad length", push(at, "0001"+create), "403"},
		{"cut off", push(at, create[:50]), "403"},
		{"second list", push(at, "0000"+bad), "403"},
		{"HEAD", strings.Replace(push(at, create), "POST", "HEAD", 1), "403"},
		{"override", push(at, create, "X-Original-URL: /evil/repo.git/git-receive-pack"), "403"},
		{"upload of large files", strings.Replace(push("/acme/widget.git/info/lfs/objects/batch", `{"operation":"upload"}`), "application/x-git-receive-pack-request", "application/vnd.git-lfs+json", 1), "git-lfs"},
		{"locks", push("/acme/widget.git/info/lfs/locks", "{}"), "403"},
	} {
		w.mu.Lock()
		w.arrived = nil
		w.mu.Unlock()
		got := w.say("git.example.com", c.request)
		w.mu.Lock()
		if !strings.Contains(got, c.want) || c.want != "" && len(w.arrived) > 0 {
			t.Errorf("%s: arrived %q, answer %.400q", c.name, w.arrived, got)
		}
		w.mu.Unlock()
	}
	var uploads []string
	for _, path := range []string{
		"/info//lfs/objects/batch", "/info;a/lfs/objects/batch", "/info/lfs;a/objects/batch", "/info/lfs/objects/batch/", "/info/lfs/objects//batch", "/info/lfs/objects/batch;a",
		"/info%2flfs/objects/batch", "/info%3ba/lfs/objects/batch", "/info;a%2fb/lfs/objects/batch", "/info%252flfs/objects/batch", "/info/%2e/lfs/objects/batch",
		"/info/a/%252e%252e/lfs/objects/batch", "/info%5clfs/objects/batch", "/INFO/lfs/objects/batch", "/info./lfs/objects/batch", ";a/info/lfs/objects/batch",
	} {
		uploads = append(uploads, push("/acme/x.git"+path, `{"operation":"upload"}`))
	}
	for _, request := range append(uploads,
		push("/acme/x.git/git-receive-pack", create), push("/acme/x.git/git-receive-pack/", create), push("/acme/x.git/GIT-receive-pack", create),
		push("/acme/x.git/git%2dreceive-pack", create), push("/acme%2fx.git%2fgit-receive-pack", create), push("//acme/x.git/info/lfs/objects/batch", `{"operation":"upload"}`),
		push("/acme/x.git/info/lfs/objects/batch", `{"operation":"upload"}`), get("/acme/x.git/info/refs?service=git-receive-pack"),
		push("/", create, "X-Original-URL: /acme/x.git/git-receive-pack"),
		strings.Replace(push("/acme/x.git/info/lfs/objects/0/1", "x"), "POST", "PUT", 1),
	) {
		w.mu.Lock()
		w.arrived = nil
		w.mu.Unlock()
		got := w.say("open.example.com", strings.Replace(request, "git.example.com", "open.example.com", 1))
		w.mu.Lock()
		if !strings.Contains(got, "HTTP/1.1 403") || len(w.arrived) > 0 {
			t.Errorf("%.80q: arrived %q, answer %.400q", request, w.arrived, got)
		}
		w.mu.Unlock()
	}
	for _, r := range []string{"refs/heads/evil", "refs/heads/agent/raw"} {
		if w.at(r) != "" {
			t.Errorf("%s was made", r)
		}
	}
	// What is well-formed works raw as well: compressed, in chunks, over one connection.
	chunked := strings.Replace(push(at, ""), "Content-Length: 0\r\n\r\n", fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", len(create), create, len(empty), empty), 1)
	if got := w.say("git.example.com", strings.Replace(chunked, "Connection: close", "Connection: keep-alive", 1)+push(at, bad)); !strings.Contains(got, "ok refs/heads/agent/raw") || !strings.Contains(got, "ng refs/heads/evil") {
		t.Errorf("%q", got)
	}
	again := strings.ReplaceAll(create, "agent/raw", "agent/zip")
	if got := w.say("git.example.com", push(at, zip(again+empty), "Content-Encoding: gzip")); !strings.Contains(got, "ok refs/heads/agent/zip") {
		t.Errorf("%q", got)
	}
	again = strings.ReplaceAll(create, "agent/raw", "agent/way")
	if got := w.say("git.example.com", push(at, again+empty, "Expect: 100-continue")); !strings.HasPrefix(got, "HTTP/1.1 100 Continue") || !strings.Contains(got, "ok refs/heads/agent/way") {
		t.Errorf("%q", got)
	}
	batch := strings.Replace(push("/acme/x.git/info/lfs/objects/batch", `{"operation":"download"}`), "git.example.com", "open.example.com", 1)
	if got := w.say("open.example.com", batch); !strings.Contains(got, "HTTP/1.1 200") {
		t.Errorf("%q", got)
	}
	w.allGivenBack()
	if got := w.say("open.example.com", strings.Replace(get("/anything"), "git.example.com", "open.example.com", 1)); !strings.Contains(got, "HTTP/1.1 200") {
		t.Errorf("%q", got)
	}
}
