package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/credential/login"
	"github.com/belljar-dev/belljar/gateway"
	"github.com/belljar-dev/belljar/keeper"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/terminal"
)

// startTime is what a start waits for a token that has to be replaced first.
const startTime = 10 * time.Second

// logins are those of this host that a run may use. A nil one has none.
type logins struct {
	client *keeper.Client
	home   string // that is kept for the sandbox; empty: a fresh one
	begun  bool   // the sandbox's start waits no more
	all    []hostLogin
}

// A hostLogin is one agent's login on this host.
type hostLogin struct {
	kind  *login.Kind
	file  string
	stand *login.Stand // nil where it is only looked at
	name  string       // of the credential
	old   string       // the stand-in of an earlier run in a kept HOME
}

// findLogins looks for the logins that the policy names. The keeper is started where
// there is one.
func (a *App) findLogins(ctx context.Context, h *host, p *prepared, look bool) (found []plan.Login, err error) {
	l := &logins{client: keeper.NewClient(keeper.Options{Runtime: h.dirs.Runtime, State: h.dirs.State, Home: h.home, Env: h.env})}
	if p.facts.Named {
		l.home = plan.HomeDir(p.facts)
	}
	p.logins = l
	for _, k := range login.Kinds() {
		i := slices.IndexFunc(p.policy.Credentials(), func(c policy.Credential) bool { return c.From.Login == k.Name })
		if i < 0 {
			continue
		}
		c := p.policy.Credentials()[i]
		one := hostLogin{kind: &k, file: k.Path(h.home, h.getenv), name: c.Name}
		why, err := l.find(ctx, &one, look)
		switch {
		case err != nil:
			return nil, &belljar.Error{Op: "use the login of", ID: k.Name, Kind: belljar.KindNotHere, Err: err, Hint: "what is said of logins is in docs/logins.md"}
		case why != "":
			a.note("the login of %s (%s) is not used: %s", k.Name, terminal.Escape(one.file), terminal.Escape(why))
		case one.file != "":
			l.all = append(l.all, one)
			found = append(found, planLogin(&k))
		}
	}
	return found, nil
}

func planLogin(k *login.Kind) plan.Login {
	p := plan.Login{Name: k.Name, Variables: k.Variables}
	for _, e := range k.Endpoints() {
		p.Endpoints = append(p.Endpoints, plan.LoginEndpoint{Host: e.Host, Path: e.Path})
	}
	return p
}

// find looks at one login; why says that it is there and of no use. one.file is empty
// where it is not there.
func (l *logins) find(ctx context.Context, one *hostLogin, look bool) (why string, err error) {
	if fi, err := os.Stat(one.file); err != nil || !fi.Mode().IsRegular() {
		one.file = ""
		return "", nil
	}
	if look {
		return "", nil
	}
	if l.home != "" {
		one.old = readStandIns(l.home + ".stand-ins")[one.name]
		if ownLogin(filepath.Join(l.home, filepath.FromSlash(one.kind.File)), one.old) {
			return "the sandbox's kept HOME has a login of its own", nil
		}
	}
	stand, err := l.client.StandIn(ctx, one.kind.Name, one.file)
	var refused *keeper.RefusedError
	if errors.As(err, &refused) {
		return refused.Why, nil
	}
	one.stand = stand
	return "", err
}

// ownLogin says whether the file of a kept HOME, which the agent may have written, is
// there and has no stand-in of an earlier run.
func ownLogin(path, old string) bool {
	fi, err := os.Lstat(path)
	if err != nil {
		return false
	}
	if !fi.Mode().IsRegular() || old == "" {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, login.MaxFile))
	return err != nil || !strings.Contains(string(b), old)
}

func (l *logins) one(name string) *hostLogin {
	if l == nil || name == "" {
		return nil
	}
	for i := range l.all {
		if l.all[i].kind.Name == name {
			return &l.all[i]
		}
	}
	return nil
}

// choose gives the credentials of logins the stand-ins whose claims are read inside.
func (l *logins) choose(creds []belljar.Credential) {
	for i := range creds {
		if one := l.one(creds[i].From.Login); one != nil && one.stand != nil {
			creds[i].StandIn = one.stand.Access
		}
	}
}

// detach lets the supervisor ask for the tokens of the logins in creds only, without
// connecting to anything: it may be confined then.
func (l *logins) detach(creds []belljar.Credential) error {
	var known []keeper.Known
	for _, c := range creds {
		if one := l.one(c.From.Login); one != nil && one.stand != nil {
			known = append(known, keeper.Known{Login: one.kind.Name, File: one.file})
		}
	}
	if len(known) == 0 {
		return nil
	}
	if err := l.client.Detach(known); err != nil {
		return &belljar.Error{Op: "reach the keeper of logins", Kind: belljar.KindInternal, Err: err}
	}
	return nil
}

// token asks the keeper, for the gateway.
func (l *logins) token(ctx context.Context, name, stale string) (string, time.Time, error) {
	one := l.one(name)
	if one == nil {
		return "", time.Time{}, errors.New("this host has none")
	}
	if !l.begun { // a provider that does not answer keeps nobody from starting
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTime)
		defer cancel()
	}
	return l.client.Token(ctx, name, one.file, stale)
}

// endpoints are where the gateway answers.
func (l *logins) endpoints(creds []belljar.Credential) (all []gateway.Login) {
	for _, c := range creds {
		if one := l.one(c.From.Login); one != nil && one.stand != nil {
			all = append(all, gateway.Login{Credential: c.Name, Access: c.StandIn, Stand: one.stand, Endpoints: one.kind.Endpoints()})
		}
	}
	return all
}

// answer puts the stand-in files into the plan's HOME; what is recorded does not have
// them.
func (l *logins) answer(p *belljar.Plan) {
	for _, c := range p.Network.Credentials {
		one := l.one(c.From.Login)
		if one == nil || one.stand == nil {
			continue
		}
		p.HomeFiles = append(slices.Clone(p.HomeFiles), belljar.HomeFile{
			Path: one.kind.File, Content: one.stand.With(c.StandIn), Mark: one.old,
		})
	}
}

// file is where the login of that name lies; empty: it is not used.
func (l *logins) file(name string) string {
	if one := l.one(name); one != nil {
		return one.file
	}
	return ""
}

// close gives the keeper up.
func (l *logins) close() {
	if l != nil {
		_ = l.client.Close()
	}
}
