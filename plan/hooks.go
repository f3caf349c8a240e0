package plan

import (
	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/agenthook"
)

// hooks are the settings by which known agents ask about the lines that they run, where the
// policy has rules for commands. They are an administrator's: read-only files of /etc, which
// agents obey before their own.
func (m *maker) hooks() {
	if m.p.Commands == nil {
		return
	}
	for _, f := range agenthook.Files() {
		m.t.add(belljar.Mount{Kind: belljar.MountFile, Target: f.Path, Content: f.Content, ReadOnly: true, Perm: 0o444,
			Why: "agents ask about the lines that they run, by the rules for commands"})
	}
}

// ownHooks puts gemini's hook into its own settings where it would not obey an administrator's.
func (m *maker) ownHooks(files map[string]string) {
	if m.p.Commands != nil && m.p.Identity.UID != 0 {
		files[agenthook.GeminiSettings] = agenthook.OwnGemini(files[agenthook.GeminiSettings])
	}
}
