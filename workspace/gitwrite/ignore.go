package gitwrite

import "strings"

// A pattern is one line of a .gitignore.
type pattern struct {
	at       string // folder of the file, "" for the top
	parts    []string
	negated  bool
	onlyDirs bool
	anchored bool
}

// maxIgnore bounds the lines of one file.
const maxIgnore = 10_000

func parseIgnore(at, text string) (out []pattern) {
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		line = trimSpaces(strings.TrimRight(line, "\r\n"))
		if line == "" || line[0] == '#' || len(out) == maxIgnore {
			continue
		}
		p := pattern{at: at}
		if line, p.negated = strings.CutPrefix(line, "!"); p.negated && line == "" {
			continue
		}
		line, p.onlyDirs = strings.CutSuffix(line, "/")
		p.anchored = strings.Contains(line, "/")
		p.parts = strings.Split(strings.TrimPrefix(line, "/"), "/")
		out = append(out, p)
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

// ignored says whether the patterns, later ones first, leave the file rel out, or a
// folder above it.
func ignored(ps []pattern, rel string) bool {
	for i, c := range rel {
		if c == '/' && decided(ps, rel[:i], true) {
			return true
		}
	}
	return decided(ps, rel, false)
}

func decided(ps []pattern, rel string, dir bool) bool {
	for i := len(ps) - 1; i >= 0; i-- {
		if ps[i].matches(rel, dir) {
			return !ps[i].negated
		}
	}
	return false
}

func (p pattern) matches(rel string, dir bool) bool {
	if p.onlyDirs && !dir {
		return false
	}
	if p.at != "" {
		var below bool
		if rel, below = strings.CutPrefix(rel, p.at+"/"); !below {
			return false
		}
	}
	names := strings.Split(rel, "/")
	if !p.anchored {
		names = names[len(names)-1:]
	}
	return wild(p.parts, names, &steps{left: 10_000})
}

// steps bounds the work of one match.
type steps struct{ left int }

func wild(parts, names []string, s *steps) bool {
	if s.left--; s.left < 0 {
		return false
	}
	if len(parts) == 0 {
		return len(names) == 0
	}
	if parts[0] == "**" {
		if len(parts) == 1 {
			return len(names) > 0
		}
		for i := range names {
			if wild(parts[1:], names[i:], s) {
				return true
			}
		}
		return false
	}
	if len(names) == 0 {
		return false
	}
	return matchName(parts[0], names[0]) && wild(parts[1:], names[1:], s)
}
