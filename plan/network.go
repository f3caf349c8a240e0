package plan

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/belljar-dev/belljar"
)

// network is the policy's, with the registries put in as ordinary rules, and the
// credentials that have a stand-in.
func (m *maker) network() {
	n := m.w.network
	n.Rules = slices.Clone(n.Rules)
	for _, k := range m.w.registries {
		found := false
		for _, r := range m.f.Registries {
			if r.Kind != k.Glob {
				continue
			}
			for _, h := range r.Hosts {
				rule, err := registryRule(h, r, k.Origin)
				if err != nil {
					m.p.Notes = append(m.p.Notes, "the "+k.Glob+" registry "+quoted(h)+" (from "+r.From+") is left out: "+err.Error())
					continue
				}
				found = true
				n.Rules = addRule(n.Rules, rule)
			}
		}
		if !found {
			m.p.Notes = append(m.p.Notes, "no "+k.Glob+" registry is known on this host; allow its host with --allow")
		}
	}
	m.loginRules(&n)
	n.Credentials = slices.Clone(m.f.Credentials)
	m.p.Network = n
	if m.w.limits.Tokens > 0 && len(n.LLM) == 0 {
		m.p.Notes = append(m.p.Notes, "limits.tokens counts nothing: no entry of llm says which hosts are models")
	}
}

// registryRule allows one registry. A company's own may lie in a private network;
// the default of a tool never does.
func registryRule(hostport string, r Registry, o belljar.Origin) (belljar.NetRule, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return belljar.NetRule{}, err
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return belljar.NetRule{}, err
	}
	o.Text = "registries: [" + r.Kind + "] (" + r.From + ")"
	rule := belljar.NetRule{Ports: []uint16{uint16(p)}, Private: r.Own, Origin: o}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.IsLoopback() {
			rule.Host, rule.Private = belljar.Localhost, false
			return rule, nil
		}
		rule.CIDR = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		return rule, nil
	}
	if host == belljar.Localhost {
		rule.Private = false
	}
	rule.Host, err = canonicalHost(host)
	return rule, err
}

// addRule adds a rule unless one for the same host and ports is there.
func addRule(rules []belljar.NetRule, r belljar.NetRule) []belljar.NetRule {
	for _, x := range rules {
		if !x.Confined() && x.Host == r.Host && x.CIDR == r.CIDR && slices.Contains(x.Ports, r.Ports[0]) && (x.Private || !r.Private) {
			return rules
		}
	}
	return append(rules, r)
}
