package plan

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// MakeOptions are what a run asks for beside its policy.
type MakeOptions struct {
	// BestEffort accepts what the tier does not enforce here; the gaps stand in
	// the plan.
	BestEffort bool
}

// Make builds the plan of one sandbox. It is pure: it looks at its arguments only,
// changes none of them, and gives the same plan for the same arguments.
//
// Errors are [*belljar.Error]: KindRefused when the tier does not enforce what the
// plan needs, KindNotHere when the tier is not usable, KindUsage for a files rule
// that must not be served.
func Make(p *policy.Policy, f *Facts, c belljar.Capabilities, o MakeOptions) (*belljar.Plan, error) {
	return build(wishesOf(p, f, o), f, c)
}

func wishesOf(p *policy.Policy, f *Facts, o MakeOptions) wishes {
	w := envWishes(p)
	w.hold, w.pass, w.network, w.limits = p.Hold(), p.Pass(), p.Network(), p.Limits()
	w.loginHosts = loginHosts(p)
	w.commands, w.setup = p.Commands(), p.Setup()
	w.sessions, w.bestEffort, w.sign = p.Sessions(), o.BestEffort, p.Signs() == policy.SignSSH
	w.mode, w.modeOrigin = p.Mode()
	w.read, w.write = pathRules(p.Read()), pathRules(p.Write())
	for _, h := range p.Home() {
		w.home = append(w.home, homeFile{h.Path, h.Expand(f.Workspace.Dir)})
	}
	return w
}

// loginHosts are the hosts to which nothing but logins is bound.
func loginHosts(p *policy.Policy) (hosts []string) {
	other := map[string]bool{}
	for _, c := range p.Credentials() {
		for _, h := range c.Hosts {
			if c.From.Login == "" {
				other[h.Host] = true
			} else {
				hosts = append(hosts, h.Host)
			}
		}
	}
	return slices.DeleteFunc(hosts, func(h string) bool { return other[h] })
}

// envWishes are those that the environment and the judgement of names need.
func envWishes(p *policy.Policy) wishes {
	w := wishes{hide: p.Hide(), registries: p.RegistryKinds(), envSet: map[string]setVariable{}}
	for _, name := range p.EnvPass() {
		o, _ := p.EnvOrigin(name)
		w.envPass = append(w.envPass, belljar.Pattern{Glob: name, Origin: o})
	}
	for name, value := range p.EnvSet() {
		o, _ := p.EnvOrigin(name)
		w.envSet[name] = setVariable{value, o}
	}
	return w
}

func pathRules(list []policy.PathRule) []pathRule {
	out := make([]pathRule, len(list))
	for i, r := range list {
		out[i] = pathRule{r.Path, r.Origin}
	}
	return out
}

// hiddenBy says why the file would be hidden if it lay in the project, nothing when
// it would not: a single file is bound as it is, so a secret must not be one. Every
// folder above it is taken for the project once, because patterns are relative.
func (m *maker) hiddenBy(file string) string {
	if m.names == nil {
		r, err := rules.New(rules.Options{Hide: m.w.hide, Mode: belljar.ModeLive})
		if err != nil {
			return err.Error() // the policy has compiled it; hide all rather than nothing
		}
		m.names = r
	}
	for rest := strings.TrimPrefix(file, "/"); rest != ""; {
		if v := m.names.Explain(rest); v.Kind == rules.Hide {
			return hiddenText(v)
		}
		_, after, ok := strings.Cut(rest, "/")
		if !ok {
			break
		}
		rest = after
	}
	return ""
}

func hiddenText(v rules.Verdict) string {
	s := "the pattern " + v.Pattern
	if v.Rule != nil {
		s += at(*v.Rule)
	}
	return s + " hides it: " + v.Reason
}

func canonicalHost(s string) (string, error) { return policy.Host(s) }

// localPath says whether p stays below the folder that it is relative to.
func localPath(p string) bool { return filepath.IsLocal(p) && filepath.Clean(p) != "." }
