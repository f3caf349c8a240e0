package belljar

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The addresses of the sandbox's network. Nothing of them exists outside.
var (
	// GatewayIPv4 answers DNS on port 53, HTTP and SOCKS on ProxyPort, and the
	// gateway's own page under the name PolicyHost on port 80.
	GatewayIPv4 = netip.MustParseAddr("198.18.0.1")
	GuestIPv4   = netip.MustParseAddr("198.18.0.2")
	// NamesIPv4 and NamesIPv6 are the ranges whose addresses stand for names.
	NamesIPv4   = netip.MustParsePrefix("198.18.0.0/15")
	GatewayIPv6 = netip.MustParseAddr("fdbe:117a:5::1")
	GuestIPv6   = netip.MustParseAddr("fdbe:117a:5::2")
	// LocalhostIPv4 and LocalhostIPv6 stand for [Localhost]: a connection to port
	// P of them is a connection to port P of the host's loopback, where a rule
	// names that port. What listens on the loopback inside for a localhost rule
	// forwards there.
	LocalhostIPv4 = netip.MustParseAddr("198.18.0.3")
	LocalhostIPv6 = netip.MustParseAddr("fdbe:117a:5::3")
	NamesIPv6     = netip.MustParsePrefix("fdbe:117a:5::/64")
)

const (
	// ProxyPort is the port of the HTTP and SOCKS proxy on the gateway's address.
	ProxyPort = 3128
	// PolicyHost is the name of the gateway's own page.
	PolicyHost = "policy.belljar"
	// Localhost is the host of rules that reach a port of the host's loopback.
	Localhost = "localhost"
)

// A Network says which names and addresses exist for a sandbox. Its zero value
// allows nothing.
type Network struct {
	Rules   []NetRule     `json:"rules"`
	Publish []PublishRule `json:"publish,omitempty"`
	// Setup are rules that hold besides Rules until setup has ended. [Network.Decide] does
	// not look at them, [Network.InSetup] makes a network whose Decide does.
	Setup       []NetRule    `json:"setup,omitempty"`
	Credentials []Credential `json:"credentials,omitempty"`
	// Pushes are hosts where git pushes only as rules with Git say. See [Network.ConfinesPushes].
	Pushes []BoundHost `json:"pushes,omitempty"`
	// LLM are hosts of models, where requests are judged as their API says.
	LLM []LLMRule `json:"llm,omitempty"`
	// Upstream is the company's proxy, as host:port; empty for none. What it asks for
	// as authentication is no part of a plan: the gateway is given it apart.
	Upstream       string `json:"upstream,omitempty"`
	UpstreamByName bool   `json:"upstream_by_name,omitempty"` // CONNECT by name instead of by the checked address
	// NoProxy names what is reached without Upstream, in the form of the variable NO_PROXY.
	NoProxy string `json:"no_proxy,omitempty"`
}

// A NetRule allows connections. Exactly one of Host and CIDR is set.
type NetRule struct {
	// Host is a canonical name (lower case, A-labels, no trailing dot), or "*." and
	// such a name (any depth below it, never the name itself), or [Localhost].
	Host    string       `json:"host,omitempty"`
	CIDR    netip.Prefix `json:"cidr,omitzero"`
	Ports   []uint16     `json:"ports"`             // never empty
	Private bool         `json:"private,omitempty"` // the name may resolve to RFC 1918, ULA and CGNAT addresses
	// Methods (upper case; GET allows HEAD) and Paths (patterns of [MatchPath]) confine
	// the HTTP requests; empty allows any. See [Network.Sees].
	Methods []string `json:"methods,omitempty"`
	Paths   []string `json:"paths,omitempty"`
	// What else confines them. A rule with Git has none of it.
	Constraint
	// Git confines them to those that git makes. A rule with Git has no Methods and Paths.
	Git *GitRule `json:"git,omitempty"`
	// Ask says that what the rule would allow waits until somebody outside allows it: a
	// request where the rule is [NetRule.Confined], else a connection. What another
	// rule allows without asking is not asked about.
	Ask    bool   `json:"ask,omitempty"`
	Origin Origin `json:"origin"`
}

// A PublishRule makes a port of the sandbox reachable on the host.
type PublishRule struct {
	Port   uint16 `json:"port"`
	Origin Origin `json:"origin"`
}

// A NetRequest is what the gateway asks about: a name, or an address without one.
// Port 0 asks whether the name exists at all (DNS).
type NetRequest struct {
	Host string // canonical; empty when only an address is known
	Addr netip.Addr
	Port uint16
	// Method and Path (canonical, without the query) are those of an HTTP request;
	// both are empty where a connection is asked about.
	Method string
	Path   string
	// Detail is the rest of a request. Where it is not known (nil), a rule that judges it
	// allows nothing, but may ask.
	Detail *RequestDetail
}

// A Decision is a verdict with its reason.
type Decision struct {
	Allow   bool
	Ask     bool     // somebody outside has to be asked: not allowed yet
	Rule    *NetRule // that decided, when allowed or asked about
	Nearest *NetRule // that came nearest, when refused; may be nil
	Reason  string   // one sentence without a period, when refused
	Fix     string   // the policy line that would allow it, when refused; empty when no rule can
	Missing bool     // it was refused because no rule is about it, and for no other reason
}

// InSetup is n as it is until setup has ended. The rules are shared.
func (n *Network) InSetup() *Network {
	if len(n.Setup) == 0 {
		return n
	}
	all := *n
	all.Rules = slices.Concat(n.Rules, n.Setup)
	return &all
}

