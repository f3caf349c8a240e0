package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/belljar-dev/belljar"
)

// ParseTarget reads what somebody may connect to: a name or an address, with a port
// after a colon or 443.
func ParseTarget(s string) (belljar.NetRequest, error) {
	host, port, err := splitPort(s)
	if err != nil {
		return belljar.NetRequest{}, err
	}
	if port == 0 {
		port = defaultPort
	}
	if a, aerr := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); aerr == nil {
		return belljar.NetRequest{Addr: a.Unmap().WithZone(""), Port: port}, nil
	}
	h, err := Host(host)
	return belljar.NetRequest{Host: h, Port: port}, err
}

// MayReach says why no rule of the user can allow r: an address that belljar never
// dials, or the organisation's ceiling.
func (p *Policy) MayReach(r belljar.NetRequest) error {
	rule := belljar.NetRule{Host: r.Host, Ports: []uint16{r.Port}}
	if r.Host == "" {
		rule.CIDR = netip.PrefixFrom(r.Addr, r.Addr.BitLen())
		if err := checkPrefix(rule.CIDR); err != nil {
			return err
		}
	} else if _, _, err := parseRule(fmt.Sprintf("%s:%d", r.Host, r.Port)); err != nil {
		return err
	}
	return p.underCeiling(rule)
}

// MayGrant says why rule, which somebody allows while a sandbox runs, must not be: it is
// no rule of a policy, or the organisation's ceiling.
func (p *Policy) MayGrant(rule belljar.NetRule) error {
	if err := checkRule(rule); err != nil {
		return err
	}
	return p.underCeiling(rule)
}

// underCeiling says why the organisation does not let rule be one of the user's.
func (p *Policy) underCeiling(rule belljar.NetRule) error {
	if c := p.ceiling; c != nil && c.allow.set && !newWork().indexItems(c.allow.items).covers(rule) {
		return byCeiling(c.allow.mark)
	}
	return nil
}

// checkRule says why a rule for one host, or one address, that is not from a file could
// not be in one.
func checkRule(r belljar.NetRule) error {
	if r.Host == "" && r.CIDR.IsSingleIP() && len(r.Ports) > 0 && !r.Confined() {
		return checkPrefix(r.CIDR)
	}
	for _, p := range r.Ports {
		if _, _, err := parseRule(fmt.Sprintf("%s:%d", r.Host, p)); err != nil {
			return err
		}
	}
	for _, m := range r.Methods {
		if _, err := parseMethod(m); err != nil {
			return err
		}
	}
	for _, p := range r.Paths {
		if _, err := parsePathPattern(p); err != nil {
			return err
		}
	}
	if err := checkConstraint(&r.Constraint); err != nil {
		return err
	}
	if h, err := Host(r.Host); err != nil || h != r.Host || len(r.Ports) == 0 {
		return errors.New("no host name or no port")
	}
	return nil
}

// MayShare says why no layer may make the absolute path abs visible, or writable: its
// name or what its links lead to, or the organisation's ceiling. The plan judges the
// real path once more.
func (p *Policy) MayShare(abs string, write bool) error {
	if _, _, err := p.paths.resolve(abs, "", write); err != nil {
		return err
	}
	c := p.ceiling
	if c == nil {
		return nil
	}
	if write && c.write.set && !pathCovers(c.write.items)(abs) {
		return byCeiling(c.write.mark)
	}
	if !write && c.read.set && !pathCovers(c.read.items)(abs) {
		return byCeiling(c.read.mark)
	}
	return nil
}

// MayPass says why no layer may pass the caller's variable name: it never passes, or
// the organisation's ceiling.
func (p *Policy) MayPass(name string) error {
	switch {
	case !validEnvName(name):
		return fmt.Errorf("%q is not the name of a variable", name)
	case NeverPassed(name):
		return fmt.Errorf("%s never passes: it leads to the host, or the sandbox has its own", name)
	case p.ceiling != nil && p.ceiling.pass.set && equalCut(nil, name, p.ceiling.pass.items) == nil:
		return byCeiling(p.ceiling.pass.mark)
	}
	return nil
}

func byCeiling(m mark) error {
	return fmt.Errorf("the organisation's ceiling (%s) does not allow it", m.place())
}
