package rules

import (
	"path"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/glob"
)

// FromGitConfig finds what a git configuration of the host names inside of the
// project and git therefore executes or obeys: a hooks path, an included file, a
// filter, a file-system monitor that is a script of the project. The patterns
// belong into [Options.Hold]. config is a text that the sandbox could not write;
// file says where it is, for the origin; dir is the real path of the work tree
// and gitDir that of the git directory, to which included files are relative.
//
// It reads generously: a value that looks like a path below dir is taken for one,
// whatever its key, because holding too much does no harm. What a shell would
// make of a command is not known.
func FromGitConfig(config, file, dir, gitDir string) []belljar.Pattern {
	var out []belljar.Pattern
	seen := map[string]bool{}
	add := func(p string, line int, text string) {
		rel, ok := strings.CutPrefix(path.Clean(p), path.Clean(dir)+"/")
		if !ok || seen[rel] || rel == ".git" || strings.HasPrefix(rel, ".git/") || strings.ContainsRune(rel, 0) {
			return
		}
		seen[rel] = true
		g := "/" + escapeGlob(rel)
		if _, err := glob.Compile(g); err != nil {
			return // no path that a file could have, or longer than any in use
		}
		out = append(out, belljar.Pattern{Glob: g, Origin: belljar.Origin{Layer: "git", File: file, Line: line, Text: text}})
	}
	section, line := "", 0
	for text := range strings.Lines(config) {
		line++
		text = strings.TrimSpace(text)
		if s, ok := strings.CutPrefix(text, "["); ok {
			head, rest, _ := strings.Cut(s, "]")
			name, _, _ := strings.Cut(head, " ")
			section, text = strings.ToLower(name), strings.TrimSpace(rest)
		}
		key, value, ok := strings.Cut(text, "=")
		if !ok || strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";") {
			continue
		}
		key = section + "." + strings.ToLower(strings.TrimSpace(key))
		if !runs(key) {
			continue
		}
		for _, w := range words(value) {
			switch {
			case path.IsAbs(w):
				add(w, line, text)
			case section == "include" || section == "includeif":
				add(path.Join(gitDir, w), line, text)
			case strings.ContainsRune(w, '/') || isPathKey(key):
				add(path.Join(dir, w), line, text)
			}
		}
	}
	return out
}

// runs says whether the value of a key may name something that git executes or
// obeys. Remotes, branches and people do not, and hold slashes all the time.
func runs(key string) bool {
	section, name, _ := strings.Cut(key, ".")
	switch section {
	case "branch", "user", "submodule", "extensions", "url", "color", "author", "committer":
		return false
	case "remote":
		return name == "uploadpack" || name == "receivepack" || name == "vcs"
	}
	return true
}

// isPathKey says whether the whole value is a path, so that one without a slash
// is one too.
func isPathKey(key string) bool {
	return key == "core.hookspath" || key == "core.attributesfile"
}

// words splits a value at blanks and at what a shell would split at; quotes fall away.
func words(v string) []string {
	v = strings.NewReplacer(`"`, "", "'", "", "$PWD/", "", "${PWD}/", "").Replace(v)
	return strings.FieldsFunc(v, func(c rune) bool { return strings.ContainsRune(" \t;|&()<>=!`", c) })
}

func escapeGlob(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`*?[]{}\`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
