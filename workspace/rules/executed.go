package rules

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// The bounds of one script that is read.
const (
	maxScript = 256 << 10 // bytes
	maxLine   = 80        // characters of a line in an origin
)

// runners are followed by the file that they execute, also when it has no slash.
var runners = []string{
	"source", ".", "source_env", "source_env_if_exists", "source_up", "dotenv", "dotenv_if_exists", "exec", "env",
	"sh", "bash", "dash", "zsh", "ksh", "fish", "python", "python3", "node", "deno", "bun", "ruby", "perl", "php", "lua", "make", "just",
}

// executable are the endings that interpreters add to the name of a file by themselves.
var executable = []string{".js", ".cjs", ".mjs", ".ts", ".py", ".rb", ".sh", "/index.js", "/__init__.py"}

// scripts holds what the hooks of the host in a folder name. They exist already, are
// executed by the host's git, and hand on to files of the project.
func (s *scan) scripts(hooks, base string) {
	_ = s.entries(hooks, func(e fs.DirEntry) bool {
		if !e.IsDir() && isHookName(strings.ToLower(e.Name())) {
			s.script(filepath.Join(hooks, e.Name()), base, "git")
		}
		return true
	})
}

// script holds the files of the project that the text of file names, as they would be
// found from base: those with a slash in the name, what follows a [runners], and what
// python -m would import. A word is a guess: what it leads to waits instead of landing.
func (s *scan) script(file, base, layer string) {
	text, err := head(file)
	if err != nil || len(text) > maxScript || strings.ContainsRune(text, 0) {
		return
	}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		o := belljar.Origin{Layer: layer, File: file, Line: n + 1, Text: strings.ToValidUTF8(line[:min(len(line), maxLine)], "")}
		if !s.line(line, base, o) {
			s.note("what the project's hooks name is too much, not all of it is held")
			return
		}
	}
}

// line holds what one line of a script names, and says whether the bound was kept.
func (s *scan) line(line, base string, o belljar.Origin) bool {
	if s.home != "" {
		line = strings.NewReplacer("$HOME/", s.home+"/", "${HOME}/", s.home+"/").Replace(line)
	}
	s.imports(line, base, o)
	tokens := shellWords(unknownPrefix().ReplaceAllString(strings.ReplaceAll(line, `"`, ""), "./"))
	for i, w := range tokens {
		if s.words++; s.words > maxWords {
			return false
		}
		prev := ""
		if i > 0 {
			prev = path.Base(tokens[i-1])
		}
		switch {
		case prev == "use" && w == "flake":
			s.hold(path.Join(base, "flake.nix"), o)
			s.hold(path.Join(base, "flake.lock"), o)
		case prev == "use" && w == "nix":
			s.hold(path.Join(base, "shell.nix"), o)
			s.hold(path.Join(base, "default.nix"), o)
		case strings.Contains(w, "/"), slices.Contains(runners, prev):
			s.file(w, base, o)
		}
	}
	return true
}

// file holds the regular file that a word leads to from base or, without what leads
// upwards or was not known, from the top of the project.
func (s *scan) file(w, base string, o belljar.Origin) {
	for _, p := range []string{pathValue(w, base, s.home), path.Join(base, path.Clean("/"+w)), path.Join(s.dir, path.Clean("/"+w))} {
		for _, ending := range append([]string{""}, executable...) {
			if i, err := os.Stat(p + ending); err == nil && i.Mode().IsRegular() {
				s.hold(p+ending, o)
				return
			}
		}
	}
}

// imports holds the module that python -m looks for first in the folder in which it is
// started. What that module imports is looked for there as well, and not held.
func (s *scan) imports(command, base string, o belljar.Origin) {
	if !strings.Contains(strings.ToLower(command), "py") {
		return
	}
	tokens := shellWords(command)
	for i, w := range tokens {
		m, glued := strings.CutPrefix(w, "-m")
		if !glued {
			continue
		}
		if m == "" && i+1 < len(tokens) {
			m = tokens[i+1]
		}
		top, _, _ := strings.Cut(m, ".")
		if top == "" || strings.ContainsAny(top, "/$*-") {
			continue
		}
		s.hold(path.Join(base, top), o)
		s.hold(path.Join(base, top+".py"), o)
	}
}
