package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestPresets(t *testing.T) {
	var names []string
	commands := map[string]string{}
	for _, p := range Presets() {
		names = append(names, p.Name)
		if p.About == "" || strings.Contains(p.About, "\n") {
			t.Errorf("%s: about %q", p.Name, p.About)
		}
		for _, c := range p.Commands {
			if other, dup := commands[c]; dup {
				t.Errorf("%s is a command of %s and %s", c, other, p.Name)
			}
			commands[c] = p.Name
			if got, ok := PresetFor(c); !ok || got != p.Name {
				t.Errorf("PresetFor(%q) = %q, %v", c, got, ok)
			}
		}
	}
	for _, n := range []string{"claude", "codex", "git", "go", "node", "python"} {
		if !slices.Contains(names, n) {
			t.Errorf("no preset %s", n)
		}
	}
	for _, c := range []string{"", "/usr/bin/claude", "./claude", "Claude", "claude ", "node", "git", "bash"} {
		if got, ok := PresetFor(c); ok {
			t.Errorf("PresetFor(%q) = %q, true", c, got)
		}
	}
}

// A preset is careful: nothing secret is passed, nothing of the host's files is
// shared, nothing is widened but what its own tool needs.
func TestPresetsAreCareful(t *testing.T) {
	for name, decoded := range presetDocuments() {
		d := decoded()
		for _, v := range d.pass.items {
			for _, word := range []string{"KEY", "TOKEN", "SECRET", "PASS", "AUTH", "CREDENTIAL"} {
				if strings.Contains(v.value, word) && v.value != "MAX_THINKING_TOKENS" && v.value != "CLAUDE_CODE_MAX_OUTPUT_TOKENS" {
					t.Errorf("%s passes %s", name, v.value)
				}
			}
		}
		if d.read.set || d.write.set || d.tier != nil || d.mode != nil || len(d.limits) > 0 || d.extends.set || d.publish.set {
			t.Errorf("%s says something that is the user's to say", name)
		}
		for _, i := range d.allow.items {
			if i.value.Private || i.value.Host == "" || strings.HasPrefix(i.value.Host, "*") || !slices.Equal(i.value.Ports, []uint16{443}) {
				t.Errorf("%s allows %s", name, ruleText(i.value))
			}
		}
		for _, h := range d.home.items {
			checkHomeFile(t, name, h.value)
		}
	}
}

// checkHomeFile holds a file to its format, also for a workspace with a hostile name.
func checkHomeFile(t *testing.T, preset string, h HomeFile) {
	t.Helper()
	if !strings.HasSuffix(h.Path, ".json") {
		return
	}
	hostile := `/src/a"b\c` + "\n\u2028é"
	var v map[string]any
	if err := json.Unmarshal([]byte(h.Expand(hostile)), &v); err != nil {
		t.Errorf("%s: %s: %v", preset, h.Path, err)
	}
	if projects, ok := v["projects"].(map[string]any); ok && projects[hostile] == nil {
		t.Errorf("%s: %s: %v", preset, h.Path, v)
	}
}

