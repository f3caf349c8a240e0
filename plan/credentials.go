package plan

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/limit"
	"github.com/belljar-dev/belljar/policy"
)

// Credentials picks those of the policy that a sandbox is given with the caller's
// environment env: not one whose variable holds something else inside because env.pass
// or env.set says so, nor one from a variable that the caller does not have. Notes say
// in one sentence each what somebody asked for and is left out, or is withheld. Those
// that are withheld come last, without a source. A login is picked where logins, which
// names those that this host has, has it; one that a preset asks for not where the agent
// has a key. It is pure; the stand-ins are missing.
func Credentials(p *policy.Policy, env []string, logins []Login) (creds []belljar.Credential, notes []string) {
	caller, set, passed := envMap(env), p.EnvSet(), p.EnvPass()
	keyed := func(l Login) string {
		for _, v := range l.Variables {
			fromCaller := caller[v] != "" && (slices.Contains(passed, v) || slices.ContainsFunc(p.Credentials(), func(c policy.Credential) bool { return c.Name == v && !c.Withheld && c.From.Env == v }))
			_, isSet := set[v]
			elsewhere := slices.ContainsFunc(p.Credentials(), func(c policy.Credential) bool { return c.Name == v && !c.Withheld && c.From.Env != v })
			if isSet || fromCaller || elsewhere {
				return v
			}
		}
		return ""
	}
	for _, c := range p.Credentials() {
		_, isSet := set[c.Name]
		_, has := caller[c.Name]
		switch {
		case c.From.Login != "":
			i := slices.IndexFunc(logins, func(l Login) bool { return l.Name == c.From.Login })
			switch {
			case i < 0 && !c.Optional && !c.Withheld:
				notes = append(notes, "the credential "+c.Name+" is left out: this host has no login of "+c.From.Login)
			case i < 0 || c.Optional && keyed(logins[i]) != "":
			case c.Withheld:
				notes = append(notes, "the login of "+c.From.Login+" is withheld from "+boundHosts(c.Hosts)+", where no other key passes either"+at(c.Origin))
				c.From = belljar.CredentialSource{}
				creds = append(creds, c.Credential)
			default:
				creds = append(creds, c.Credential)
			}
		case c.Withheld && (isSet || has && slices.Contains(passed, c.Name) || c.From.Env != "" && caller[c.From.Env] == ""):
			// It would not be used without whoever withholds it either.
		case c.Withheld:
			notes = append(notes, "the credential "+c.Name+" is withheld from "+boundHosts(c.Hosts)+", where no other key passes either"+at(c.Origin))
			c.From = belljar.CredentialSource{}
			creds = append(creds, c.Credential)
		case isSet || has && slices.Contains(passed, c.Name):
			notes = append(notes, "the credential "+c.Name+" is not used: the variable is passed or set, and holds that value inside")
		case c.From.Env != "" && caller[c.From.Env] == "":
			if !c.Optional {
				notes = append(notes, "the credential "+c.Name+" is left out: "+c.From.Env+" is not set here")
			}
		default:
			creds = append(creds, c.Credential)
		}
	}
	return creds, notes
}

// sees says whether the gateway ends TLS for some connection of n.
func sees(n *belljar.Network) bool {
	if len(n.Credentials)+len(n.Pushes)+len(n.LLM) > 0 {
		return true
	}
	for _, r := range n.Rules {
		if !r.Confined() {
			continue
		}
		for _, p := range r.Ports {
			if n.Sees(r.Host, p) {
				return true
			}
		}
	}
	return false
}

// standIns are the variables of the credentials.
func (m *maker) standIns(env map[string]variable) {
	for _, c := range m.p.Network.Credentials {
		if c.Withheld || c.From.Login != "" {
			continue
		}
		env[c.Name] = variable{
			value: c.StandIn, origin: c.Origin,
			why: "a stand-in: the gateway puts the value into requests to " + boundHosts(c.Hosts),
		}
	}
}

func boundHosts(l []belljar.BoundHost) string {
	s := make([]string, len(l))
	for i, h := range l {
		s[i] = h.Host
		if h.Port != 443 || h.Host == belljar.Localhost {
			s[i] = net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port)))
		}
	}
	return strings.Join(s, ", ")
}

// requestText is what confines a rule or a credential, for people; empty for nothing.
func requestText(methods, paths []string) string {
	var s []string
	if len(methods) > 0 {
		s = append(s, strings.Join(methods, " "))
	}
	if len(paths) > 0 {
		s = append(s, strings.Join(paths, " "))
	}
	return strings.Join(s, " of ")
}

// ruleRequests is what confines a rule, for people.
func ruleRequests(r *belljar.NetRule) string {
	switch {
	case r.Git == nil:
		return strings.TrimSpace(requestText(r.Methods, r.Paths) + constraintText(&r.Constraint))
	case len(r.Git.Push) == 0:
		return "git fetch of " + quoted(r.Git.Repo)
	}
	return "git fetch of " + quoted(r.Git.Repo) + " and push to " + quoted(strings.Join(r.Git.Push, " "))
}

