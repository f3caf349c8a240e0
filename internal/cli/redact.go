package cli

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
)

// redacted is p without values of variables that may be secrets: what the caller
// passes on, and whatever has a telling name.
func redacted(p *belljar.Plan, passed []string) *belljar.Plan {
	c := *p
	c.Env = slices.Clone(p.Env)
	for i, e := range c.Env {
		name, _, _ := strings.Cut(e, "=")
		if !harmless(name) && (telling(name) || slices.Contains(passed, name)) {
			c.Env[i] = name + "=[redacted]"
		}
	}
	return &c
}

// telling says whether a variable's name sounds like a secret.
func telling(name string) bool {
	name = strings.ToUpper(name)
	return slices.ContainsFunc([]string{"KEY", "TOKEN", "SECRET", "PASS", "CRED", "AUTH", "COOKIE", "SESSION"}, func(word string) bool {
		return strings.Contains(name, word)
	})
}

// harmless says whether a variable is known to hold no secret.
func harmless(name string) bool {
	switch name {
	case "GIT_CONFIG_KEY_0", "GIT_CONFIG_KEY_1", "LANG", "LANGUAGE", "TERM", "COLORTERM", "TZ", "NO_COLOR", "FORCE_COLOR", "EDITOR", "VISUAL", "PAGER":
		return true
	}
	category, ok := strings.CutPrefix(name, "LC_")
	return ok && category != "" && strings.Trim(category, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// noteUnset says which variables were to be passed and do not exist: a forgotten
// key is hard to notice inside.
func (a *App) noteUnset(h *host, env []string) {
	for _, e := range env {
		if _, ok := h.lookup(e); !ok && e != "" && !strings.Contains(e, "=") {
			a.note("--env %s: it is not set here, so nothing was passed", terminal.Escape(e))
		}
	}
}
