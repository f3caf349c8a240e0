package rules

import (
	"os"
	"path"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/glob"
)

// A source is a configuration as it applies to one work tree.
type source struct {
	file   string
	base   string // to which relative paths belong
	gitDir string
	shared bool // of the user or the system, not of this repository
	depth  int  // of includes
}

// setting holds what a setting names inside of the project.
func (s *scan) setting(t setting, src source) {
	o := belljar.Origin{Layer: "git", File: src.file, Line: t.line, Text: t.text}
	switch {
	case t.value == "" || !t.runs():
	case s.words >= maxWords:
		s.note("git's configuration is too long, not all that it names is held")
	case t.isInclude():
		s.words++
		base := path.Dir(src.file)
		if !path.IsAbs(src.file) {
			base = src.gitDir
		}
		p := pathValue(t.value, base, s.home)
		s.hold(p, o)
		s.include(p, src)
	case t.isPath():
		s.words++
		p := pathValue(t.value, src.base, s.home)
		if t.name == "hookspath" {
			s.hooksPath(p, src, o)
			return
		}
		s.hold(p, o)
	default:
		if p := pathValue(t.value, src.base, s.home); exists(p) && strings.Contains(t.value, "/") {
			s.hold(p, o)
		}
		cmd := t.isCommand()
		if cmd {
			s.imports(t.value, src.base, o)
		}
		for _, w := range words(t.value, s.home) {
			if s.words++; s.words > maxWords {
				s.note("git's configuration is too long, not all that it names is held")
				return
			}
			s.word(w, cmd, src, o)
		}
	}
}

// word holds what one word of a value names.
func (s *scan) word(w string, cmd bool, src source, o belljar.Origin) {
	p := pathValue(w, src.base, s.home)
	switch {
	case strings.HasPrefix(w, "~/") || path.IsAbs(w):
		if s.hold(p, o) || !cmd || exists(p) {
			return
		}
	case strings.Contains(w, "/"):
		if s.hold(p, o); !cmd || exists(p) {
			return
		}
		s.file(w, src.base, o) // ./x may mean ./x.js
	default:
		// The word of a shared configuration that names a folder is a mere argument
		// too often: npm test, make build.
		if i, err := os.Stat(p); cmd && err == nil && (!src.shared || !i.IsDir()) {
			s.hold(p, o)
		}
		return
	}
	// It names nothing as it is: perhaps it does from the top of the project.
	tail := strings.TrimPrefix(path.Clean("/"+w), "/")
	for n := 0; n < 40; n++ {
		for _, base := range []string{src.base, s.dir} {
			q := path.Join(base, tail)
			if i, err := os.Stat(q); err == nil && q != path.Clean(base) && (!i.IsDir() || strings.Contains(tail, "/")) {
				s.hold(q, o)
				return
			}
		}
		_, rest, ok := strings.Cut(tail, "/")
		if !ok {
			return
		}
		tail = rest
	}
}

// hooksPath holds a folder of hooks; where that is the work tree itself or above
// it, the names of hooks in it.
func (s *scan) hooksPath(p string, src source, o belljar.Origin) {
	s.scripts(p, src.base)
	for _, q := range s.trail(p) {
		if q != s.dir && !strings.HasPrefix(path.Clean(src.base)+"/", q+"/") {
			s.add(q, o)
			continue
		}
		for _, h := range hookNames {
			s.add(path.Join(q, h), o)
		}
	}
}

var hookNames = []string{
	"applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg", "commit-msg",
	"post-commit", "pre-rebase", "post-checkout", "post-merge", "pre-push", "pre-receive", "update", "proc-receive", "post-receive",
	"post-update", "reference-transaction", "push-to-checkout", "pre-auto-gc", "post-rewrite", "sendemail-validate",
	"fsmonitor-watchman", "p4-changelist", "p4-prepare-changelist", "p4-post-changelist", "p4-pre-submit", "post-index-change",
}

// hold holds a path and every place that links on its way lead to, as far as they
// lie in the project, and says whether one does.
func (s *scan) hold(p string, o belljar.Origin) bool {
	in := false
	for _, q := range s.trail(p) {
		in = s.add(q, o) || in
	}
	return in
}

// add holds a clean path, and says whether it is in the project.
func (s *scan) add(p string, o belljar.Origin) bool {
	rel, ok := strings.CutPrefix(p, s.dir+"/")
	if s.dir == "/" {
		rel, ok = strings.CutPrefix(p, "/")
	}
	if !ok || rel == "" || strings.ContainsRune(rel, 0) {
		return p == s.dir
	}
	g := "/" + escapeGlob(rel)
	if rel == ".git" || strings.HasPrefix(rel, ".git/") || s.seen[g] {
		return true
	}
	s.seen[g] = true
	if _, err := glob.Compile(g); err != nil {
		return true // no path that a file could have, or longer than any in use
	}
	if len(s.found.Hold) >= maxPatterns {
		s.note("git's configuration names too many files of the project, not all are held")
		return true
	}
	s.found.Hold = append(s.found.Hold, belljar.Pattern{Glob: g, Origin: o})
	return true
}

// trail is the path itself, clean, and the paths that it becomes when the links
// on its way are followed one after the other. What does not exist stays as it is.
func (s *scan) trail(p string) []string {
	out := []string{path.Clean(p)}
	cur, rest := "/", strings.Split(p, "/")
	if tail, ok := strings.CutPrefix(p, s.dir+"/"); ok {
		cur, rest = s.dir, strings.Split(tail, "/") // which is real
	}
	links := 0
	for len(rest) > 0 {
		c := rest[0]
		rest = rest[1:]
		if c == "" || c == "." {
			continue
		}
		if c == ".." {
			cur = path.Dir(cur)
			continue
		}
		next := path.Join(cur, c)
		i, err := os.Lstat(next)
		if err != nil {
			cur = path.Join(append([]string{next}, rest...)...)
			break
		}
		if i.Mode()&os.ModeSymlink == 0 {
			cur = next
			continue
		}
		text, err := os.Readlink(next)
		if links++; err != nil || links > 40 {
			break
		}
		if path.IsAbs(text) {
			cur = "/"
		}
		rest = append(strings.Split(text, "/"), rest...)
		out = append(out, path.Join(append([]string{cur}, rest...)...))
	}
	if cur != out[len(out)-1] {
		out = append(out, cur)
	}
	return out
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}
