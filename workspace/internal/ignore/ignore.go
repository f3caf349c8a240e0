// Package ignore says which names a .gitignore leaves out, as git does (gitignore(5)).
//
//	rules := append(ignore.Parse("", exclude), ignore.Parse("sub", text)...)
//	ignore.File(rules, "sub/x.log")
//
// The text is somebody hostile's: the work of a match is the product of the lengths of a
// rule and of a path.
package ignore

import (
	"path"
	"regexp"
	"strings"
)

const (
	maxRules = 10_000 // of one file
	maxRule  = 4096   // bytes of a line; longer ones are no rules
)

// A Rule is one line of a .gitignore.
type Rule struct {
	base    string // the folder that it is about; "" is the root
	parts   []part
	not     bool // it takes an earlier one back
	dirOnly bool
}

// A part is what a rule says between two slashes.
type part struct {
	text string
	re   *regexp.Regexp // of one with character classes
	none bool           // no name matches it
}

// Parse reads a .gitignore that lies in the folder base, "" for the root.
func Parse(base, text string) (out []Rule) {
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		line = trimSpaces(strings.TrimRight(line, "\r\n"))
		if line == "" || line[0] == '#' || len(line) > maxRule || len(out) == maxRules {
			continue
		}
		r := Rule{base: base}
		if line, r.not = strings.CutPrefix(line, "!"); r.not && line == "" {
			continue
		}
		line, r.dirOnly = strings.CutSuffix(line, "/")
		if !strings.Contains(line, "/") {
			r.parts = append(r.parts, part{text: "**"})
		}
		for p := range strings.SplitSeq(strings.TrimPrefix(line, "/"), "/") {
			r.parts = append(r.parts, newPart(p))
		}
		out = append(out, r)
	}
	return out
}

// trimSpaces cuts the spaces at the end, up to one that a backslash keeps.
func trimSpaces(line string) string {
	short := strings.TrimRight(line, " ")
	if slashes := len(short) - len(strings.TrimRight(short, `\`)); slashes%2 == 1 && len(line) > len(short) {
		return line[:len(short)+1]
	}
	return short
}

// File says whether the rules, later ones first, leave a file out, or a folder above it.
func File(rules []Rule, file string) bool {
	for i, c := range file {
		if c == '/' && Name(rules, file[:i], true) {
			return true
		}
	}
	return Name(rules, file, false)
}

// Name says whether the last rule that is about the very name leaves it out.
func Name(rules []Rule, name string, dir bool) bool {
	for i := len(rules) - 1; i >= 0; i-- {
		if rules[i].matches(name, dir) {
			return !rules[i].not
		}
	}
	return false
}

// matches says whether the rule is about full, a path below the root.
func (r *Rule) matches(full string, dir bool) bool {
	if r.dirOnly && !dir {
		return false
	}
	if r.base != "" {
		var below bool
		if full, below = strings.CutPrefix(full, r.base+"/"); !below {
			return false
		}
	}
	return matchParts(r.parts, strings.Split(full, "/"))
}

// matchParts compares a rule with a path, part by part; "**" is any number of names.
func matchParts(rule []part, names []string) bool {
	can := make([]bool, len(names)+1) // can[i]: the rule so far matches the first i names
	can[0] = true
	for n, p := range rule {
		next := make([]bool, len(names)+1)
		if p.text == "**" {
			open := false
			for i := range next {
				open = open || can[i]
				next[i] = open && (n < len(rule)-1 || i > 0)
			}
		} else {
			for i, name := range names {
				next[i+1] = can[i] && p.matches(name)
			}
		}
		can = next
	}
	return can[len(names)]
}

func (p *part) matches(name string) bool {
	switch {
	case p.none:
		return false
	case p.re != nil:
		return p.re.MatchString(name)
	}
	ok, err := path.Match(p.text, name)
	return err == nil && ok
}
