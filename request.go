package belljar

import "strings"

// MatchPath says whether a canonical path of a URL ("/v1/messages", percent-encoding
// normalised, no query) matches a pattern of a rule. In a pattern "*" stands for any
// run of characters without a slash, "**" for any run of characters; everything else
// stands for itself. A star takes a percent-encoded character whole or not at all.
// A pattern that ends in "/**" matches what is below, not the folder itself. The time
// is linear in len(pattern)*len(path).
func MatchPath(pattern, path string) bool {
	// One row of the usual table: reach[j] says that the pattern so far matches path[:j].
	reach := make([]bool, len(path)+1)
	reach[0] = true
	for pattern != "" {
		stars := len(pattern) - len(strings.TrimLeft(pattern, "*"))
		if stars == 0 {
			for j := len(path); j > 0; j-- {
				reach[j] = reach[j-1] && path[j-1] == pattern[0]
			}
			reach[0] = false
			pattern = pattern[1:]
			continue
		}
		clearEscapes(reach, path)
		for j := 1; j <= len(path); j++ {
			if reach[j-1] && (stars > 1 || path[j-1] != '/') {
				reach[j] = true
			}
		}
		clearEscapes(reach, path)
		pattern = pattern[stars:]
	}
	return reach[len(path)]
}

// clearEscapes takes the positions inside of percent-encoded characters out of reach.
func clearEscapes(reach []bool, path string) {
	for j := strings.IndexByte(path, '%'); j >= 0 && j+2 < len(path); j++ {
		if path[j] == '%' {
			reach[j+1], reach[j+2] = false, false
		}
	}
}

// requests says whether a rule that names r's host and port allows the request. It
// does where r is only a connection. Where method and path are allowed and something else
// is not, why says what.
func (rule *NetRule) requests(r NetRequest) (ok bool, why string) {
	switch {
	case r.Method == "":
		return true, ""
	case rule.Git != nil:
		return rule.Git.allows(r), ""
	case !matchRequest(rule.Methods, rule.Paths, r.Method, r.Path):
		return false, ""
	case !rule.Judges():
		return true, ""
	case r.Detail == nil:
		return rule.Ask, ""
	}
	why = rule.fault(r.Detail)
	return why == "", why
}

// matchRequest says whether a request is one of methods (none: any) and paths (none:
// any). HEAD is allowed where GET is.
func matchRequest(methods, paths []string, method, path string) bool {
	ok := len(methods) == 0
	for _, m := range methods {
		ok = ok || m == method || m == "GET" && method == "HEAD"
	}
	if !ok || len(paths) == 0 {
		return ok
	}
	for _, p := range paths {
		if MatchPath(p, path) {
			return true
		}
	}
	return false
}

// Confined says whether a rule asks to see the requests: whether it allows some of
// them only.
func (rule *NetRule) Confined() bool {
	return len(rule.Methods) > 0 || len(rule.Paths) > 0 || rule.Git != nil || rule.Constrained()
}

// Sees says whether the requests of a connection to host and port must be seen: a
// credential is bound to it, pushes to it are confined, models answer there, every rule that allows the
// connection without asking is confined, or one that asks is.
// Where it says so and the connection speaks TLS, the gateway ends TLS itself; what is
// neither TLS nor HTTP is refused.
func (n *Network) Sees(host string, port uint16) bool {
	for i := range n.Credentials {
		if n.Credentials[i].Bound(host, port) {
			return true
		}
	}
	if n.ConfinesPushes(host, port) || len(n.LLMRules(host, port)) > 0 {
		return true
	}
	seen := false
	for i := range n.Rules {
		rule := &n.Rules[i]
		if !rule.names(NetRequest{Host: host, Port: port}) || !rule.allowsPort(port) {
			continue
		}
		switch {
		case rule.Confined():
			seen = true
		case !rule.Ask:
			return false
		}
	}
	return seen
}

func (rule *NetRule) allowsPort(port uint16) bool {
	for _, p := range rule.Ports {
		if p == port {
			return true
		}
	}
	return false
}
