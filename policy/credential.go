package policy

import (
	"fmt"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/links"
	"github.com/goccy/go-yaml/ast"
)

// A Credential is a secret that stays outside, without its value and its stand-in.
type Credential struct {
	belljar.Credential
	// Optional says that a preset asks for it in case the caller has it: a source
	// without a value is nothing to tell of.
	Optional bool `json:"optional,omitempty"`
}

// Credentials lists the credentials, by name, and behind them those that are withheld
// (which have here the source that they would have). A host that no rule of the network
// allows, and a credential that has no other, are not in it.
func (p *Policy) Credentials() []Credential {
	l := make([]Credential, 0, len(p.state.credentials))
	for _, withheld := range []bool{false, true} {
		for _, i := range p.state.credentials {
			c := i.value.Credential
			at := i.mark
			if withheld {
				c.Hosts, c.Withheld, at = i.value.withheld, true, i.value.by
			}
			if len(c.Hosts) == 0 {
				continue
			}
			c.Origin = at.origin()
			c.Hosts, c.Methods, c.Paths = slices.Clone(c.Hosts), slices.Clone(c.Methods), slices.Clone(c.Paths)
			c.Programs = slices.Clone(c.Programs)
			c.From.Command = slices.Clone(c.From.Command)
			l = append(l, Credential{c, i.value.optional})
		}
	}
	return l
}

// credential decodes an entry of credentials.
func (d *decoder) credential(n ast.Node, path string) (grant, bool) {
	var g grant
	before := len(d.faults) + d.more
	known := map[string]func(pair){
		"name":     func(p pair) { g.Name = d.envName(p.value, path+".name") },
		"from":     func(p pair) { g.From = d.credentialSource(p, path+".from") },
		"hosts":    func(p pair) { g.Hosts = d.boundHosts(p, path+".hosts") },
		"methods":  func(p pair) { g.Methods = d.methods(p, path+".methods") },
		"paths":    func(p pair) { g.Paths = d.requestPaths(p, path+".paths") },
		"programs": func(p pair) { g.Programs = d.programs(p, path+".programs") },
		"header":   func(p pair) { d.form(p.value, path+".header", &g) },
		"user":     func(p pair) { g.User = d.basicUser(p.value, path+".user") },
	}
	if d.src.layer == layerPreset {
		known["optional"] = func(p pair) { g.optional = d.boolean(p.value, path+".optional") }
	}
	d.fields(n, path, known)
	if len(d.faults)+d.more != before {
		return g, false
	}
	switch at := d.at(n); {
	case g.Name == "":
		d.add(at, path, "", "a credential needs a name")
	case g.User != "" && g.Form != belljar.FormBasic:
		d.add(at, path+".user", "write header: basic as well", "a user stands only in basic authentication")
	}
	return g, len(d.faults)+d.more == before
}

func (d *decoder) envName(n ast.Node, path string) string {
	s, ok := d.text(n, path)
	if ok && !validEnvName(s) {
		d.add(d.at(n), path, "", "%q is not the name of a variable", s)
	} else if ok && NeverPassed(s) {
		d.add(d.at(n), path, "", "%s is no place for a credential: the sandbox has its own", s)
	}
	return s
}

// maxWords bounds a command, maxHosts the hosts of one credential.
const maxWords, maxHosts = 64, 64

// credentialSource decodes where a value is read. Only the user says that: the file
// of a project, trusted or not, could name any file or program of the user.
func (d *decoder) credentialSource(p pair, path string) belljar.CredentialSource {
	var s belljar.CredentialSource
	switch d.src.layer {
	case layerProject:
		d.add(p.key, path, "name the credential only; its source belongs into your own policy", "a project never says where a credential comes from")
		return s
	case layerCeiling:
		d.add(p.key, path, "", "a ceiling only limits: it gives no credential")
		return s
	}
	count := 0
	d.fields(p.value, path, map[string]func(pair){
		"env":  func(p pair) { count++; s.Env = d.envName(p.value, path+".env") },
		"file": func(p pair) { count++; s.File = d.secretFile(p.value, path+".file") },
		"command": func(p pair) {
			count++
			s.Command = d.sourceCommand(p, path+".command")
		},
		"login": func(p pair) { count++; s.Login = d.login(p.value, path+".login") },
	})
	if count > 1 {
		d.add(p.key, path, "", "a credential has one source: env, file, command or login")
	}
	return s
}

// login decodes the name of an agent whose login is used.
func (d *decoder) login(n ast.Node, path string) string {
	s, ok := d.text(n, path)
	if ok && !slices.Contains(belljar.Logins(), s) {
		d.add(d.at(n), path, "there is: "+strings.Join(belljar.Logins(), ", "), "no login %q is known; docs/logins.md says which are, and why others are not", s)
	}
	return s
}

func (d *decoder) secretFile(n ast.Node, path string) string {
	s, ok := d.text(n, path)
	if !ok {
		return ""
	}
	dir := d.src.dir
	if d.src.layer == layerUser && dir == "" && d.src.file != "" {
		if abs, err := filepath.Abs(d.src.file); err == nil {
			dir = filepath.Dir(abs)
		}
	}
	wide := paths{home: d.paths.home, wide: true} // it is not shared, only read by belljar
	abs, suggestion, err := wide.resolve(s, dir, false)
	if err != nil {
		d.add(d.at(n), path, suggestion, "%s", err)
		return ""
	}
	for _, name := range links.Hops(abs) {
		for _, w := range d.paths.works {
			if within(name, w) {
				d.add(d.at(n), path, "", "%s lies in the workspace, where what is inside can change it", abs)
				return ""
			}
		}
	}
	return abs
}