// constraintText is what else confines a rule's requests, for people; empty for nothing.
func constraintText(c *belljar.Constraint) string {
	s := ""
	fields := func(l []belljar.Field) string {
		var words []string
		for _, f := range l {
			words = append(words, quoted(f.Name+"="+strings.Join(f.Values, "|")))
		}
		if len(words) == 0 {
			return "no"
		}
		return strings.Join(words, " ")
	}
	if c.Query != nil {
		s += " with " + fields(c.Query.Params) + " in the query"
	}
	if len(c.Headers) > 0 {
		s += " with headers " + fields(c.Headers)
	}
	if c.Rate != nil {
		s += ", " + c.Rate.String()
	}
	if c.Response > 0 {
		s += ", answers up to " + limit.Format(limit.Memory, c.Response)
	}
	return strings.TrimPrefix(s, ", ")
}

// quotedAll lists names for people.
func quotedAll(l []string) string {
	words := make([]string, len(l))
	for i, s := range l {
		words[i] = quoted(s)
	}
	return strings.Join(words, " or ")
}

// forText is which programs a credential is for, for people; empty for all.
func forText(c *belljar.Credential) string {
	if len(c.Programs) == 0 {
		return ""
	}
	return " for " + quotedAll(c.Programs) + " only"
}

// formText is how a credential stands in a request.
func formText(c *belljar.Credential) string {
	switch c.Form {
	case belljar.FormBearer:
		return "Authorization: Bearer"
	case belljar.FormBasic:
		return "Authorization: Basic, user " + quoted(c.User)
	}
	return c.Header
}

// sourceText says where the value is read.
func sourceText(s belljar.CredentialSource) string {
	switch {
	case s.Env != "":
		return "the variable " + s.Env
	case s.File != "":
		return "the file " + quoted(s.File)
	case s.Login != "":
		return "the login of " + s.Login
	}
	return "the command " + quoteArgs(s.Command)
}

// writeGitHelpers lets git inside answer for the hosts of basic credentials with the
// stand-in: git asks a helper where a server wants to know who it is.
func (m *maker) writeGitHelpers(b *strings.Builder) {
	for _, c := range m.p.Network.Credentials {
		if c.Form != belljar.FormBasic || c.Withheld {
			continue
		}
		for _, h := range c.Hosts {
			url := "https://" + h.Host
			if h.Host == belljar.Localhost {
				url = "http://" + h.Host
			}
			if h.Port != 443 || h.Host == belljar.Localhost {
				url += ":" + strconv.Itoa(int(h.Port))
			}
			user := strings.ReplaceAll(c.User, "'", `'\''`)
			fmt.Fprintf(b, "[credential \"%s\"]\n", url)
			writeGitValue(b, "helper", "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' '"+user+"' \"$"+c.Name+"\"; }; f")
		}
	}
}

// credential explains one credential of the policy.
func (r *explainer) credential(e *Explanation) error {
	name := e.Subject
	if name == "" || strings.ContainsAny(name, "=\x00") || !plainName(name) {
		return fmt.Errorf("%q is not the name of a credential", name)
	}
	withheld := ""
	for _, c := range r.Plan.Network.Credentials {
		if c.Name == name && c.Withheld {
			withheld = "it is withheld from " + boundHosts(c.Hosts) + ": requests are seen there, no other key passes, and the value is put into none"
			e.Nearest = origin(c.Origin)
		}
	}
	for _, c := range r.Plan.Network.Credentials {
		if c.Name != name || c.Withheld {
			continue
		}
		e.Verdict, e.Allowed, e.Rule = "stand-in", true, origin(c.Origin)
		holds := "the variable inside holds a stand-in; the value of "
		if c.From.Login != "" {
			holds = "the agent's login file inside holds stand-ins; the access token of "
		}
		e.Reason = holds + sourceText(c.From) + " goes as " + formText(&c) + " to " + boundHosts(c.Hosts)
		if q := requestText(c.Methods, c.Paths); q != "" {
			e.Reason += ", in requests with " + q
		}
		if len(c.Programs) > 0 {
			e.Reason += ", on connections that " + quotedAll(c.Programs) + " opened"
		}
		if withheld != "" {
			e.Reason += "; " + withheld
		}
		return nil
	}
	e.Verdict = "refuse"
	if withheld != "" {
		e.Reason, e.Fix = withheld, "--credential "+name+"=HOST gives it back, for that host"
		return nil
	}
	i := slices.IndexFunc(r.Policy.Credentials(), func(c policy.Credential) bool { return c.Name == name })
	if i < 0 {
		e.Reason = "no layer has a credential of that name for a host that can be reached"
		e.Fix = "--credential " + name + "=HOST"
		return nil
	}
	c := r.Policy.Credentials()[i]
	e.Nearest = origin(c.Origin)
	if v, ok := r.maker().environment()[name]; ok {
		e.Reason = "the variable holds something else inside: " + v.why
		e.Fix = "drop what passes or sets it"
		return nil
	}
	e.Reason = sourceText(c.From) + " has no value here"
	return nil
}
