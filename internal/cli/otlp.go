package cli

import (
	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event/otlp"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
)

// receiver is where the policy has records be sent to; nil: nowhere.
func receiver(p *policy.Policy) *otlp.Destination {
	o := p.OTLP()
	if o == nil {
		return nil
	}
	return &otlp.Destination{Endpoint: o.Endpoint, Headers: o.Headers}
}

// checkReceiver finds out before anything runs that requests to the receiver could not be
// made.
func checkReceiver(p *policy.Policy) error {
	o := p.OTLP()
	if o == nil {
		return nil
	}
	if _, err := otlp.Headers(o.Headers); err != nil {
		return &belljar.Error{Op: "send the record", ID: o.Endpoint, Kind: belljar.KindUsage, Err: err, Hint: "otlp.headers of the policy names a file that you can read, with lines of the form Name: value"}
	}
	return nil
}

// resumeSending starts what sends records that were not sent whole, if there are any.
func (a *App) resumeSending(h *host) {
	if err := otlp.Start(h.dirs.State); err != nil {
		a.note("records that wait to be sent stay where they are: %s", terminal.Escape(err.Error()))
	}
}
