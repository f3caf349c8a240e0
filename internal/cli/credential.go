package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential"
	"github.com/belljar-dev/belljar/gateway/certs"
	"github.com/belljar-dev/belljar/internal/links"
	"github.com/belljar-dev/belljar/internal/spell"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
)

// notRead is the stand-in in a plan that is only looked at: no source is read for it.
const notRead = "[stand-in]"

// arm gives p what the gateway needs to see requests: the credentials' stand-ins, its
// certificate, and the files by which programs inside trust it. The keys are the
// caller's to close, also on error.
func (a *App) arm(ctx context.Context, h *host, p *prepared, look bool) error {
	found, err := a.findLogins(ctx, h, p, look)
	if err != nil {
		return err
	}
	creds, notes := plan.Credentials(p.policy, h.env, found)
	plan.ResolvePrograms(p.facts, creds)
	p.facts.Logins = found
	p.facts.Notes = append(p.facts.Notes, notes...)
	p.logins.choose(creds)
	if look {
		for i := range creds {
			creds[i].StandIn = notRead
		}
	} else {
		if err := p.logins.detach(creds); err != nil {
			return err
		}
		if err := a.keys(ctx, h, p, &creds); err != nil {
			return err
		}
		p.logins.begun = true
	}
	p.facts.Credentials = creds
	p.gateway.Logins = p.logins.endpoints(creds)
	if err := a.signing(p, look); err != nil {
		return err
	}
	n := p.policy.Network()
	if len(creds)+len(n.Pushes)+len(n.LLM) == 0 && !slices.ContainsFunc(n.InSetup().Rules, func(r belljar.NetRule) bool { return r.Confined() }) {
		return nil
	}
	ca, err := certs.New()
	if err != nil {
		return &belljar.Error{Op: "make the gateway's certificate", Kind: belljar.KindInternal, Err: err}
	}
	p.gateway.Authority, p.facts.CA = ca, ca.PEM()
	if look {
		return nil
	}
	files, err := plan.TrustFiles(p.facts)
	if err != nil {
		return &belljar.Error{Op: "gather certificates", Kind: belljar.KindNotHere, Err: err}
	}
	maps.Copy(p.files, files)
	p.gateway.Roots = roots(p.facts, p.files[plan.TrustBundle])
	return nil
}

// keys reads the values of creds and gives them their stand-ins. Those that have no
// value, and will have none, are taken out and told.
func (a *App) keys(ctx context.Context, h *host, p *prepared, creds *[]belljar.Credential) error {
	for _, c := range p.policy.Credentials() { // what was asked for just now is not left out in silence
		if v := c.From.Env; c.Origin.Layer == "flag" && !c.Withheld && v != "" && h.getenv(v) == "" {
			a.warnUnset(h, c.Name, v)
		}
	}
	for _, c := range withheld(*creds) {
		a.note("credential %s is withheld%s: it is given to nothing inside, and no other key may go to its hosts", c.Name, terminal.Escape(place(c.Origin)))
	}
	if len(*creds) == 0 {
		return nil
	}
	made, keys, err := makeKeys(ctx, *creds, credential.Host{
		Env: h.env, Project: p.facts.Workspace.Dir, Writable: writable(p.policy), Login: p.logins.token,
	}, p.facts)
	p.gateway.Keys = keys
	if err != nil {
		return err
	}
	missing := keys.Missing()
	for range withheld(made) {
		missing = missing[:len(missing)-1] // they come last, and have no value
	}
	for _, m := range missing {
		if m.Later {
			a.note("credential %s has no value yet: %s", m.Name, terminal.Escape(m.Why))
			continue
		}
		a.note("credential %s is left out: %s", m.Name, terminal.Escape(m.Why))
		made = slices.DeleteFunc(made, func(c belljar.Credential) bool { return c.Name == m.Name && !c.Withheld })
	}
	*creds = made
	return nil
}

// noteAsked says why requests were refused for the want of a value: inside nobody is told.
func (a *App) noteAsked(keys *credential.Keys) {
	if keys == nil {
		return
	}
	for _, m := range keys.Missing() {
		if m.Asked {
			a.note("credential %s had no value for a request: %s", m.Name, terminal.Escape(m.Why))
		}
	}
}

