package cli

import (
	"regexp"
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
		if !harmless.MatchString(name) && (telling.MatchString(name) || slices.Contains(passed, name)) {
			c.Env[i] = name + "=[redacted]"
		}
	}
	return &c
}

var (
	telling  = regexp.MustCompile(`(?i)KEY|TOKEN|SECRET|PASS|CRED|AUTH|COOKIE|SESSION`)
	harmless = regexp.MustCompile(`^(GIT_CONFIG_KEY_[01]|LANG|LANGUAGE|LC_[A-Z]+|TERM|COLORTERM|TZ|NO_COLOR|FORCE_COLOR|EDITOR|VISUAL|PAGER)$`)
)

// noteUnset says which variables were to be passed and do not exist: a forgotten
// key is hard to notice inside.
func (a *App) noteUnset(h *host, env []string) {
	for _, e := range env {
		if _, ok := h.lookup(e); !ok && e != "" && !strings.Contains(e, "=") {
			a.note("--env %s: it is not set here, so nothing was passed", terminal.Escape(e))
		}
	}
}
