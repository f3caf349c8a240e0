package policy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/goccy/go-yaml/ast"
)

// defaultPort is the port of a rule that names none.
const defaultPort = 443

// maxPorts bounds the ports of one rule.
const maxPorts = 256

// parseRule reads a rule written as host, host:port, address or address:port.
func parseRule(s string) (r belljar.NetRule, suggestion string, err error) {
	if i := strings.Index(s, "://"); i >= 0 {
		rest, _, _ := strings.Cut(s[i+3:], "/")
		return r, "write " + rest, fmt.Errorf("%q is a URL: a rule names a host and a port", s)
	}
	if strings.Contains(s, "/") {
		return r, "", fmt.Errorf("%q is not host[:port]; address ranges are written as {cidr: …, ports: […]}", s)
	}
	host, port, err := splitPort(s)
	if err != nil {
		return r, "", err
	}
	if a, aerr := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); aerr == nil {
		p, suggestion, err := parsePrefix(a.String())
		return belljar.NetRule{CIDR: p, Ports: []uint16{port + defaultIfZero(port)}}, suggestion, err
	}
	h, err := rulePattern(host)
	if err != nil {
		return r, "", err
	}
	if h == belljar.Localhost && port == 0 {
		return r, "write localhost:PORT", errors.New("localhost needs the port of the service")
	}
	return belljar.NetRule{Host: h, Ports: []uint16{port + defaultIfZero(port)}}, "", nil
}

func defaultIfZero(port uint16) uint16 {
	if port == 0 {
		return defaultPort
	}
	return 0
}

// splitPort cuts ":port" off; port 0 means that there was none.
func splitPort(s string) (host string, port uint16, err error) {
	if _, aerr := netip.ParseAddr(s); aerr == nil {
		return s, 0, nil
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, 0, nil
	}
	port, err = parsePort(s[i+1:])
	return s[:i], port, err
}

// parsePort reads a port: digits only, 1 to 65535.
func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a port between 1 and 65535", s)
	}
	return uint16(n), nil
}

func (d *decoder) port(n ast.Node, path string) (uint16, bool) {
	node, ok := n.(*ast.IntegerNode)
	if !ok {
		d.wrong(n, path, "a port")
		return 0, false
	}
	p, err := parsePort(node.GetToken().Value)
	if err != nil {
		d.add(d.at(n), path, "", "%s", err)
		return 0, false
	}
	return p, true
}

// ruleMapping decodes {host: …, ports: […], private: true, ask: true} with what confines
// requests, and {cidr: …, ports: […], ask: true}.
func (d *decoder) ruleMapping(n ast.Node, path string) (belljar.NetRule, bool) {
	var r belljar.NetRule
	before := len(d.faults) + d.more
	var named, ranged, ports, private bool
	known := map[string]func(pair){
		"host": func(p pair) { named = true; r.Host, _ = d.host(p.value, path+".host") },
		"cidr": func(p pair) { ranged = true; r.CIDR = d.cidr(p.value, path+".cidr") },
		"ports": func(p pair) {
			ports = true
			r.Ports = d.ports(p, path+".ports")
		},
		"private": func(p pair) { private = true; r.Private = d.boolean(p.value, path+".private") },
		"methods": func(p pair) { r.Methods = d.methods(p, path+".methods") },
		"paths":   func(p pair) { r.Paths = d.requestPaths(p, path+".paths") },
		"ask":     func(p pair) { r.Ask = d.boolean(p.value, path+".ask") },
	}
	maps.Copy(known, d.constraintKeys(&r.Constraint, path))
	d.fields(n, path, known)
	if len(d.faults)+d.more != before {
		return r, false
	}
	switch at := d.at(n); {
	case named == ranged:
		d.add(at, path, "", "a rule has exactly one of host and cidr")
	case ranged && private:
		d.add(at, path+".private", "remove it: an address that a rule names may be private", "private is for names")
	case ranged && r.Confined():
		// The gateway looks at requests by the name that they are for.
		d.add(at, path, "name the host", "a rule confines requests to a host, not to addresses")
	case r.Host == belljar.Localhost && (private || !ports):
		d.add(at, path, "write {host: localhost, ports: [PORT]}", "localhost needs ports, and is never private")
	case !ports:
		r.Ports = []uint16{defaultPort}
	}
	return r, len(d.faults)+d.more == before
}

