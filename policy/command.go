package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/judge/pattern"
	"github.com/goccy/go-yaml/ast"
)

// A command is a rule of commands.allow, commands.ask or commands.deny. Its examples
// have been checked and are gone.
type command struct{ pattern, reason string }

func (c command) text() string {
	if c.reason == "" {
		return quote(c.pattern)
	}
	return "{pattern: " + quote(c.pattern) + ", reason: " + quote(c.reason) + "}"
}

// commandLists are the keys of rules with their verdicts.
func commandLists() []string { return []string{"allow", "ask", "deny"} }

// maxExamples bounds match and not_match of one rule.
const maxExamples = 32

// commandKeys decodes the mapping commands.
func (d *decoder) commandKeys() map[string]func(pair) {
	known := map[string]func(pair){"context": d.commandContext}
	for i, verdict := range commandLists() {
		known[verdict] = func(p pair) {
			d.doc.commandRules[i] = decodeList(d, p, "commands."+verdict, "rules", d.command)
		}
	}
	return known
}

// command decodes one rule: a pattern, or a mapping with its examples.
func (d *decoder) command(n ast.Node, key string) (command, bool) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return d.commandMapping(n, key)
	}
	s, ok := d.text(n, key)
	if !ok {
		return command{}, false
	}
	_, ok = d.commandPattern(n, key, s)
	return command{pattern: s}, ok
}

func (d *decoder) commandPattern(n ast.Node, key, s string) (pattern.Pattern, bool) {
	p, err := pattern.Parse(s)
	if err != nil {
		d.add(d.at(n), key, "a pattern is a list of words, such as npm run *", "%s", err)
	}
	return p, err == nil
}

func (d *decoder) commandMapping(n ast.Node, key string) (command, bool) {
	var c command
	var p pattern.Pattern
	var at ast.Node
	valid := false
	examples := map[bool][]item[string]{}
	list := func(matches bool) func(pair) {
		return func(q pair) {
			name := map[bool]string{true: "match", false: "not_match"}[matches]
			l := decodeList(d, q, key+"."+name, "lines", d.text)
			if len(l.items) > maxExamples {
				d.add(q.key, key+"."+name, "", "more than %d examples", maxExamples)
				return
			}
			examples[matches] = l.items
		}
	}
	d.fields(n, key, map[string]func(pair){
		"pattern": func(q pair) {
			at = q.value
			s, ok := d.text(q.value, key+".pattern")
			if ok {
				c.pattern = s
				p, valid = d.commandPattern(q.value, key+".pattern", s)
			}
		},
		"reason": func(q pair) {
			s, ok := d.text(q.value, key+".reason")
			if ok && (strings.Contains(s, "\n") || len(s) > 200) {
				d.add(d.at(q.value), key+".reason", "", "longer than one line of 200 bytes")
			}
			c.reason = s
		},
		"match":     list(true),
		"not_match": list(false),
	})
	if at == nil {
		d.add(d.at(n), key, "write pattern: and the words of the command", "a rule without a pattern")
	}
	if !valid {
		return command{}, false
	}
	return c, d.commandExamples(p, examples, key)
}

// commandExamples holds a rule to its examples.
func (d *decoder) commandExamples(p pattern.Pattern, examples map[bool][]item[string], key string) bool {
	good := true
	for want, lines := range examples {
		for _, l := range lines {
			words, err := pattern.Words(l.value)
			switch {
			case err != nil:
				d.add(l.mark, key, "", "%s", err)
			case p.Match(words) && !want:
				d.add(l.mark, key+".not_match", "change the pattern or the example", "the pattern %q matches this line", p.String())
			case !p.Match(words) && want:
				d.add(l.mark, key+".match", "change the pattern or the example", "the pattern %q does not match this line", p.String())
			default:
				continue
			}
			good = false
		}
	}
	return good
}

// commandContext decodes where lines are judged.
func (d *decoder) commandContext(p pair) {
	const key = "commands.context"
	c := &belljar.CommandContext{}
	one := func(name string, into *string) func(pair) {
		return func(q pair) {
			if s, ok := d.place(q.value, key+"."+name); ok {
				*into = s
			}
		}
	}
	several := func(name string, into *[]string) func(pair) {
		return func(q pair) {
			l := decodeList(d, q, key+"."+name, "folders", d.place)
			*into = []string{}
			for _, i := range l.items {
				*into = append(*into, i.value)
			}
		}
	}
	d.fields(p.value, key, map[string]func(pair){
		"dir": one("dir", &c.Dir), "home": one("home", &c.Home),
		"writable": several("writable", &c.Writable), "programs": several("programs", &c.Programs),
	})
	d.doc.commandContext = &item[belljar.CommandContext]{*c, p.key}
}

// place is an absolute path, taken as text: it need not exist.
func (d *decoder) place(n ast.Node, key string) (string, bool) {
	s, ok := d.text(n, key)
	if !ok {
		return "", false
	}
	if !strings.HasPrefix(s, "/") || strings.ContainsAny(s, "\n\t") {
		d.add(d.at(n), key, "write an absolute path", "%q is not absolute", s)
		return "", false
	}
	return path.Clean(s), true
}

// MatchesCommand says whether the pattern of a rule matches one simple command.
func MatchesCommand(text, line string) (bool, error) {
	words, err := pattern.Words(line)
	if err != nil {
		return false, err
	}
	p, err := pattern.Parse(text)
	return err == nil && p.Match(words), nil
}

