package cli

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestUpstreamProxy(t *testing.T) {
	for _, c := range []struct {
		env        map[string]string
		addr, auth string
		no         string
		fails      bool
	}{
		{},
		{env: map[string]string{"NO_PROXY": "x.example"}},
		{env: map[string]string{"HTTPS_PROXY": "http://proxy.corp.example:3128"}, addr: "proxy.corp.example:3128"},
		{env: map[string]string{"https_proxy": "proxy.corp.example", "HTTP_PROXY": "other:1"}, addr: "proxy.corp.example:80"},
		{env: map[string]string{"http_proxy": "proxy.corp.example:8", "NO_PROXY": "", "no_proxy": ".corp"}, addr: "proxy.corp.example:8", no: ".corp"},
		{env: map[string]string{"ALL_PROXY": "http://me:p%40ss@10.0.0.1:8080/", "NO_PROXY": "a,b"}, addr: "10.0.0.1:8080", auth: "me:p@ss", no: "a,b"},
		{env: map[string]string{"HTTPS_PROXY": "http://[fd00::1]:8080"}, addr: "[fd00::1]:8080"},
		{env: map[string]string{"HTTPS_PROXY": "socks5://me:hunter2@x.example:1"}, fails: true},
		{env: map[string]string{"HTTPS_PROXY": "http://:1"}, fails: true},
		{env: map[string]string{"HTTPS_PROXY": "http://me:hunter2@a b/"}, fails: true},
		{env: map[string]string{"HTTPS_PROXY": "http://a%0d%0aX:1/"}, fails: true},
	} {
		var n belljar.Network
		auth, err := upstreamProxy(&n, func(n string) (string, bool) { v, ok := c.env[n]; return v, ok })
		if n.Upstream != c.addr || auth != c.auth || n.NoProxy != c.no || (err != nil) != c.fails {
			t.Errorf("%v: %+v %q %v", c.env, n, auth, err)
		}
		if c.fails && (belljar.KindOf(err) != belljar.KindUsage || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%v: kind of %v", c.env, err)
		}
	}
}

func TestApproveKey(t *testing.T) {
	file := belljar.HomeFile{Path: ".claude.json", Content: `{"hasCompletedOnboarding":true}`}
	p := &belljar.Plan{Env: []string{"ANTHROPIC_API_KEY=sk-0123456789-the-last-twenty-chars"}, HomeFiles: []belljar.HomeFile{file}}
	before := p.HomeFiles
	answerForKey(p)
	want := `{"customApiKeyResponses":{"approved":["he-last-twenty-chars"],"rejected":[]},"hasCompletedOnboarding":true}`
	if p.HomeFiles[0].Content != want {
		t.Error(p.HomeFiles[0].Content)
	}
	if before[0].Content != file.Content {
		t.Error("the recorded plan has the key's end")
	}
}

func TestRedacted(t *testing.T) {
	p := &belljar.Plan{Env: []string{"PATH=/usr/bin", "LANG=C", "MY_TOKEN=s1", "GIVEN=s2", "CI=1", "GIT_CONFIG_KEY_0=core.x", "GIT_CONFIG_KEY_7=s3"}}
	got := redacted(p, []string{"GIVEN", "LANG"})
	want := []string{"PATH=/usr/bin", "LANG=C", "MY_TOKEN=[redacted]", "GIVEN=[redacted]", "CI=1", "GIT_CONFIG_KEY_0=core.x", "GIT_CONFIG_KEY_7=[redacted]"}
	for i := range want {
		if got.Env[i] != want[i] {
			t.Errorf("%q, want %q", got.Env[i], want[i])
		}
	}
	if p.Env[2] != "MY_TOKEN=s1" {
		t.Error("the plan itself was changed")
	}
}
