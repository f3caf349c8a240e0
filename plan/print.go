package plan

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/limit"
)

// Print writes a plan as tables that people can read. Every name of the host in
// it is escaped for a terminal.
func Print(w io.Writer, p *belljar.Plan) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 2, 8, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(t, strings.TrimRight("  "+strings.Join(cells, "\t"), " \t")) }
	head := func(s string) { t.Flush(); fmt.Fprintf(&b, "\n%s\n", s) }

	id := p.Identity
	row("sandbox", quoted(p.Name)+" ("+p.ID+")")
	row("tier", p.Tier)
	row("command", quoteArgs(p.Command.Argv), "is "+quoted(p.Command.Path))
	row("folder", quoted(p.Command.Dir))
	row("identity", fmt.Sprintf("%s, uid %d inside, %d on the host", quoted(id.User), id.UID, id.HostUID))

	head("project: " + quoted(p.Workspace.Dir) + ", mode " + string(p.Workspace.Mode))
	for _, v := range p.Workspace.Views {
		row(quoted(v.Target), viewKind(v, p.Workspace))
	}
	printPatterns(row, "hidden", p.Workspace.Hide)
	printPatterns(row, "held", p.Workspace.Hold)
	printPatterns(row, "lands by itself", p.Workspace.Pass)

	head("visible outside the project")
	for _, m := range p.Mounts {
		row(quoted(m.Target), mountKind(m), m.Why)
	}
	head("network")
	printNetwork(row, &p.Network)
	if c := p.Commands; c != nil {
		head("commands")
		for _, r := range c.Rules {
			row(r.Verdict, quoted(r.Pattern), r.Reason, strings.Trim(at(r.Origin), " ()"))
		}
		printDenied(row, p.Denied)
	}
	if len(p.Setup) > 0 {
		head("setup")
		for _, s := range p.Setup {
			when := "once where HOME is kept"
			if s.Each {
				when = "in every run"
			}
			row(quoted(stepText(s)), when, strings.Trim(at(s.Origin), " ()"))
		}
	}
	head("limits")
	l := p.Limits
	row("memory", limit.Format(limit.Memory, l.Memory))
	row("cpus", strconv.FormatFloat(l.CPUs, 'g', -1, 64))
	row("processes", strconv.Itoa(l.Processes))
	row("disk", limit.Format(limit.Disk, l.Disk))
	row("files", strconv.Itoa(l.Files))
	row("time", limit.Format(limit.Time, int64(l.Time)))
	if l.Log > 0 {
		row("log", limit.Format(limit.Disk, l.Log))
	}
	if l.Tokens > 0 {
		row("tokens", strconv.FormatInt(l.Tokens, 10))
	}
	head("environment")
	for _, e := range p.Env {
		k, v, _ := strings.Cut(e, "=")
		row(quoted(k), quoted(v))
	}
	head("enforcement")
	for _, e := range p.Enforcement {
		row(string(e.Requirement), string(e.Level), quotedOr(e.By, e.Gap))
	}
	if len(p.Notes) > 0 {
		head("notes")
		for _, n := range p.Notes {
			row(quoted(n))
		}
	}
	t.Flush()
	_, err := w.Write(b.Bytes())
	return err
}

// printDenied says what holds each rule where the tier does not ask about programs.
func printDenied(row func(...string), l []belljar.DeniedProgram) {
	for _, d := range l {
		if d.Gap != "" {
			row("not held", quoted(d.Pattern), d.Gap)
			continue
		}
		for _, f := range d.Files {
			row("covered", quoted(f), "so that "+quoted(d.Pattern)+" does not run; another program that does the same may")
		}
	}
}

func printPatterns(row func(...string), what string, ps []belljar.Pattern) {
	for _, p := range ps {
		row(what, quoted(p.Glob), strings.Trim(at(p.Origin), " ()"))
	}
}

// asks says of a rule that it asks.
func asks(r belljar.NetRule) string {
	if r.Ask {
		return "after asking you"
	}
	return ""
}

// llmLimits says what of a model's API is allowed.
func llmLimits(l *belljar.LLMRule) string {
	words := []string{"any model"}
	if len(l.Models) > 0 {
		words[0] = quoted(strings.Join(l.Models, " "))
	}
	if l.Tokens > 0 {
		words = append(words, strconv.FormatInt(l.Tokens, 10)+" tokens")
	}
	if l.Requests > 0 {
		words = append(words, strconv.FormatInt(l.Requests, 10)+" requests")
	}
	if !l.Fetch {
		words = append(words, "the provider fetches nothing")
	}
	if l.Endpoint {
		words = append(words, "also at http://"+belljar.LLMHost+"/"+string(l.API))
	}
	return strings.Join(words, ", ")
}

