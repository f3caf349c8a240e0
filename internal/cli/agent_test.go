package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestKeyHint(t *testing.T) {
	home := t.TempDir()
	plain := &host{home: home}
	loggedIn := &host{home: t.TempDir()}
	for _, f := range []string{".claude/.credentials.json", ".codex/auth.json", ".gemini/oauth_creds.json"} {
		f = filepath.Join(loggedIn.home, f)
		if err := os.MkdirAll(filepath.Dir(f), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	withheld := belljar.Network{Credentials: []belljar.Credential{{
		Name: "ANTHROPIC_API_KEY", Withheld: true, Origin: belljar.Origin{Layer: "project", File: "/src/belljar.yaml", Line: 2},
	}}}
	login := belljar.Network{Credentials: []belljar.Credential{{Name: "CLAUDE_LOGIN", From: belljar.CredentialSource{Login: "claude"}}}}
	for _, c := range []struct {
		agent string
		host  *host
		plan  belljar.Plan
		want  []string // none: no hint
	}{
		{"sh", plain, belljar.Plan{}, nil},
		{"claude", plain, belljar.Plan{Env: []string{"ANTHROPIC_AUTH_TOKEN=x"}}, nil},
		{"claude", plain, belljar.Plan{Env: []string{"ANTHROPIC_API_KEY="}}, []string{"set ANTHROPIC_API_KEY in your environment", "stays outside"}},
		{"codex", plain, belljar.Plan{}, []string{"set OPENAI_API_KEY"}},
		{"claude", loggedIn, belljar.Plan{}, []string{"~/.claude/.credentials.json", "is not used", "belljar login claude", "set ANTHROPIC_API_KEY"}},
		{"gemini", loggedIn, belljar.Plan{}, []string{"Google", "set GEMINI_API_KEY"}},
		{"claude", plain, belljar.Plan{}, []string{"claude auth login"}},
		{"claude", loggedIn, belljar.Plan{Network: login}, nil},
		{"codex", loggedIn, belljar.Plan{}, []string{"~/.codex/auth.json", "set OPENAI_API_KEY"}},
		{"claude", plain, belljar.Plan{Network: withheld}, []string{"withheld by /src/belljar.yaml:2", "--credential ANTHROPIC_API_KEY=api.anthropic.com"}},
		{"claude", &host{home: home, env: []string{"CLAUDE_CODE_OAUTH_TOKEN=x"}}, belljar.Plan{}, []string{"--credential CLAUDE_CODE_OAUTH_TOKEN=api.anthropic.com"}},
	} {
		got := keyHint(c.host, &c.plan, c.agent)
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q, want %q", c.agent, got, w)
			}
		}
		if (got == "") != (len(c.want) == 0) {
			t.Errorf("%s: %q", c.agent, got)
		}
	}
}

func TestBaseHint(t *testing.T) {
	keys := baseURLs["ANTHROPIC_BASE_URL"]
	credential := func(name, host string, port uint16) belljar.Credential {
		return belljar.Credential{Name: name, Hosts: []belljar.BoundHost{{Host: host, Port: port}}}
	}
	away := credential("ANTHROPIC_API_KEY", "localhost", 8080)
	away.Withheld = true
	rules := []belljar.NetRule{{Host: "localhost", Ports: []uint16{8080}}, {Host: "llm.test", Ports: []uint16{443, 80}}}
	home := credential("ANTHROPIC_API_KEY", "api.anthropic.com", 443)
	for _, c := range []struct {
		url   string
		creds []belljar.Credential
		want  string
	}{
		{"", []belljar.Credential{home}, ""},
		{"https://api.anthropic.com", []belljar.Credential{home}, "api.anthropic.com, which no rule allows; to change that: --allow api.anthropic.com"},
		{"http://localhost:8080", nil, ""},
		{"http://localhost:8080/v1", []belljar.Credential{credential("ANTHROPIC_API_KEY", "localhost", 8080)}, ""},
		{"http://127.0.0.1:8080", []belljar.Credential{home}, "localhost:8080, which gets only a stand-in for ANTHROPIC_API_KEY; to change that: --credential ANTHROPIC_API_KEY=localhost:8080"},
		{"http://localhost:8080", []belljar.Credential{home, away}, "localhost:8080, which gets only a stand-in for ANTHROPIC_API_KEY; to change that: --credential ANTHROPIC_API_KEY=localhost:8080"},
		{"http://localhost:9", []belljar.Credential{home}, "localhost:9, which no rule allows and which gets only a stand-in for ANTHROPIC_API_KEY; to change that: --allow localhost:9 --credential ANTHROPIC_API_KEY=localhost:9"},
		{"https://LLM.test/x", []belljar.Credential{home}, "llm.test, which gets only a stand-in for ANTHROPIC_API_KEY; to change that: --credential ANTHROPIC_API_KEY=llm.test"},
		{"http://llm.test", []belljar.Credential{home}, "llm.test:80, which gets only a stand-in for ANTHROPIC_API_KEY: no key is sent without TLS"},
		{"https://10.0.0.1", []belljar.Credential{home}, "10.0.0.1, which no rule allows and an address, which gets only a stand-in for ANTHROPIC_API_KEY: a key goes to names only; to change that: --allow 10.0.0.1"},
	} {
		if got := baseHint(&belljar.Network{Rules: rules, Credentials: c.creds}, c.url, keys); got != c.want {
			t.Errorf("%s: %q, want %q", c.url, got, c.want)
		}
	}
}

// An interactive codex reads its key from a file only: that holds the stand-in, and
// never a real value that --env passes.
func TestCodexFindsItsKey(t *testing.T) {
	const standIn = "sk-proj-stand-in-0123456789"
	config := belljar.HomeFile{Path: ".codex/config.toml"}
	creds := belljar.Network{Credentials: []belljar.Credential{{Name: "CODEX_API_KEY", StandIn: standIn}}}
	for _, c := range []struct {
		plan belljar.Plan
		want string
	}{
		{belljar.Plan{Env: []string{"CODEX_API_KEY=" + standIn}, Network: creds, HomeFiles: []belljar.HomeFile{config}}, `{"OPENAI_API_KEY":"` + standIn + `","auth_mode":"apikey"}`},
		{belljar.Plan{Env: []string{"CODEX_API_KEY=real"}, Network: creds, HomeFiles: []belljar.HomeFile{config}}, ""},
		{belljar.Plan{Env: []string{"CODEX_API_KEY=" + standIn}, Network: creds}, ""},
		{belljar.Plan{HomeFiles: []belljar.HomeFile{config}}, ""},
	} {
		answerForKey(&c.plan)
		i := slices.IndexFunc(c.plan.HomeFiles, func(f belljar.HomeFile) bool { return f.Path == ".codex/auth.json" })
		switch {
		case i < 0 && c.want != "":
			t.Errorf("%q: no file", c.plan.Env)
		case i >= 0 && c.plan.HomeFiles[i].Content != c.want:
			t.Errorf("%q: %s", c.plan.Env, c.plan.HomeFiles[i].Content)
		}
	}
}

func TestNearVariable(t *testing.T) {
	h := &host{env: []string{"ACME_TOKEN=x", "EMPTY_TOKEN=", "PATH=/bin"}}
	for name, want := range map[string]string{"ACME_TOKN": "ACME_TOKEN", "acme_token": "ACME_TOKEN", "EMPTY_TOKE": "", "GITHUB_TOKEN": "", "A": "", "ACME_TOKEN": ""} {
		if got := h.nearVariable(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
