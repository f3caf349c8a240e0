package policy

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
)

// YAML is the merged policy as a policy file, every value with its origin in a
// comment. Presets and defaults are written out; what only presets and defaults can
// say stands in comments. Loaded as a user's file it means the same again.
func (p *Policy) YAML() ([]byte, error) {
	w := &yamlWriter{}
	s := p.state
	w.line(0, "version: 1", "")
	for _, u := range p.Presets() {
		w.line(0, "# preset "+u.Name, asComment(u.Origin))
	}
	w.line(0, "tier: "+s.tier.value, asComment(p.TierOrigin()))
	w.workspace(s)
	w.files(s)
	w.network(s)
	w.git(s)
	w.llm(s)
	w.line(0, "limits:", "")
	for _, n := range limitNames() {
		w.line(1, n+": "+limitKindOf(n).format(s.limits[n].value), asComment(s.limits[n].origin()))
	}
	w.env(s)
	w.credentials(s)
	w.setup(s)
	w.commands(s)
	if s.otlp != nil {
		w.line(0, keyOTLP+": "+s.otlp.value.text(), asComment(s.otlp.origin()))
	}
	if s.records != nil {
		w.line(0, keyRecords+": "+formatSize(s.records.value), asComment(s.records.origin()))
	}
	if s.notify != nil {
		w.line(0, keyNotify+": "+s.notify.value.text(), asComment(s.notify.origin()))
	}
	for _, h := range p.Home() {
		w.line(0, "# home: "+h.Path, asComment(h.Origin))
	}
	for _, i := range s.sessions {
		w.line(0, "# sessions: "+i.value, asComment(i.origin()))
	}
	for _, c := range p.cuts {
		w.line(0, "# cut by the ceiling: "+printable(c.What), asComment(c.By))
	}
	return w.Bytes(), nil
}

type yamlWriter struct{ bytes.Buffer }

// line writes one line; the comment may be empty.
func (w *yamlWriter) line(depth int, text, comment string) {
	w.WriteString(strings.Repeat("  ", depth) + text)
	if comment != "" {
		w.WriteString("  # " + comment)
	}
	w.WriteByte('\n')
}

// asComment is an origin in a few words.
func asComment(o belljar.Origin) string {
	s := o.Layer
	if o.File != "" {
		s += " " + printable(o.File)
	}
	if o.Line > 0 {
		s += ":" + strconv.Itoa(o.Line)
	}
	return s
}

// quote is a word in double quotes, with the escapes that YAML and JSON share.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case printable(string(r)) == string(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (w *yamlWriter) workspace(s *state) {
	mode, origin := "mode: "+string(s.mode.value), asComment(s.mode.origin())
	chosen := s.mode.src.layer != layerDefault
	if !chosen {
		w.line(0, "# workspace: {"+mode+"}", origin)
	}
	if !chosen && len(s.landing) == 0 {
		return
	}
	w.line(0, "workspace:", "")
	if chosen {
		w.line(1, mode, origin)
	}
	if len(s.landing) > 0 {
		w.list("pass", s.landing, quote)
	}
}

func (w *yamlWriter) files(s *state) {
	w.line(0, "files:", "")
	w.list("read", s.read, quote)
	w.list("write", s.write, quote)
	w.list("hide", s.hide, quote)
	w.list("hold", s.hold, quote)
}

// list writes a list of words; an empty one is written as [].
func (w *yamlWriter) list(key string, l []item[string], text func(string) string) {
	var own []item[string]
	for _, i := range l {
		if i.src.layer != layerDefault {
			own = append(own, i)
		}
	}
	if len(own) == 0 {
		w.line(1, key+": []", "")
	} else {
		w.line(1, key+":", "")
	}
	for _, i := range l {
		if i.src.layer == layerDefault {
			w.line(2, "# - "+text(i.value), layerDefault)
			continue
		}
		w.line(2, "- "+text(i.value), asComment(i.origin()))
	}
}

func (w *yamlWriter) llm(s *state) {
	if len(s.llm) == 0 {
		return
	}
	w.line(0, keyLLM+":", "")
	for _, i := range s.llm {
		w.line(1, "- "+llmText(i.value), asComment(i.origin()))
	}
}

func (w *yamlWriter) network(s *state) {
	w.line(0, "network:", "")
	w.list("registries", s.registries, func(v string) string { return v })
	w.rules(s.rules)
	if len(s.publish) == 0 {
		w.line(1, "publish: []", "")
		return
	}
	w.line(1, "publish:", "")
	for _, i := range s.publish {
		w.line(2, "- "+strconv.Itoa(int(i.value)), asComment(i.origin()))
	}
}

// rules writes a list of rules; an empty one is written as [].
func (w *yamlWriter) rules(l []item[belljar.NetRule]) {
	if len(l) == 0 {
		w.line(1, "allow: []", "")
		return
	}
	w.line(1, "allow:", "")
	for _, i := range l {
		text := ruleText(i.value)
		if !strings.HasPrefix(text, "{") {
			text = quote(text)
		}
		w.line(2, "- "+text, asComment(i.origin()))
	}
}

func (w *yamlWriter) git(s *state) {
	signs := s.sign.value != SignNone || asked(s.sign.src)
	if len(s.fetch)+len(s.push) == 0 && !signs {
		return
	}
	w.line(0, "git:", "")
	if signs {
		w.line(1, "sign: "+s.sign.value, asComment(s.sign.origin()))
	}
	for _, g := range []gitRule{{}, {push: true}} {
		if l := *g.of(s); len(l) > 0 {
			w.line(1, strings.TrimPrefix(g.key(), "git.")+":", "")
			for _, i := range l {
				w.line(2, "- "+g.text(i.value), asComment(i.origin()))
			}
		}
	}
}

func (w *yamlWriter) credentials(s *state) {
	if len(s.credentials) == 0 {
		return
	}
	head := "credentials:"
	for _, i := range s.credentials {
		if len(i.value.Hosts) > 0 {
			if head != "" {
				w.line(0, head, "")
				head = ""
			}
			w.line(1, "- "+i.value.text(), asComment(i.origin()))
		}
	}
	for _, i := range s.credentials {
		if len(i.value.withheld) > 0 {
			w.line(0, "# "+i.value.withheldText(), asComment(i.value.by.origin()))
		}
	}
}

func (w *yamlWriter) env(s *state) {
	var own []item[string]
	var byDefault []string
	for _, i := range s.pass {
		if i.src.layer == layerDefault {
			byDefault = append(byDefault, i.value)
		} else {
			own = append(own, i)
		}
	}
	w.line(0, "# env.pass by default: "+strings.Join(byDefault, " "), "")
	w.line(0, "# passed where their place is visible inside: "+strings.Join(ToolVariables(), " "), "")
	w.line(0, "# passed with the certificates that they name: "+strings.Join(CertVariables(), " "), "")
	var shown []string
	for _, n := range s.setNames() {
		if v := s.shownSetting(n); v.Value == NotShown {
			w.line(0, "# env.set: "+n+": "+NotShown, asComment(v.Origin))
		} else {
			shown = append(shown, n)
		}
	}
	if len(own) == 0 && len(shown) == 0 {
		return
	}
	w.line(0, "env:", "")
	if len(own) > 0 {
		w.list("pass", own, func(v string) string { return v })
	}
	if len(shown) == 0 {
		return
	}
	w.line(1, "set:", "")
	for _, n := range shown {
		v := s.shownSetting(n)
		w.line(2, n+": "+quote(v.Value), asComment(v.Origin))
	}
}