// stepText is a step as somebody wrote it.
func stepText(s belljar.SetupStep) string {
	if len(s.Argv) == 3 && s.Argv[0] == "/bin/sh" && s.Argv[1] == "-c" {
		return s.Argv[2]
	}
	return strings.Join(s.Argv, " ")
}

// printRules prints rules; when says when they hold, if not always.
func printRules(row func(...string), rules []belljar.NetRule, when string) {
	for _, r := range rules {
		name := r.Host
		if name == "" {
			name = r.CIDR.String()
		}
		ports := make([]string, len(r.Ports))
		for i, p := range r.Ports {
			ports[i] = strconv.Itoa(int(p))
		}
		private := ""
		if r.Private {
			private = "may be private"
		}
		row(quoted(name), "ports "+strings.Join(ports, " "), strings.Join(strings.Fields(when+" "+asks(r)+" "+private+" "+ruleRequests(&r)), " "), strings.Trim(at(r.Origin), " ()"))
	}
}

func printNetwork(row func(...string), n *belljar.Network) {
	printRules(row, n.Rules, "")
	printRules(row, n.Setup, "in setup only")
	for i := range n.LLM {
		l := &n.LLM[i]
		row("models at "+quoted(l.Host), string(l.API), llmLimits(l), strings.Trim(at(l.Origin), " ()"))
	}
	for _, b := range n.Pushes {
		row(quoted(b.Host), "pushes by git", "only those above")
	}
	for i := range n.Credentials {
		c := &n.Credentials[i]
		if c.Withheld {
			row("credential "+c.Name, "withheld from "+boundHosts(c.Hosts), "no other key passes either", strings.Trim(at(c.Origin), " ()"))
			continue
		}
		row("credential "+c.Name, "to "+boundHosts(c.Hosts), strings.TrimSpace(formText(c)+" "+requestText(c.Methods, c.Paths))+forText(c), strings.Trim(at(c.Origin), " ()"))
	}
	for _, p := range n.Publish {
		row("published", strconv.Itoa(int(p.Port)), "", strings.Trim(at(p.Origin), " ()"))
	}
	if n.Upstream != "" {
		how := "by the address that was checked"
		if n.UpstreamByName {
			how = "by name: the proxy resolves, and no address is checked"
		}
		row("through", quoted(n.Upstream), how)
	}
	if n.Upstream != "" && n.NoProxy != "" {
		row("without it", quoted(n.NoProxy))
	}
	if len(n.Rules)+len(n.Setup)+len(n.Publish) == 0 {
		row("nothing can be reached")
	}
}

func viewKind(v belljar.View, w belljar.Workspace) string {
	switch {
	case v.Git:
		return "git directory of the project"
	case v.ReadOnly, w.Mode == belljar.ModeReadOnly:
		return "read-only"
	case v.Source == w.Dir:
		return "the project"
	}
	return "writable"
}

func mountKind(m belljar.Mount) string {
	switch m.Kind {
	case belljar.MountBind:
		s := "writable"
		if m.ReadOnly {
			s = "read-only"
		}
		if m.Source != m.Target {
			s += ", is " + quoted(m.Source)
		}
		return s
	case belljar.MountSymlink:
		return "link to " + quoted(m.Content)
	case belljar.MountFile:
		return fmt.Sprintf("file of %d bytes", len(m.Content))
	case belljar.MountTmpfs:
		return "memory, at most " + limit.Format(limit.Memory, m.Size)
	}
	return string(m.Kind)
}

func quoteArgs(argv []string) string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = quoted(a)
		if strings.ContainsAny(a, " \t'\"\\$`") && out[i] == a {
			out[i] = strconv.Quote(a)
		}
	}
	return strings.Join(out, " ")
}

func quotedOr(a, b string) string {
	if a == "" {
		a = b
	}
	if a == "" {
		return ""
	}
	return quoted(a)
}

// printable says whether s can be shown to a terminal as it is: graphic
// characters only, no control, format or bidi characters, valid UTF-8.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
}