// warnUnset says that a credential was asked for whose variable has no value.
func (a *App) warnUnset(h *host, name, variable string) {
	state := "not set"
	if _, set := h.lookup(variable); set {
		state = "empty"
	}
	fmt.Fprintf(a.Err, "belljar: warning: credential %s is left out: the variable %s is %s here, so the sandbox has no key, and any may go to its hosts\n", name, variable, state)
	hint := "export " + variable + " first"
	if near := h.nearVariable(variable); near != "" {
		hint = "did you mean " + near + "?"
	}
	fmt.Fprintf(a.Err, "belljar: hint: %s\n", terminal.Escape(hint))
}

// nearVariable is a variable of the caller that was probably meant by name.
func (h *host) nearVariable(name string) string {
	best, most := "", min(3, len(name)/2)
	for _, e := range h.env {
		v, value, _ := strings.Cut(e, "=")
		if value == "" || v == name {
			continue
		}
		if d := spell.Distance(strings.ToUpper(name), strings.ToUpper(v), most+1); d <= most {
			best, most = v, d-1
		}
	}
	return best
}

// withheld are those of creds that are put into no request.
func withheld(creds []belljar.Credential) []belljar.Credential {
	return slices.DeleteFunc(slices.Clone(creds), func(c belljar.Credential) bool { return !c.Withheld })
}

// makeKeys makes the stand-ins. Those of a HOME that is kept stay what they were, for
// an agent remembers in its settings that its user knows the key.
func makeKeys(ctx context.Context, creds []belljar.Credential, host credential.Host, facts *plan.Facts) ([]belljar.Credential, *credential.Keys, error) {
	file := ""
	if facts.Named {
		file = plan.HomeDir(facts) + ".stand-ins"
	}
	before := readStandIns(file)
	again := slices.Clone(creds)
	for i := range again {
		if s := before[again[i].Name]; !again[i].Withheld && s != "" {
			again[i].StandIn = s
		}
	}
	made, keys, err := credential.Make(ctx, again, host)
	if err != nil && len(before) > 0 { // one that is not fit for a new value
		made, keys, err = credential.Make(ctx, creds, host)
	}
	if err == nil && file != "" {
		writeStandIns(file, before, made)
	}
	return made, keys, err
}

// writable are the folders outside the project that the sandbox may write to.
func writable(pol *policy.Policy) (dirs []string) {
	for _, w := range pol.Write() {
		dirs = append(dirs, w.Path)
	}
	return dirs
}

// readStandIns reads the stand-ins of a kept HOME; every doubt means that there are none.
func readStandIns(file string) map[string]string {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	var m map[string]string
	if err != nil || json.Unmarshal(b, &m) != nil {
		return nil
	}
	return m
}

// writeStandIns keeps them, if it can: without them the next run has others.
func writeStandIns(file string, before map[string]string, made []belljar.Credential) {
	m := map[string]string{}
	maps.Copy(m, before)
	for _, c := range made {
		if !c.Withheld {
			m[c.Name] = c.StandIn
		}
	}
	b, err := json.Marshal(m)
	if err != nil || maps.Equal(m, before) || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*") // 0600
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil || os.Rename(f.Name(), file) != nil {
		_ = os.Remove(f.Name())
	}
}

// unseenSources refuses a credential whose file the sandbox can read, by a PATH entry
// that it lies in, say, or that is reached by a link which the sandbox could change.
func unseenSources(r plan.Reasoned, logins *logins) error {
	for _, c := range r.Plan.Network.Credentials {
		file := cmp.Or(c.From.File, logins.file(c.From.Login))
		if file == "" {
			continue
		}
		if err := unseen(r, file); err != nil {
			return &belljar.Error{Op: "use credential", ID: c.Name, Kind: belljar.KindRefused, Err: err, Hint: "move the file to a folder that is not visible inside"}
		}
	}
	return nil
}

// unseen asks the plan for every name by which file is reached: what is visible inside
// under its real name may be named by a link that is not.
func unseen(r plan.Reasoned, file string) error {
	for _, name := range links.Hops(file) {
		by := file
		if name != file {
			by += " (by its links " + name + ")"
		}
		e, err := r.Explain("path", name)
		if err != nil {
			return err
		}
		if e.Allowed {
			return errors.New("the sandbox can read " + by + ": " + e.Reason)
		}
		if e, err = r.Explain("path", filepath.Dir(name)); err != nil {
			return err
		}
		if e.Verdict == "write" || e.Verdict == "pass" {
			return errors.New("the sandbox can write where it finds " + by + ": " + e.Reason)
		}
	}
	return nil
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
		} else if harmless(name) || !telling(name) {
			continue
		}
		fmt.Fprintf(a.Err, "belljar: warning: --env %s puts the real value into the sandbox; %s\n", terminal.Escape(name), terminal.Escape(outside))
	}
}
