package sandbox

import (
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
)

// recordSecrets is what the record of p must not hold: stand-ins, and values of variables that
// public, the plan as it may be recorded, leaves out.
func recordSecrets(p, public *belljar.Plan) []event.Secret {
	var all []event.Secret
	for _, c := range p.Network.Credentials {
		all = append(all, event.Secret{Name: "stand-in of " + c.Name, Text: c.StandIn})
	}
	if public == nil {
		return all
	}
	for i, e := range p.Env {
		name, value, _ := strings.Cut(e, "=")
		if i < len(public.Env) && public.Env[i] != e {
			all = append(all, event.Secret{Name: name, Text: value})
		}
	}
	return all
}