// WholeProgram is the program that a pattern is about, whatever its arguments; false for one
// that is about some of its commands, or about more than one program.
func WholeProgram(text string) (name string, whole bool) {
	p, err := pattern.Parse(text)
	if err != nil {
		return "", false
	}
	return p.Program()
}

// allowedCommands is commands.allow: a permission, compared by pattern.
func allowedCommands() keyRule {
	covers := func(s *state) func(command) bool {
		return func(c command) bool {
			return slices.ContainsFunc(s.commands[0], func(i item[command]) bool { return i.value.pattern == c.pattern })
		}
	}
	return permission[command]{
		"commands.allow", func(d *document) list[command] { return d.commandRules[0] }, func(s *state) *[]item[command] { return &s.commands[0] },
		command.text, covers,
		func(_ *work, c command, ceiling []item[command]) []command {
			if slices.ContainsFunc(ceiling, func(i item[command]) bool { return i.value.pattern == c.pattern }) {
				return []command{c}
			}
			return nil
		},
	}
}

// strictCommands is commands.ask and commands.deny: every layer adds.
type strictCommands struct{ at int }

func (r strictCommands) merge(s *state, d *document) {
	add(&s.commands[r.at], d.commandRules[r.at].items, command.text)
}

func (r strictCommands) tighten(s, _ *state, d *document, _ *report) { r.merge(s, d) }

func (r strictCommands) limit(s *state, c *document, _ *report, _ func(string, mark)) { r.merge(s, c) }

// commandPlace is commands.context.
type commandPlace struct{}

func (commandPlace) merge(s *state, d *document) {
	if d.commandContext != nil {
		s.commandContext = *d.commandContext
	}
}

func (commandPlace) tighten(s, full *state, d *document, r *report) {
	if d.commandContext == nil {
		return
	}
	want := fmt.Sprint(d.commandContext.value)
	if want != fmt.Sprint(s.commandContext.value) && want != fmt.Sprint(full.commandContext.value) {
		r.add(d.commandContext.mark, "commands.context", "", "says where lines are judged, which the user's policy does not")
	}
}

func (commandPlace) limit(_ *state, c *document, r *report, _ func(string, mark)) {
	if c.commandContext != nil {
		r.add(c.commandContext.mark, "commands.context", "", "a ceiling only limits: it says nothing of where lines are judged")
	}
}

// Commands are the rules for commands, and where lines are judged; what the policy
// does not say of the latter is empty.
func (p *Policy) Commands() belljar.Commands {
	c := belljar.Commands{Rules: []belljar.CommandRule{}, Context: p.state.commandContext.value}
	c.Context.Writable, c.Context.Programs = slices.Clone(c.Context.Writable), slices.Clone(c.Context.Programs)
	for i, verdict := range commandLists() {
		for _, r := range p.state.commands[i] {
			c.Rules = append(c.Rules, belljar.CommandRule{Verdict: verdict, Pattern: r.value.pattern, Reason: r.value.reason, Origin: r.origin()})
		}
	}
	return c
}

// commandTexts are the rules without origins, in a fixed order, for the hash.
func (s *state) commandTexts() []string {
	var l []string
	for i, verdict := range commandLists() {
		for _, r := range s.commands[i] {
			l = append(l, verdict+" "+r.value.text())
		}
	}
	slices.Sort(l)
	if x := s.commandContext.value; x.Dir+x.Home != "" || x.Writable != nil || x.Programs != nil {
		l = append(l, fmt.Sprintf("%q", []any{x.Dir, x.Home, x.Writable, x.Programs}))
	}
	return l
}

func (w *yamlWriter) commands(s *state) {
	if len(s.commandTexts()) == 0 {
		return
	}
	w.line(0, "commands:", "")
	if x := s.commandContext; x.src != nil {
		var parts []string
		for _, v := range []struct{ name, text string }{{"dir", x.value.Dir}, {"home", x.value.Home}} {
			if v.text != "" {
				parts = append(parts, v.name+": "+quote(v.text))
			}
		}
		for _, v := range []struct {
			name string
			list []string
		}{{"writable", x.value.Writable}, {"programs", x.value.Programs}} {
			if v.list == nil {
				continue
			}
			var quoted []string
			for _, t := range v.list {
				quoted = append(quoted, quote(t))
			}
			parts = append(parts, v.name+": ["+strings.Join(quoted, ", ")+"]")
		}
		w.line(1, "context: {"+strings.Join(parts, ", ")+"}", asComment(x.origin()))
	}
	for i, verdict := range commandLists() {
		if len(s.commands[i]) == 0 {
			continue
		}
		w.line(1, verdict+":", "")
		for _, r := range s.commands[i] {
			w.line(2, "- "+r.value.text(), asComment(r.origin()))
		}
	}
}

// diffCommands compares rules for commands by their text.
func diffCommands(a, b *state) []Change {
	var l []Change
	for i, verdict := range commandLists() {
		words := func(s *state) []item[string] {
			out := make([]item[string], len(s.commands[i]))
			for k, r := range s.commands[i] {
				out[k] = item[string]{r.value.pattern, r.mark}
			}
			return out
		}
		l = append(l, diffSets("commands."+verdict, words(a), words(b), verdict == "allow")...)
	}
	return l
}
