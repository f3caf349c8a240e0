package agenthook

import (
	_ "embed" // the plugin
	"encoding/json"
)

// A File is a file of settings inside a sandbox.
type File struct{ Path, Content string }

// timeout is how long agents wait for their hook, in seconds: longer than a question waits for
// its answer.
const timeout = 180

// plugin is opencode's: it has no hooks but in programs of its own.
//
//go:embed opencode.js
var plugin string

type m = map[string]any

func run(agent string) string { return Program + " " + Word + " " + agent }

func text(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "" // maps of strings and numbers
	}
	return string(b) + "\n"
}

func gemini() m {
	return m{
		"hooksConfig": m{"enabled": true},
		"hooks": m{"BeforeTool": []any{m{
			"matcher": "run_shell_command",
			"hooks":   []any{m{"name": "belljar", "type": "command", "command": run("gemini"), "timeout": timeout * 1000}},
		}}},
	}
}

// GeminiSettings is the path below HOME of gemini's own settings.
const GeminiSettings = ".gemini/settings.json"

// OwnGemini adds gemini's hook to its own settings, for sandboxes in which nothing is root's:
// it obeys an administrator's settings only where root owns them. What is no JSON stays.
func OwnGemini(settings string) string {
	all := m{}
	if settings != "" && json.Unmarshal([]byte(settings), &all) != nil || all == nil {
		return settings
	}
	for k, v := range gemini() {
		all[k] = v
	}
	return text(all)
}

// Files are the settings by which the agents ask the hook: those of an administrator, which an
// agent reads before its own and which its own cannot switch off.
func Files() []File {
	claude := m{"hooks": m{"PreToolUse": []any{m{
		"matcher": "Bash|Monitor",
		"hooks":   []any{m{"type": "command", "command": run("claude"), "timeout": timeout, "onFailure": "block"}},
	}}}}
	codex := "[features]\nhooks = true\n\n[hooks]\nmanaged_dir = \"/run/belljar\"\n\n[[hooks.PreToolUse]]\nmatcher = \"^Bash$\"\n\n" +
		"[[hooks.PreToolUse.hooks]]\ntype = \"command\"\ncommand = \"" + run("codex") + "\"\ntimeout = 180\n"
	return []File{
		{"/etc/claude-code/managed-settings.json", text(claude)},
		{"/etc/codex/requirements.toml", codex},
		{"/etc/gemini-cli/settings.json", text(gemini())},
		{"/etc/opencode/opencode.json", text(m{"plugin": []string{"file:///etc/opencode/belljar.js"}})},
		{"/etc/opencode/belljar.js", plugin},
	}
}