func (d *decoder) sourceCommand(p pair, path string) []string {
	l := decodeList(d, p, path, "words", d.text)
	if l.clears() {
		d.add(p.key, path, "", "an empty command")
	}
	if len(l.items) > maxWords {
		d.add(p.key, path, "", "more than %d words", maxWords)
		return nil
	}
	var argv []string
	for i, w := range l.items {
		if i == 0 && (w.value == "" || strings.Contains(w.value, "/") && !filepath.IsAbs(w.value)) {
			d.add(w.mark, path, "write its name, or its path from /", "%q is no program", w.value)
		}
		argv = append(argv, w.value)
	}
	for _, name := range commandPaths(argv, d.paths.home) {
		in := func(dir string) bool {
			return slices.ContainsFunc(links.Hops(name), func(n string) bool { return within(n, dir) })
		}
		if slices.ContainsFunc(d.paths.works, in) {
			d.add(p.key, path, "", "%s lies in the workspace, where what is inside can change it", name)
			return nil
		}
	}
	return argv
}

// commandPaths lists what a command names, as it is written. The caller's variables are
// looked at when it runs.
func commandPaths(argv []string, home string) []string {
	return belljar.CredentialSource{Command: argv}.Paths(func(name string) string {
		if name == "HOME" {
			return home
		}
		return "$" + name
	})
}

func (d *decoder) boundHosts(p pair, path string) []belljar.BoundHost {
	l := decodeList(d, p, path, "hosts", func(n ast.Node, key string) (belljar.BoundHost, bool) {
		s, ok := hostPort(n)
		if !ok {
			if s, ok = d.text(n, key); !ok {
				return belljar.BoundHost{}, false
			}
		}
		b, suggestion, err := parseBound(s)
		if err != nil {
			d.add(d.at(n), key, suggestion, "%s", err)
		}
		return b, err == nil
	})
	if l.clears() {
		d.add(p.key, path, "", "no hosts: the credential would go nowhere")
	}
	if len(l.items) > maxHosts {
		d.add(p.key, path, "", "more than %d hosts of one credential", maxHosts)
		return nil
	}
	var hosts []belljar.BoundHost
	for _, i := range l.items {
		hosts = append(hosts, i.value)
	}
	return unionHosts(hosts, nil)
}

// parseBound reads host[:port] of a credential.
func parseBound(s string) (b belljar.BoundHost, suggestion string, err error) {
	r, suggestion, err := parseRule(s)
	if err == nil && r.Host == "" {
		return b, "", fmt.Errorf("a credential is bound to names, not to addresses such as %s", s)
	}
	if err != nil {
		return b, suggestion, err
	}
	return belljar.BoundHost{Host: r.Host, Port: r.Ports[0]}, "", nil
}

// form decodes header: bearer, basic or the name of a header.
func (d *decoder) form(n ast.Node, path string, g *grant) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	switch strings.ToLower(s) {
	case "bearer":
		g.Form, g.Header = belljar.FormBearer, "Authorization"
		return
	case "basic":
		g.Form, g.Header = belljar.FormBasic, "Authorization"
		return
	}
	if s == "" || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return !tokenRune(r) }) {
		d.add(d.at(n), path, "bearer, basic, or a name such as x-api-key", "%q is not the name of a header", s)
		return
	}
	g.Form, g.Header = belljar.FormHeader, textproto.CanonicalMIMEHeaderKey(s)
	if slices.Contains(framing(), g.Header) || strings.HasPrefix(g.Header, "Proxy-") || strings.HasPrefix(g.Header, "Sec-") {
		d.add(d.at(n), path, "", "%s says how a request is sent: it carries no credential", g.Header)
	}
}

// framing are the headers by which requests are told apart.
func framing() []string {
	return []string{
		"Host", "Connection", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Keep-Alive",
		"Expect", "Accept-Encoding", "Date", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
	}
}

// maxPrograms bounds the programs of one credential.
const maxPrograms = 16

// programs decodes the files of the programs that are given a credential. There are no
// patterns: which files a pattern stands for could change with what is installed.
func (d *decoder) programs(p pair, path string) []string {
	l := decodeList(d, p, path, "programs", func(n ast.Node, key string) (string, bool) {
		s, ok := d.text(n, key)
		switch {
		case !ok:
			return "", false
		case !filepath.IsAbs(s) || strings.ContainsAny(s, "*?[]{}\\") || printable(s) != s:
			d.add(d.at(n), key, "write its path from /, such as /usr/bin/gh", "%q is no path of a program", s)
		case filepath.Clean(s) != s:
			d.add(d.at(n), key, filepath.Clean(s), "%q is not the shortest way to write it", s)
		default:
			return s, true
		}
		return "", false
	})
	programs := d.bounded(p, l, path, "programs", maxPrograms)
	slices.Sort(programs)
	return slices.Compact(programs)
}

func (d *decoder) basicUser(n ast.Node, path string) string {
	s, ok := d.text(n, path)
	if ok && (s == "" || len(s) > 256 || strings.ContainsAny(s, ":\n\t")) {
		d.add(d.at(n), path, "", "%q is no user of basic authentication: it is not empty and has no colon", s)
	}
	return s
}
