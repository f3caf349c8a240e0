package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
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