// Decide answers one request. It looks at names, ports and requests only; whether the
// address behind a name may be dialled is the gateway's address guard, and rates are
// counted there. Of several rules that allow a request without asking the first decides;
// where that has a rate or a bound of the answer, the first that has neither, unless only
// the former may reach private addresses.
func (n *Network) Decide(r NetRequest) Decision {
	var nearest, confined, asks, allows, almost *NetRule
	fault := ""
	push := r.Method != "" && n.ConfinesPushes(r.Host, r.Port) && LooksLikePush(r.Method, r.Path)
	beside := n.outsideModels(r)
	for i := range n.Rules {
		rule := &n.Rules[i]
		if !rule.names(r) {
			continue
		}
		nearest = rule
		if r.Port == 0 {
			return Decision{Allow: true, Rule: rule}
		}
		if !rule.allowsPort(r.Port) {
			continue
		}
		ok, why := rule.requests(r)
		switch {
		case !ok || push && rule.Git == nil || beside && len(rule.Paths) == 0:
			confined = rule
			if why != "" && almost == nil {
				almost, fault = rule, why
			}
		case !rule.Ask && (r.Method == "" || rule.Rate == nil && rule.Response == 0 && (allows == nil || rule.Private || !allows.Private)):
			return Decision{Allow: true, Rule: rule}
		case !rule.Ask && allows == nil:
			allows = rule
		case rule.Ask && asks == nil:
			asks = rule
		}
	}
	if allows != nil {
		return Decision{Allow: true, Rule: allows}
	}
	if asks != nil {
		return Decision{Ask: true, Rule: asks, Reason: r.target() + ": the policy asks somebody outside first"}
	}
	if confined != nil && push {
		return Decision{
			Nearest: confined,
			Reason:  r.target() + ": the policy allows pushes to some repositories of this host only, and not " + r.Method + " " + r.Path,
			Fix:     r.gitFix(),
		}
	}
	if confined != nil && beside {
		return Decision{
			Nearest: confined,
			Reason:  r.target() + ": of this host the policy allows the API of its models, and not " + r.Method + " " + r.Path,
			Fix:     r.requestFix(),
			Missing: true,
		}
	}
	if almost != nil {
		return Decision{
			Nearest: almost,
			Reason:  r.target() + ": the policy allows " + r.Method + " " + r.Path + ", but not " + fault,
			Fix:     r.requestFix(),
		}
	}
	if confined != nil {
		return Decision{
			Nearest: confined,
			Reason:  r.target() + ": the policy allows this host, but not " + r.Method + " " + r.Path,
			Fix:     r.requestFix(),
			Missing: true,
		}
	}
	if nearest != nil {
		return Decision{
			Nearest: nearest,
			Reason:  r.target() + ": the policy allows this host, but not port " + strconv.Itoa(int(r.Port)),
			Fix:     r.fix(),
			Missing: true,
		}
	}
	return Decision{Nearest: n.nearest(r), Reason: r.target() + " is not in the policy", Fix: r.fix(), Missing: true}
}

func (rule *NetRule) names(r NetRequest) bool {
	switch {
	case rule.Host == "":
		return r.Host == "" && r.Addr.IsValid() && rule.CIDR.Contains(r.Addr.Unmap())
	case r.Host == "":
		return false
	case strings.HasPrefix(rule.Host, "*."):
		return strings.HasSuffix(r.Host, rule.Host[1:]) && len(r.Host) > len(rule.Host)-1
	}
	return rule.Host == r.Host
}

// nearest finds a rule that shares the longest tail of labels with the request.
func (n *Network) nearest(r NetRequest) *NetRule {
	var best *NetRule
	most := 1 // one common label (the top-level domain) says nothing
	for i := range n.Rules {
		if c := commonLabels(strings.TrimPrefix(n.Rules[i].Host, "*."), r.Host); c > most {
			best, most = &n.Rules[i], c
		}
	}
	return best
}

// commonLabels counts the labels that two names share at their end.
func commonLabels(a, b string) int {
	for c := 0; ; c++ {
		if a == "" || b == "" {
			return c
		}
		i, j := strings.LastIndexByte(a, '.'), strings.LastIndexByte(b, '.')
		if a[i+1:] != b[j+1:] {
			return c
		}
		a, b = a[:max(i, 0)], b[:max(j, 0)]
	}
}

func (r NetRequest) target() string {
	if r.Host != "" {
		return r.Host
	}
	return "the address " + r.Addr.String()
}

// fix is the flag that would allow r. Without a port it means 443, except for
// localhost, where no port is the usual one.
func (r NetRequest) fix() string {
	port := ""
	if r.Port != 0 && (r.Port != 443 || r.Host == Localhost) {
		port = ":" + strconv.Itoa(int(r.Port))
	}
	switch {
	case r.Host != "":
		return "--allow " + r.Host + port
	case !r.Addr.IsValid():
		return ""
	case port != "" && r.Addr.Unmap().Is6():
		return "--allow [" + r.Addr.String() + "]" + port
	}
	return "--allow " + r.Addr.Unmap().String() + port
}

// requestFix is the entry of a policy's network.allow that would allow the request r
// and nothing else: flags name hosts only.
func (r NetRequest) requestFix() string {
	host := r.Host
	if host == "" {
		return ""
	}
	if fix := r.gitFix(); fix != "" {
		return fix
	}
	ports := ""
	if r.Port != 443 {
		ports = ", ports: [" + strconv.Itoa(int(r.Port)) + "]"
	}
	return "network: {allow: [{host: " + strconv.Quote(host) + ports + ", methods: [" + r.Method + "], paths: [" + strconv.Quote(r.Path) + "]" + r.Detail.queryFix() + "}]}"
}
