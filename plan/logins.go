package plan

import (
	"slices"

	"github.com/belljar-dev/belljar"
)

// A Login is one of an agent that this host has.
type Login struct {
	Name      string   `json:"name"`      // see [belljar.Logins]
	Variables []string `json:"variables"` // with any of them the agent has a key, and does not look at its login
	// Endpoints are where the agent asks for new tokens: the gateway answers, nothing of
	// it leaves.
	Endpoints []LoginEndpoint `json:"endpoints"`
}

// A LoginEndpoint is a host and a path of it.
type LoginEndpoint struct {
	Host string `json:"host"`
	Path string `json:"path"`
}

// loginRules adds, for each login that is used, rules for its endpoints, and takes the
// presets' rules away for hosts that only a login is for which is not used: without one
// any key could go there.
func (m *maker) loginRules(n *belljar.Network) {
	for _, c := range m.f.Credentials {
		i := slices.IndexFunc(m.f.Logins, func(l Login) bool { return l.Name == c.From.Login })
		if i < 0 {
			continue
		}
		o := c.Origin
		o.Text = "login: " + c.From.Login + " (belljar answers)"
		for _, e := range m.f.Logins[i].Endpoints {
			n.Rules = append(n.Rules, belljar.NetRule{Host: e.Host, Ports: []uint16{443}, Methods: []string{"POST"}, Paths: []string{e.Path}, Origin: o})
		}
	}
	n.Rules = slices.DeleteFunc(n.Rules, func(r belljar.NetRule) bool {
		return r.Origin.Layer == "preset" && slices.Contains(m.w.loginHosts, r.Host) &&
			!slices.ContainsFunc(m.f.Credentials, func(c belljar.Credential) bool { return c.Bound(r.Host, r.Ports[0]) })
	})
}
