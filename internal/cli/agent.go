package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential/login"
	"github.com/belljar-dev/belljar/terminal"
)

// An agentKey says by which variables an agent is given its key, to which host that
// goes, and where below HOME the agent keeps a login instead. The presets make
// credentials of the usual variables, so that the sandbox holds stand-ins.
type agentKey struct {
	variables []string
	host      string
	login     string
}

// agentKeys are those of the known agents.
var agentKeys = map[string]agentKey{
	"claude": {[]string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"}, "api.anthropic.com", ".claude/.credentials.json"},
	"codex":  {[]string{"OPENAI_API_KEY", "CODEX_API_KEY"}, "api.openai.com", ".codex/auth.json"},
	"gemini": {[]string{"GEMINI_API_KEY", "GOOGLE_API_KEY"}, "generativelanguage.googleapis.com", ".gemini/oauth_creds.json"},
}

// hintKey says how to give a known agent its key when it has none. A kept HOME may
// hold a login of its own.
func (a *App) hintKey(h *host, p *belljar.Plan, agent string, kept bool) {
	if kept {
		return
	}
	if why := keyHint(h, p, agent); why != "" {
		fmt.Fprintf(a.Err, "belljar: hint: %s has no key: %s\n", agent, terminal.Escape(why))
	}
}

// keyHint says why agent has no key and what to do; empty: it has one, or is not known.
func keyHint(h *host, p *belljar.Plan, agent string) string {
	k, known := agentKeys[agent]
	if !known {
		return ""
	}
	for _, e := range p.Env {
		name, value, _ := strings.Cut(e, "=")
		if value != "" && slices.Contains(k.variables, name) {
			return ""
		}
	}
	if slices.ContainsFunc(p.Network.Credentials, func(c belljar.Credential) bool { return c.From.Login == agent && !c.Withheld }) {
		return ""
	}
	for _, c := range withheld(p.Network.Credentials) {
		if slices.Contains(k.variables, c.Name) {
			return c.Name + " is withheld" + place(c.Origin) + "; --credential " + c.Name + "=" + k.host + " gives it back"
		}
	}
	for _, v := range k.variables {
		if h.getenv(v) != "" {
			return v + " is set here, but nothing takes it inside: --credential " + v + "=" + k.host + " does; the value stays outside, the sandbox gets a stand-in"
		}
	}
	set := "set " + k.variables[0] + " in your environment, or let your policy say where it is (credentials); it stays outside, the sandbox gets a stand-in"
	if _, err := os.Lstat(filepath.Join(h.home, k.login)); err == nil {
		if why, _ := login.Refused(agent); why != "" {
			return "the login that it has on this host (~/" + k.login + ") is not used: " + why + "; " + set
		}
		return "the login that it has on this host (~/" + k.login + ") is not used: belljar login " + agent + " says more; " + set
	}
	if l := login.Find(agent); l != nil {
		set = "log in outside (" + l.Command + "), or " + set
	}
	return set
}

// place is where a line of a policy stands.
func place(o belljar.Origin) string {
	switch {
	case o.File != "" && o.Line > 0:
		return fmt.Sprintf(" by %s:%d", o.File, o.Line)
	case o.Layer != "":
		return " by the layer " + o.Layer
	}
	return ""
}

// answerForKey answers the questions with which interactive agents meet a key in their
// environment, in the files of a fresh HOME. All that is written is of a stand-in. The
// plan that is recorded does not have it.
func answerForKey(p *belljar.Plan) {
	var claude, codex string
	for _, e := range p.Env {
		switch name, value, _ := strings.Cut(e, "="); name {
		case "ANTHROPIC_API_KEY":
			claude = value
		case "OPENAI_API_KEY":
			codex = value
		case "CODEX_API_KEY":
			if codex == "" {
				codex = value
			}
		}
	}
	find := func(path string) int {
		return slices.IndexFunc(p.HomeFiles, func(f belljar.HomeFile) bool { return f.Path == path })
	}
	p.HomeFiles = slices.Clone(p.HomeFiles) // the recorded plan keeps the old ones
	if i := find(".claude.json"); claude != "" && i >= 0 {
		approveKey(&p.HomeFiles[i], claude)
	}
	if find(".codex/config.toml") >= 0 && codex != "" && find(".codex/auth.json") < 0 && standsIn(p, codex) {
		b, err := json.Marshal(map[string]string{"auth_mode": "apikey", "OPENAI_API_KEY": codex})
		if err == nil {
			p.HomeFiles = append(p.HomeFiles, belljar.HomeFile{Path: ".codex/auth.json", Content: string(b)})
		}
	}
}

// standsIn says whether value is the stand-in of a credential.
func standsIn(p *belljar.Plan, value string) bool {
	return slices.ContainsFunc(p.Network.Credentials, func(c belljar.Credential) bool { return c.StandIn == value && !c.Withheld })
}

// approveKey tells an interactive claude that the user knows the key: it asks for that
// by the last 20 characters of the key in its settings file.
func approveKey(f *belljar.HomeFile, key string) {
	var settings map[string]any
	if json.Unmarshal([]byte(f.Content), &settings) != nil {
		return
	}
	settings["customApiKeyResponses"] = map[string]any{"approved": []string{key[max(0, len(key)-20):]}, "rejected": []string{}}
	if b, err := json.Marshal(settings); err == nil {
		f.Content = string(b)
	}
}
