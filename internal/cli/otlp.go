package cli

import (
	"github.com/belljar-dev/belljar/internal/headers"
	"path/filepath"

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
	if _, err := headers.Read(o.Headers); err != nil {
		return &belljar.Error{Op: "send the record", ID: o.Endpoint, Kind: belljar.KindUsage, Err: err, Hint: "otlp.headers of the policy names a file that you can read, with lines of the form Name: value"}
	}
	return nil
}

// resumeSending starts what sends records that were not sent whole, if there are any.
func (a *App) resumeSending(h *host) {
	again, stuck, err := otlp.Mend(h.dirs.State)
	for _, id := range again {
		a.note("how much of record %s was sent cannot be read: it is sent again from the beginning", terminal.Escape(id))
	}
	for _, id := range stuck {
		a.note("where record %s is to be sent cannot be read: it waits for the next run with otlp; remove %s to send it nowhere", terminal.Escape(id), terminal.Escape(filepath.Join(h.dirs.State, "otlp", id)))
	}
	if err == nil {
		err = otlp.Start(h.dirs.State)
	}
	if err != nil {
		a.note("records that wait to be sent stay where they are: %s", terminal.Escape(err.Error()))
	}
}
