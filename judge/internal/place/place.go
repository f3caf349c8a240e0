// Package place says what a path is, by its name alone: a secret, a file that controls
// what programs do later, a device.
//
// # Limitations
//
// Paths are compared as text. Links, mounts and case-insensitive file systems are not
// looked at; the caller resolves the links that it knows of.
package place

import (
	"path"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// An Answer says whether something holds for a path whose text is only partly known.
type Answer uint8

// Answers.
const (
	No Answer = iota
	Maybe
	Yes
)

// Clean makes an absolute path of p, seen from dir, and maps the names that /proc has
// for it. Unknown text stays where it stands.
func Clean(p, dir string) string {
	if !strings.HasPrefix(p, "/") {
		p = dir + "/" + p
	}
	p = clean(p)
	for range 8 {
		next, ok := throughProc(p, dir)
		if !ok {
			return p
		}
		p = clean(next)
	}
	return p
}

// clean is path.Clean, except that .. does not remove a part that may be several.
func clean(p string) string {
	if !strings.ContainsAny(p, "\x03\x05\x06") {
		return path.Clean(p)
	}
	var out []string
	for part := range strings.SplitSeq(p, "/") {
		switch {
		case part == "" || part == ".":
		case part == ".." && len(out) > 0 && !strings.ContainsAny(out[len(out)-1], "\x03\x05\x06") && out[len(out)-1] != "..":
			out = out[:len(out)-1]
		case part == ".." && len(out) == 0:
		default:
			out = append(out, part)
		}
	}
	return "/" + strings.Join(out, "/")
}

// throughProc maps /proc/PID/root and /proc/PID/cwd.
func throughProc(p, dir string) (string, bool) {
	rest, ok := strings.CutPrefix(p, "/proc/")
	if !ok {
		return "", false
	}
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) >= 3 && parts[1] == "task" {
		if _, below, ok := strings.Cut(parts[2], "/"); ok {
			return "/proc/" + parts[0] + "/" + below, true
		}
	}
	if len(parts) < 2 {
		return "", false
	}
	below := ""
	if len(parts) == 3 {
		below = "/" + parts[2]
	}
	switch parts[1] {
	case "root":
		return "/" + below, true
	case "cwd":
		if parts[0] != "self" && parts[0] != "thread-self" {
			return "/\x03" + below, true // the folder of another process
		}
		return dir + below, true
	}
	return "", false
}

// Within says whether p is dir or lies below it.
func Within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// A Set is a list of places.
type Set struct{ entries []entry }

type entry struct {
	parts    []string
	anchored bool // from the root; else at any depth
	below    bool // everything below, too
}

// NewSet compiles patterns: "~/x" below home, "/x" from the root, others at any depth;
// "/**" at the end takes what is below as well.
func NewSet(home string, patterns []string) Set {
	var s Set
	for _, p := range patterns {
		var e entry
		p, e.below = strings.CutSuffix(p, "/**")
		if rest, ok := strings.CutPrefix(p, "~/"); ok {
			p = home + "/" + rest
		}
		e.anchored = strings.HasPrefix(p, "/")
		e.parts = strings.Split(strings.ToLower(strings.Trim(p, "/")), "/")
		s.entries = append(s.entries, e)
	}
	return s
}

// Has says whether the absolute clean path p is in the set.
func (s Set) Has(p string) Answer {
	parts := strings.Split(strings.ToLower(strings.Trim(p, "/")), "/")
	best := No
	for _, e := range s.entries {
		if best = max(best, e.has(parts)); best == Yes {
			return Yes
		}
	}
	if best == No && shell.Unknown(p) {
		return Maybe
	}
	return best
}

// Above says whether something of the set lies below p.
func (s Set) Above(p string) bool {
	for _, e := range s.entries {
		if e.anchored && Within("/"+strings.Join(e.parts, "/"), strings.ToLower(p)) {
			return true
		}
	}
	return false
}

func (e entry) has(parts []string) Answer {
	best := No
	last := len(parts) - len(e.parts)
	if e.anchored {
		last = min(last, 0)
	}
	for i := 0; i <= last; i++ {
		if !e.below && i+len(e.parts) != len(parts) {
			continue
		}
		a := Yes
		for j, p := range e.parts {
			a = min(a, part(p, parts[i+j]))
			if a == No {
				break
			}
		}
		best = max(best, a)
	}
	return best
}

// part compares one part of a pattern with one part of a path.
func part(pattern, p string) Answer {
	if covers(pattern, p) {
		return Yes
	}
	if shell.Static(p) || !meets(pattern, p, true) {
		return No
	}
	return Maybe
}

// covers says whether every text that p can be matches the pattern.
func covers(pattern, p string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == p
	}
	if !strings.HasPrefix(p, first) {
		return false
	}
	for i := len(first); i <= len(p); i++ {
		if covers(rest, p[i:]) {
			return true
		}
	}
	return false
}

// meets says whether some text that p can be matches the pattern.
func meets(pattern, p string, start bool) bool {
	for {
		if p == "" {
			return strings.Trim(pattern, "*") == ""
		}
		switch p[0] {
		case shell.Star, shell.Name, shell.File, shell.Any, shell.Net:
			if start && (p[0] == shell.Star || p[0] == shell.Name) && strings.HasPrefix(pattern, ".") {
				return false // neither begins with a dot
			}
			for i := 0; i <= len(pattern); i++ {
				if meets(pattern[i:], p[1:], false) {
					return true
				}
			}
			return false
		}
		if pattern == "" {
			return false
		}
		if pattern[0] == '*' {
			return meets(pattern[1:], p, false) || meets(pattern, p[1:], false)
		}
		if p[0] != shell.One && p[0] != pattern[0] {
			return false
		}
		pattern, p, start = pattern[1:], p[1:], false
	}
}

// Bounded says whether a path is short and plain enough to be compared.
func Bounded(p string) bool {
	if len(p) > 4096 {
		return false
	}
	n := 0
	for i := range len(p) {
		if p[i] >= shell.Star && p[i] <= shell.Net {
			n++
		}
	}
	return n <= 6
}
