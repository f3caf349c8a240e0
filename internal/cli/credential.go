package cli

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential"
	"github.com/belljar-dev/belljar/gateway/certs"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
)

// notRead is the stand-in in a plan that is only looked at: no source is read for it.
const notRead = "[stand-in]"

// arm gives the facts what the gateway needs to see requests: the credentials' stand-ins
// and its certificate. The keys are the caller's to close, also on error; nil for none.
func (a *App) arm(ctx context.Context, h *host, pol *policy.Policy, facts *plan.Facts, look bool) (keys *credential.Keys, ca *certs.Authority, err error) {
	creds, notes := plan.Credentials(pol, h.env)
	facts.Notes = append(facts.Notes, notes...)
	switch {
	case look:
		for i := range creds {
			creds[i].StandIn = notRead
		}
	case len(creds) > 0:
		creds, keys, err = credential.Make(ctx, creds, credential.Host{Env: h.env, Project: facts.Workspace.Dir})
		if err != nil {
			return keys, nil, err
		}
		for _, m := range keys.Missing() {
			if m.Later {
				a.note("credential %s has no value yet: %s", m.Name, terminal.Escape(m.Why))
				continue
			}
			a.note("credential %s is left out: %s", m.Name, terminal.Escape(m.Why))
			creds = slices.DeleteFunc(creds, func(c belljar.Credential) bool { return c.Name == m.Name })
		}
	}
	facts.Credentials = creds
	if len(creds) == 0 && !slices.ContainsFunc(pol.Network().Rules, func(r belljar.NetRule) bool { return r.Confined() }) {
		return keys, nil, nil
	}
	if ca, err = certs.New(); err != nil {
		return keys, nil, &belljar.Error{Op: "make the gateway's certificate", Kind: belljar.KindInternal, Err: err}
	}
	facts.CA = ca.PEM()
	return keys, ca, nil
}

// roots are the certificates that servers are verified with where TLS is ended: the
// system's and those that the caller's variables name; nil for the system's alone.
func roots(f *plan.Facts, bundle []byte) *x509.CertPool {
	if len(f.Certs) == 0 || len(bundle) == 0 {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(bytes.TrimSuffix(bundle, []byte(f.CA))) // our own says nothing of a server
	return pool
}

// warnReal says which variables that --env passes look like credentials: the sandbox
// then holds the real value.
func (a *App) warnReal(h *host, f *planFlags, pol *policy.Policy) {
	for _, name := range f.Env {
		if _, set := h.lookup(name); !set || strings.Contains(name, "=") {
			continue
		}
		outside := "--credential " + name + "=HOST keeps it outside"
		if slices.ContainsFunc(pol.Credentials(), func(c policy.Credential) bool { return c.Name == name }) {
			outside = "without --env it stays outside; --credential " + name + "=HOST gives it to further hosts"
		} else if harmless.MatchString(name) || !telling.MatchString(name) {
			continue
		}
		fmt.Fprintf(a.Err, "belljar: warning: --env %s puts the real value into the sandbox; %s\n", terminal.Escape(name), terminal.Escape(outside))
	}
}
