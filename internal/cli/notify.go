package cli

import (
	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/headers"
	"github.com/belljar-dev/belljar/notify"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/sandbox"
	"golang.org/x/term"
)

// notifications is how the policy has the user be told; nil: in lines only.
func notifications(h *host, p *policy.Policy) *sandbox.Notify {
	n := p.Notify()
	if n == nil {
		return nil
	}
	return &sandbox.Notify{Bell: n.Bell, Env: h.env, Options: notify.Options{
		Desktop: n.Desktop, Webhook: notify.Webhook(n.Webhook), Ends: n.Tells(notify.Ends), Waits: n.Tells(notify.Waits),
	}}
}

// checkWebhook finds out before anything runs that requests to the webhook could not be made.
func checkWebhook(p *policy.Policy) error {
	n := p.Notify()
	if n == nil {
		return nil
	}
	if _, err := headers.Read(n.Webhook.Headers); err != nil {
		return &belljar.Error{Op: "notify the webhook", Kind: belljar.KindUsage, Err: err, Hint: "notify.webhook.headers of the policy names a file that you can read, with lines of the form Name: value"}
	}
	return nil
}

// ring rings the bell of the caller's terminal at the end of a run.
func (a *App) ring(p *policy.Policy) {
	if n := p.Notify(); n != nil && n.Bell && n.Tells(notify.Ends) && term.IsTerminal(int(a.Err.Fd())) {
		_, _ = a.Err.WriteString("\a")
	}
}

// rings says whether a run of p rings the bell of its caller's terminal.
func (p *prepared) rings() bool {
	n := p.policy.Notify()
	return n != nil && n.Bell
}
