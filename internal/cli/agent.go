package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
)

// agentKeys are the variables by which an agent is given its key. The presets make
// credentials of the usual ones, so that the sandbox holds stand-ins.
var agentKeys = map[string][]string{
	"claude": {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"},
	"codex":  {"CODEX_API_KEY", "OPENAI_API_KEY"},
	"gemini": {"GEMINI_API_KEY", "GOOGLE_API_KEY"},
}

// hintKey says how to give a known agent its key when it has none. A kept HOME may
// hold a login of its own.
func (a *App) hintKey(p *belljar.Plan, agent string, kept bool) {
	keys := agentKeys[agent]
	if len(keys) == 0 || kept {
		return
	}
	for _, e := range p.Env {
		name, _, _ := strings.Cut(e, "=")
		if slices.Contains(keys, name) {
			return
		}
	}
	fmt.Fprintf(a.Err, "belljar: hint: %s has no key: set %s in your environment; it stays outside, the sandbox gets a stand-in\n", agent, keys[0])
}

// baseURLs are the variables that send agents elsewhere, with the variables of the keys
// that they then send there.
var baseURLs = map[string][]string{
	"ANTHROPIC_BASE_URL":     {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"},
	"GOOGLE_GEMINI_BASE_URL": {"GEMINI_API_KEY"},
}

// hintBase says which flag gives a credential to the host that a variable sends its
// agent to: without it that host sees a stand-in.
func (a *App) hintBase(p *belljar.Plan) {
	for _, e := range p.Env {
		name, value, _ := strings.Cut(e, "=")
		u, err := url.Parse(value)
		if baseURLs[name] == nil || err != nil || u.Hostname() == "" {
			continue
		}
		port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
		n, err := strconv.ParseUint(port, 10, 16)
		for i := range p.Network.Credentials {
			c := &p.Network.Credentials[i]
			if err == nil && slices.Contains(baseURLs[name], c.Name) && !c.Bound(strings.ToLower(u.Hostname()), uint16(n)) {
				fmt.Fprintf(a.Err, "belljar: hint: %s leads to %s, which gets only a stand-in for %s; to give it the key: --credential %s=%s:%d\n",
					name, terminal.Escape(u.Host), c.Name, c.Name, terminal.Escape(u.Hostname()), n)
			}
		}
	}
}

// approveKey answers the question with which an interactive claude meets a key in
// its environment: the last 20 characters of the key, in its settings file, say
// that the user knows it. The plan that is recorded does not have them.
func approveKey(p *belljar.Plan) {
	key := ""
	for _, e := range p.Env {
		if v, ok := strings.CutPrefix(e, "ANTHROPIC_API_KEY="); ok {
			key = v
		}
	}
	i := slices.IndexFunc(p.HomeFiles, func(f belljar.HomeFile) bool { return f.Path == ".claude.json" })
	if key == "" || i < 0 {
		return
	}
	var settings map[string]any
	if json.Unmarshal([]byte(p.HomeFiles[i].Content), &settings) != nil {
		return
	}
	settings["customApiKeyResponses"] = map[string]any{"approved": []string{key[max(0, len(key)-20):]}, "rejected": []string{}}
	b, err := json.Marshal(settings)
	if err != nil {
		return
	}
	p.HomeFiles = slices.Clone(p.HomeFiles) // the recorded plan keeps the old ones
	p.HomeFiles[i].Content = string(b)
}