func (d *decoder) ports(p pair, path string) []uint16 {
	l := decodeList(d, p, path, "ports", d.port)
	if l.set && len(l.items) == 0 {
		d.add(p.key, path, "", "a rule without ports allows nothing")
	}
	if len(l.items) > maxPorts {
		d.add(p.key, path, "", "more than %d ports in one rule", maxPorts)
	}
	ports := make([]uint16, 0, len(l.items))
	for _, i := range l.items {
		ports = append(ports, i.value)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

func (d *decoder) boolean(n ast.Node, path string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		d.wrong(n, path, "true or false")
		return false
	}
	return b.Value
}

func (d *decoder) cidr(n ast.Node, path string) netip.Prefix {
	s, ok := d.text(n, path)
	if !ok {
		return netip.Prefix{}
	}
	p, suggestion, err := parsePrefix(s)
	if err != nil {
		d.add(d.at(n), path, suggestion, "%s", err)
	}
	return p
}

func parseMode(s string) (m belljar.Mode, suggestion string, err error) {
	var names []string
	for _, m := range modes() {
		if string(m) == s {
			return m, "", nil
		}
		names = append(names, string(m))
	}
	suggestion = "modes are " + strings.Join(names, ", ")
	if c := nearest(s, names); c != "" {
		suggestion = "did you mean \"" + c + "\"?"
	}
	return "", suggestion, fmt.Errorf("no mode %q", s)
}

// ruleText is a rule as it can be written again.
func ruleText(r belljar.NetRule) string {
	if len(r.Ports) == 1 && !r.Private && !r.Confined() && !r.Ask {
		host := r.Host
		if host == "" && r.CIDR.IsSingleIP() {
			host = r.CIDR.Addr().String()
			if r.CIDR.Addr().Is6() {
				host = "[" + host + "]"
			}
		}
		if host != "" {
			if r.Ports[0] == defaultPort && host != belljar.Localhost {
				return host
			}
			return host + ":" + strconv.Itoa(int(r.Ports[0]))
		}
	}
	var b strings.Builder
	if r.Host != "" {
		fmt.Fprintf(&b, "{host: %q", r.Host)
	} else {
		fmt.Fprintf(&b, "{cidr: %q", r.CIDR)
	}
	b.WriteString(", ports: [")
	for i, p := range r.Ports {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(int(p)))
	}
	b.WriteString("]")
	if r.Private {
		b.WriteString(", private: true")
	}
	b.WriteString(requestsOf(r).fields())
	if r.Ask {
		b.WriteString(", ask: true")
	}
	return b.String() + "}"
}

// requestsOf are the requests that a rule allows, where it allows the connection.
func requestsOf(r belljar.NetRule) requests { return requests{r.Methods, r.Paths, r.Constraint} }

// only is r for these requests, in place of its own.
func (q requests) only(r belljar.NetRule) belljar.NetRule {
	r.Methods, r.Paths, r.Constraint = q.methods, q.paths, q.Constraint
	return r
}

// fields are the requests as further fields of a mapping.
func (q requests) fields() string {
	s := ""
	if len(q.methods) > 0 {
		s += ", methods: " + quotedList(q.methods)
	}
	if len(q.paths) > 0 {
		s += ", paths: " + quotedList(q.paths)
	}
	return s + constraintFields(&q.Constraint)
}

// quotedList is a list of words as YAML.
func quotedList(l []string) string {
	q := make([]string, len(l))
	for i, w := range l {
		q[i] = quote(w)
	}
	return "[" + strings.Join(q, ", ") + "]"
}
