package cli

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
)

// baseURLs are the variables that send agents elsewhere, with the variables of the keys
// that they then send there.
var baseURLs = map[string][]string{
	"ANTHROPIC_BASE_URL":     {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"},
	"GOOGLE_GEMINI_BASE_URL": {"GEMINI_API_KEY"},
}

// hintBase says what the host needs that a variable sends its agent to: a rule, and the
// agent's credential, without which it sees a stand-in.
func (a *App) hintBase(p *belljar.Plan) {
	for _, e := range p.Env {
		name, value, _ := strings.Cut(e, "=")
		if why := baseHint(&p.Network, value, baseURLs[name]); why != "" {
			fmt.Fprintf(a.Err, "belljar: hint: %s leads to %s\n", name, terminal.Escape(why))
		}
	}
}

// baseHint says what is missing for requests to the URL with the credentials of keys;
// empty: nothing.
func baseHint(n *belljar.Network, value string, keys []string) string {
	u, err := url.Parse(value)
	if len(keys) == 0 || err != nil || u.Hostname() == "" || u.Hostname() == belljar.LLMHost {
		return ""
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]), 10, 16)
	if err != nil {
		return ""
	}
	q := belljar.NetRequest{Host: strings.ToLower(u.Hostname()), Port: uint16(port)}
	if addr, err := netip.ParseAddr(q.Host); err == nil && addr.IsLoopback() {
		q.Host = belljar.Localhost // the only way to the host's loopback
	} else if err == nil {
		q.Host, q.Addr = "", addr
	}
	to := cmp.Or(q.Host, u.Hostname())
	if q.Port != 443 || q.Host == belljar.Localhost {
		to = fmt.Sprintf("%s:%d", to, q.Port)
	}
	var without []string
	for i := range n.Credentials {
		c := &n.Credentials[i]
		given := func(c belljar.Credential) bool {
			return c.Name == n.Credentials[i].Name && !c.Withheld && c.Bound(q.Host, q.Port)
		}
		if slices.Contains(keys, c.Name) && !slices.Contains(without, c.Name) && !slices.ContainsFunc(n.Credentials, given) {
			without = append(without, c.Name)
		}
	}
	return missing(q, to, u.Scheme, n.Decide(q).Allow, without)
}

// missing puts it into words: to is q as a flag has it, without are the credentials that
// are not put in there.
func missing(q belljar.NetRequest, to, scheme string, allowed bool, without []string) string {
	var why, flags []string
	if !allowed {
		why, flags = append(why, "which no rule allows"), append(flags, "--allow "+to)
	}
	switch names := strings.Join(without, " and "); {
	case len(without) == 0:
	case q.Host == "":
		why = append(why, "an address, which gets only a stand-in for "+names+": a key goes to names only")
	case scheme != "https" && q.Host != belljar.Localhost:
		why = append(why, "which gets only a stand-in for "+names+": no key is sent without TLS")
	default:
		why = append(why, "which gets only a stand-in for "+names)
		for _, name := range without {
			flags = append(flags, "--credential "+name+"="+to)
		}
	}
	if len(why) == 0 {
		return ""
	}
	s := to + ", " + strings.Join(why, " and ")
	if len(flags) > 0 {
		s += "; to change that: " + strings.Join(flags, " ")
	}
	return s
}