func TestAgentPresets(t *testing.T) {
	for agent, want := range map[string]struct {
		host     string
		set      map[string]string
		file     string
		contains []string
		session  string
	}{
		"claude": {
			"api.anthropic.com {host: \"api.anthropic.com\", ports: [443], paths: [\"/api/**\"]}",
			map[string]string{"IS_SANDBOX": "1", "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
			".claude.json",
			[]string{`"hasCompletedOnboarding": true`, `"/src/p": {"hasTrustDialogAccepted": true`},
			".claude/projects",
		},
		"codex": {
			"api.openai.com {host: \"chatgpt.com\", ports: [443], paths: [\"/backend-api/codex/models\", \"/backend-api/codex/responses\", \"/backend-api/codex/responses/compact\", \"/backend-api/wham/accounts/check\", \"/backend-api/wham/usage\"]}", nil, ".codex/config.toml",
			[]string{`sandbox_mode = "danger-full-access"`, `approval_policy = "never"`, "check_for_update_on_startup = false", "[analytics]\nenabled = false", "plugins = false", `[projects."/src/p"]`},
			".codex/sessions",
		},
		"gemini": {
			"generativelanguage.googleapis.com", map[string]string{"SANDBOX": "belljar"}, ".gemini/settings.json",
			[]string{`"usageStatisticsEnabled": false`}, ".gemini/tmp",
		},
	} {
		p, err := Load(LoadOptions{Command: agent})
		if err != nil {
			t.Fatal(err)
		}
		if got := hosts(p); strings.Join(got, " ") != want.host {
			t.Errorf("%s: hosts %v", agent, got)
		}
		for n, v := range want.set {
			if p.EnvSet()[n] != v {
				t.Errorf("%s: %s=%q", agent, n, p.EnvSet()[n])
			}
		}
		for i, l := range p.Network().LLM {
			if i == 0 && l.Host != strings.Fields(want.host)[0] || l.Fetch || l.Endpoint {
				t.Errorf("%s: %+v", agent, l)
			}
		}
		home := p.Home()
		if len(home) != 1 || home[0].Path != want.file || home[0].Origin.Layer != "preset" {
			t.Fatalf("%s: %+v", agent, home)
		}
		for _, s := range want.contains {
			if !strings.Contains(home[0].Expand("/src/p"), s) {
				t.Errorf("%s: %q is not in %s", agent, s, home[0].Content)
			}
		}
		if !slices.Contains(p.Sessions(), want.session) {
			t.Errorf("%s: %v", agent, p.Sessions())
		}
		if use := p.Presets(); len(use) != 1 || use[0].Name != agent || !strings.Contains(use[0].Origin.File, agent) {
			t.Errorf("%+v", use)
		}
	}
}

// Every host where a preset's key or login asks a model has an entry of llm, and what the
// preset allows there is judged, or is no request that asks one.
func TestPresetsJudgeTheirModels(t *testing.T) {
	const asks = "/backend-api/codex/responses /backend-api/codex/responses/compact /v1/responses /v1/messages /v1beta/models/m:generateContent"
	for name, decoded := range presetDocuments() {
		d := decoded()
		login := slices.ContainsFunc(d.credentials.items, func(c item[grant]) bool { return c.value.From.Login != "" })
		if !login && !d.llm.set {
			continue
		}
		p, err := Load(LoadOptions{Command: name})
		if err != nil {
			t.Fatal(err)
		}
		n := p.Network()
		for _, c := range d.credentials.items {
			for _, h := range c.value.Hosts {
				if len(n.LLMRules(h.Host, 443)) == 0 {
					t.Errorf("%s: no entry of llm for %s, where %s goes", name, h.Host, c.value.Name)
				}
				judged := 0
				for _, path := range strings.Fields(asks) {
					r := belljar.NetRequest{Host: h.Host, Port: 443, Method: "POST", Path: path}
					_, call, ok := n.LLMCall(r)
					if d := n.Decide(r); d.Allow && (!ok || call.Kind != belljar.LLMGenerate) {
						t.Errorf("%s: %s%s is allowed and not judged", name, h.Host, path)
					} else if d.Allow {
						judged++
					}
				}
				if judged == 0 {
					t.Errorf("%s: no request to a model at %s is allowed", name, h.Host)
				}
			}
		}
		for _, path := range []string{"/backend-api/codex/alpha/search", "/backend-api/codex/v1/responses", "/backend-api/codex/responses/r", "/backend-api/conversation"} {
			if d := n.Decide(belljar.NetRequest{Host: "chatgpt.com", Port: 443, Method: "POST", Path: path}); d.Allow {
				t.Errorf("%s: %s is allowed", name, path)
			}
		}
	}
}
