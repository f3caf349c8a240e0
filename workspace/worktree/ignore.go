package worktree

import (
	"path"
	"strings"
)

// The bounds of what is read of .gitignore.
const (
	maxIgnore     = 1 << 20
	maxIgnoreRule = 4096
)

// An ignoreRule is one line of a .gitignore.
type ignoreRule struct {
	base    string // the folder that it is about; "" is the root
	parts   []string
	not     bool // it takes an earlier one back
	dirOnly bool
}

// parseIgnore reads a .gitignore that lies in base.
func parseIgnore(base, text string) []ignoreRule {
	var out []ignoreRule
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
			line = line[:len(line)-1]
		}
		if line == "" || line[0] == '#' || len(line) > maxIgnoreRule {
			continue
		}
		r := ignoreRule{base: base}
		if r.not = line[0] == '!'; r.not {
			line = line[1:]
		}
		if r.dirOnly = strings.HasSuffix(line, "/"); r.dirOnly {
			line = strings.TrimSuffix(line, "/")
		}
		anchored := strings.Contains(line, "/")
		r.parts = strings.Split(strings.ReplaceAll(strings.TrimPrefix(line, "/"), "[!", "[^"), "/")
		if !anchored {
			r.parts = append([]string{"**"}, r.parts...)
		}
		out = append(out, r)
	}
	return out
}

// matches says whether the rule is about full, a path below the root.
func (r *ignoreRule) matches(full string, dir bool) bool {
	if r.dirOnly && !dir {
		return false
	}
	if r.base != "" {
		rest, ok := strings.CutPrefix(full, r.base+"/")
		if !ok {
			return false
		}
		full = rest
	}
	return matchParts(r.parts, strings.Split(full, "/"))
}

// matchParts compares a pattern with a path, part by part; "**" is any number of parts.
// Its work is the product of both lengths.
func matchParts(pat, parts []string) bool {
	can := make([]bool, len(parts)+1) // can[i]: the pattern so far matches the first i parts
	can[0] = true
	for n, p := range pat {
		next := make([]bool, len(parts)+1)
		if p == "**" {
			open := false
			for i := range next {
				open = open || can[i]
				next[i] = open && (n < len(pat)-1 || i > 0)
			}
		} else {
			for i, part := range parts {
				if !can[i] {
					continue
				}
				ok, err := path.Match(p, part)
				next[i+1] = ok && err == nil
			}
		}
		can = next
	}
	return can[len(parts)]
}

// ignored says whether the last rule that is about full ignores it.
func ignored(list []ignoreRule, full string, dir bool) bool {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].matches(full, dir) {
			return !list[i].not
		}
	}
	return false
}
