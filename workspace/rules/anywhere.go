package rules

import (
	"path"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/glob"
)

// anywhere holds, at every depth, what relative paths of the configuration of the
// user and the system mean in a repository that lies there. Which repositories there
// will be is not known at the start: the sandbox may make one, and its host's git
// then executes .githooks/pre-commit in it because the user's configuration says so.
//
// Of a folder of hooks only the names of hooks are held, so that a project may have
// any number of ordinary folders called hooks.
func (s *scan) anywhere() {
	seen := map[string]bool{}
	for _, c := range s.globals {
		s.anywhereIn(c, 0, seen)
	}
}

func (s *scan) anywhereIn(file string, depth int, seen map[string]bool) {
	if seen[file] || depth > maxIncludes {
		return
	}
	seen[file] = true
	for _, t := range s.settings(file) {
		o := belljar.Origin{Layer: "git", File: file, Line: t.line, Text: t.text}
		switch {
		case t.value == "" || !t.runs():
		case t.isInclude():
			s.anywhereIn(path.Clean(pathValue(t.value, path.Dir(file), s.home)), depth+1, seen)
		case t.name == "hookspath":
			if rel, ok := relative(t.value); ok {
				for _, h := range hookNames {
					s.addAnywhere(path.Join(rel, h), o)
				}
			}
		case t.isPath():
			if rel, ok := relative(t.value); ok {
				s.addAnywhere(rel, o)
			}
		default:
			s.wordsAnywhere(t, o)
		}
	}
}

// wordsAnywhere holds the words of a command that are relative paths. Those of an
// alias have to begin with a dot: origin/main is no file.
func (s *scan) wordsAnywhere(t setting, o belljar.Origin) {
	if !t.isCommand() {
		return
	}
	for _, w := range words(t.value, s.home) {
		if s.words++; s.words > maxWords {
			s.note("git's configuration is too long, not all that it names is held")
			return
		}
		if t.section == "alias" && !strings.HasPrefix(w, "./") || !strings.Contains(w, "/") || strings.Contains(w, "://") {
			continue
		}
		if rel, ok := relative(w); ok {
			s.addAnywhere(rel, o)
		}
	}
}

// relative is a relative path without what leads upwards: from which folder it
// would be followed is not known.
func relative(v string) (string, bool) {
	v = strings.TrimPrefix(v, ":(optional)")
	if path.IsAbs(v) || strings.HasPrefix(v, "~") || strings.HasPrefix(v, "-") || strings.HasPrefix(v, "%(") {
		return "", false
	}
	v = strings.TrimPrefix(path.Clean("/"+v), "/")
	return v, v != ".git" && !strings.HasPrefix(v, ".git/")
}

// addAnywhere holds a path below every folder.
func (s *scan) addAnywhere(rel string, o belljar.Origin) {
	g := "**/" + escapeGlob(rel)
	if rel == "" || s.seen[g] {
		return
	}
	s.seen[g] = true
	if _, err := glob.Compile(g); err != nil {
		return
	}
	if len(s.found.Hold) >= maxPatterns {
		s.note("git's configuration names too many files of the project, not all are held")
		return
	}
	s.found.Hold = append(s.found.Hold, belljar.Pattern{Glob: g, Origin: o})
}
