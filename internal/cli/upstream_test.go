package cli

import (
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestUpstreamProxy(t *testing.T) {
	for _, c := range []struct {
		env        map[string]string
		addr, auth string
		fails      bool
	}{
		{nil, "", "", false},
		{map[string]string{"HTTPS_PROXY": "http://proxy.corp.example:3128"}, "proxy.corp.example:3128", "", false},
		{map[string]string{"https_proxy": "proxy.corp.example"}, "proxy.corp.example:80", "", false},
		{map[string]string{"ALL_PROXY": "http://me:p%40ss@10.0.0.1:8080/"}, "10.0.0.1:8080", "me:p@ss", false},
		{map[string]string{"HTTPS_PROXY": "http://[fd00::1]:8080"}, "[fd00::1]:8080", "", false},
		{map[string]string{"HTTPS_PROXY": "socks5://x.example:1"}, "", "", true},
		{map[string]string{"HTTPS_PROXY": "http://:1"}, "", "", true},
		{map[string]string{"HTTPS_PROXY": "http://a b/"}, "", "", true},
	} {
		addr, auth, err := upstreamProxy(func(n string) (string, bool) { v, ok := c.env[n]; return v, ok })
		if addr != c.addr || auth != c.auth || (err != nil) != c.fails {
			t.Errorf("%v: %q %q %v", c.env, addr, auth, err)
		}
		if c.fails && belljar.KindOf(err) != belljar.KindUsage {
			t.Errorf("%v: kind of %v", c.env, err)
		}
	}
}

func TestApproveKey(t *testing.T) {
	file := belljar.HomeFile{Path: ".claude.json", Content: `{"hasCompletedOnboarding":true}`}
	p := &belljar.Plan{Env: []string{"ANTHROPIC_API_KEY=sk-0123456789-the-last-twenty-chars"}, HomeFiles: []belljar.HomeFile{file}}
	before := p.HomeFiles
	approveKey(p)
	want := `{"customApiKeyResponses":{"approved":["he-last-twenty-chars"],"rejected":[]},"hasCompletedOnboarding":true}`
	if p.HomeFiles[0].Content != want {
		t.Error(p.HomeFiles[0].Content)
	}
	if before[0].Content != file.Content {
		t.Error("the recorded plan has the key's end")
	}
}

func TestRedacted(t *testing.T) {
	p := &belljar.Plan{Env: []string{"PATH=/usr/bin", "LANG=C", "MY_TOKEN=s1", "GIVEN=s2", "CI=1"}}
	got := redacted(p, []string{"GIVEN", "LANG"})
	want := []string{"PATH=/usr/bin", "LANG=C", "MY_TOKEN=[redacted]", "GIVEN=[redacted]", "CI=1"}
	for i := range want {
		if got.Env[i] != want[i] {
			t.Errorf("%q, want %q", got.Env[i], want[i])
		}
	}
	if p.Env[2] != "MY_TOKEN=s1" {
		t.Error("the plan itself was changed")
	}
}
