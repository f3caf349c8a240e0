package login

import (
	"path/filepath"
	"slices"
)

// A Kind is the login of one agent's own program.
type Kind struct {
	Name string // the agent's, as it is run
	File string // where its program keeps the login, below HOME
	// Dir is the variable by which the program is told of another folder than that of
	// File; File's base is in it.
	Dir string
	// Variables give the program a key, which it prefers to the login.
	Variables []string
	// Token is where the next tokens are asked for; Also are further names of it.
	Token Endpoint
	Also  []Endpoint
	// Probe answers a GET with the access token with 401 where that is not accepted. Where
	// Scope is set, that is what a token needs there.
	Probe Endpoint
	Scope string
	// Client is the program's public identifier at its provider.
	Client string
	// Locks are what the program locks while it asks, in the folder of File; see [Lock].
	Locks []Lock
	// Command is what logs in, outside, and Why belljar does not do it itself.
	Command, Why string
	shape        shape
}

// An Endpoint is a host and a path of it.
type Endpoint struct{ Host, Path string }

// A Lock is how a program keeps others from its login: a folder that is made, and is
// stale when it was not touched for a minute, or (File) a file with a lock of the kernel's.
type Lock struct {
	Name   string
	Beside bool // Name is appended to the folder's own
	File   bool
}

// Kinds lists the logins that are known.
func Kinds() []Kind {
	return []Kind{
		{
			Name: "claude", File: ".claude/.credentials.json", Dir: "CLAUDE_CONFIG_DIR",
			Variables: []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"},
			Token:     Endpoint{"platform.claude.com", "/v1/oauth/token"},
			Also:      []Endpoint{{"console.anthropic.com", "/v1/oauth/token"}, {"api.anthropic.com", "/v1/oauth/token"}},
			Probe:     Endpoint{"api.anthropic.com", "/api/oauth/profile"},
			Scope:     "user:profile",
			Client:    "9d1c250a-e61b-44d9-88ed-5944d1962f5e",
			Locks:     []Lock{{Name: ".lock", Beside: true}, {Name: ".oauth_refresh.lock"}},
			Command:   "claude auth login",
			Why:       "Anthropic permits no other software to offer the login with a subscription",
			shape:     claudeShape{},
		},
		{
			Name: "codex", File: ".codex/auth.json", Dir: "CODEX_HOME",
			Variables: []string{"CODEX_API_KEY", "OPENAI_API_KEY"},
			Token:     Endpoint{"auth.openai.com", "/oauth/token"},
			Probe:     Endpoint{"chatgpt.com", "/backend-api/wham/accounts/check"},
			Client:    "app_EMoamEEZ73f0CkXaXp7hrann",
			Locks:     []Lock{{Name: "auth.lock", File: true}, {Name: "auth.json.lock", File: true}},
			Command:   "codex login",
			Why:       "the login with ChatGPT that codex has is for codex itself",
			shape:     codexShape{},
		},
	}
}

// Refused says why the login of an agent is not used, and what to do; empty for others.
func Refused(name string) (why, instead string) {
	if name == "gemini" {
		return "Google calls it a violation of its terms when other software uses Gemini CLI's login", "set GEMINI_API_KEY: it stays outside, the sandbox gets a stand-in"
	}
	return "", ""
}

// Outside says how its user logs in, in place of an agent that asks for tokens inside;
// empty where no agent does. The path is empty for a connection.
func Outside(host, path string) string {
	for _, k := range Kinds() {
		for _, e := range k.Endpoints() {
			if e.Host == host && (e.Path == path || path == "" && host != k.Probe.Host) {
				return k.Instead()
			}
		}
	}
	if host == geminiHost {
		_, instead := Refused("gemini")
		return "Gemini CLI has no login inside: " + instead
	}
	return ""
}

// geminiHost is where Gemini CLI asks for tokens.
const geminiHost = "oauth2.googleapis.com"

// Instead says how the user of the agent logs in, in place of the agent inside.
func (k *Kind) Instead() string {
	return k.Name + " is not logged in inside: " + k.Command + " outside of the sandbox makes a login that the next run uses, or set " + k.Variables[0] + " for it"
}

// Find is the kind of that name, nil when none is known.
func Find(name string) *Kind {
	for _, k := range Kinds() {
		if k.Name == name {
			return &k
		}
	}
	return nil
}

// Names lists the kinds by name.
func Names() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// Path is the login's file for a user with that home and environment.
func (k *Kind) Path(home string, getenv func(string) string) string {
	if dir := getenv(k.Dir); filepath.IsAbs(dir) {
		return filepath.Join(dir, filepath.Base(k.File))
	}
	return filepath.Join(home, filepath.FromSlash(k.File))
}

// Endpoints are all names of where the next tokens are asked for.
func (k *Kind) Endpoints() []Endpoint { return append([]Endpoint{k.Token}, k.Also...) }

// MayProbe says whether t may ask at Probe, so that 401 speaks of the token itself.
func (k *Kind) MayProbe(t Tokens) bool {
	return k.Probe.Host != "" && (k.Scope == "" || slices.Contains(t.scopes, k.Scope))
}

// ProbeHeader is the header of the request at Probe, as the agent's own program has it.
func (k *Kind) ProbeHeader(t Tokens) map[string]string {
	h := map[string]string{"Authorization": "Bearer " + t.Access}
	if t.account != "" {
		h["ChatGPT-Account-ID"] = t.account
	}
	return h
}

// Path is where the lock lies for the login in file.
func (l Lock) Path(file string) string {
	if l.Beside {
		return filepath.Dir(file) + l.Name
	}
	return filepath.Join(filepath.Dir(file), l.Name)
}
