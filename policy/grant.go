package policy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
)

// A grant is what one entry of credentials says: only the fields that it has. In the
// state it is what all layers say of one name.
type grant struct {
	belljar.Credential      // Hosts, Methods, Paths and From.* are empty where not said
	optional           bool // of a preset
	more               bool // Hosts are added to those of the layers below (a flag)
	// withheld are the hosts that a project or the ceiling took away, and by the line
	// that did. The credential stays bound to them, so that no other key goes there, and
	// is put into no request to them, unless Hosts name them as well.
	withheld []belljar.BoundHost
	by       mark
}

func (g *grant) requests() requests { return requests{methods: g.Methods, paths: g.Paths} }

// over is what g and, above it, the entry next say together.
func (g grant) over(next grant) grant {
	if hasSource(next.From) {
		g.From, g.optional = next.From, next.optional
	}
	switch {
	case next.more:
		g = g.bound(unionHosts(g.Hosts, next.Hosts), g.withheld)
	case len(next.Hosts) > 0:
		g = g.bound(next.Hosts, nil)
	}
	if len(next.Methods) > 0 {
		g.Methods = next.Methods
	}
	if len(next.Paths) > 0 {
		g.Paths = next.Paths
	}
	if len(next.Programs) > 0 {
		g.Programs = next.Programs
	}
	if next.Form != "" {
		g.Form, g.Header, g.User = next.Form, next.Header, next.User
		g.complete()
	}
	return g
}

// bound is g put into requests to hosts, and bound to withheld as well.
func (g grant) bound(hosts, withheld []belljar.BoundHost) grant {
	g.Hosts, g.withheld = hosts, nil
	for _, w := range withheld {
		if !slices.ContainsFunc(hosts, func(h belljar.BoundHost) bool { return boundWithin(w, h) }) {
			g.withheld = append(g.withheld, w)
		}
	}
	return g
}

// only is g put into no requests but those to hosts; by says who took the rest away.
func (g grant) only(hosts []belljar.BoundHost, by mark) grant {
	all := unionHosts(g.Hosts, g.withheld)
	left := g.bound(hosts, all)
	if len(left.withheld) > len(g.withheld) || !slices.Equal(hosts, g.Hosts) {
		left.by = by
	}
	return left
}

func unionHosts(a, b []belljar.BoundHost) []belljar.BoundHost {
	u := slices.Concat(a, b)
	slices.SortFunc(u, compareHosts)
	return slices.Compact(u)
}

func compareHosts(a, b belljar.BoundHost) int {
	return cmp.Or(strings.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
}

func hasSource(s belljar.CredentialSource) bool {
	return s.Env != "" || s.File != "" || len(s.Command) > 0 || s.Login != ""
}

// complete fills in what the layer that names it first leaves out: the variable of the
// same name, and the form that the first host is known to take. No later layer
// changes that by other hosts.
func (g *grant) complete() {
	if !hasSource(g.From) {
		g.From.Env = g.Name
	}
	if g.Form == "" && g.From.Login != "" {
		g.Form, g.Header = belljar.FormBearer, "Authorization" // as access tokens are sent
	}
	if g.Form == "" {
		form := knownForm(g.Name, g.Hosts)
		g.Form, g.Header, g.User = form.Form, form.Header, form.User
	}
	if g.Form == belljar.FormBasic && g.User == "" {
		g.User = anyUser
		for _, h := range g.Hosts {
			if u := hostForms()[h.Host].User; u != "" {
				g.User = u
			}
		}
	}
}

// anyUser is the user of basic authentication where the token alone says who it is.
const anyUser = "token"

// A form is how a credential stands in a request.
type form struct {
	Form         belljar.CredentialForm
	Header, User string
}

func bearer() form { return form{Form: belljar.FormBearer, Header: "Authorization"} }

// hostForms are hosts that take their keys in another way than as bearer tokens.
func hostForms() map[string]form {
	return map[string]form{
		"api.anthropic.com":                 {Form: belljar.FormHeader, Header: "X-Api-Key"},
		"generativelanguage.googleapis.com": {Form: belljar.FormHeader, Header: "X-Goog-Api-Key"},
		"github.com":                        {Form: belljar.FormBasic, Header: "Authorization", User: "x-access-token"},
		"gitlab.com":                        {Form: belljar.FormBasic, Header: "Authorization", User: "oauth2"},
	}
}

// nameForms are variables whose hosts differ, but not their headers.
func nameForms() map[string]form {
	return map[string]form{
		"ANTHROPIC_API_KEY":       hostForms()["api.anthropic.com"],
		"GEMINI_API_KEY":          hostForms()["generativelanguage.googleapis.com"],
		"ANTHROPIC_AUTH_TOKEN":    bearer(),
		"CLAUDE_CODE_OAUTH_TOKEN": bearer(),
	}
}

// knownForm is the form of a credential of that name for those hosts: that of the
// variable, else that of the first host that is known, else bearer.
func knownForm(name string, hosts []belljar.BoundHost) form {
	if f, ok := nameForms()[name]; ok {
		return f
	}
	for _, h := range hosts {
		if f, ok := hostForms()[h.Host]; ok {
			return f
		}
	}
	return bearer()
}

// boundText is a bound host as it can be written again.
func boundText(b belljar.BoundHost) string {
	if b.Port == defaultPort && b.Host != belljar.Localhost {
		return b.Host
	}
	return b.Host + ":" + strconv.Itoa(int(b.Port))
}

// hostWords are hosts as a policy has them.
func hostWords(l []belljar.BoundHost) []string {
	words := make([]string, len(l))
	for i, h := range l {
		words[i] = boundText(h)
	}
	return words
}

// text is the credential as an entry of credentials, without what is withheld.
func (g grant) text() string {
	s := "{name: " + g.Name + ", from: " + sourceText(g.From) + ", hosts: " + quotedList(hostWords(g.Hosts)) + g.requests().fields()
	if len(g.Programs) > 0 {
		s += ", programs: " + quotedList(g.Programs)
	}
	if g.Form == belljar.FormHeader {
		s += ", header: " + quote(g.Header)
	} else {
		s += ", header: " + string(g.Form)
	}
	if g.User != "" {
		s += ", user: " + quote(g.User)
	}
	return s + "}"
}

// withheldText says in which requests the credential is withheld.
func (g grant) withheldText() string {
	return "withheld: " + g.Name + " from " + strings.Join(hostWords(g.withheld), ", ") + ", where no other key passes either"
}

func sourceText(s belljar.CredentialSource) string {
	switch {
	case s.Env != "":
		return "{env: " + s.Env + "}"
	case s.File != "":
		return "{file: " + quote(s.File) + "}"
	case s.Login != "":
		return "{login: " + s.Login + "}"
	}
	return "{command: " + quotedList(s.Command) + "}"
}
