package plan

import (
	"path/filepath"
	"strings"
)

// maxConfig bounds settings files that are read whole.
const maxConfig = 256 << 10

// maxIncludes bounds how many files one git configuration may include.
const maxIncludes = 16

// A gitConfig is a parsed git configuration: the values in order.
type gitConfig []gitValue

type gitValue struct {
	section, sub, key string // section and key in lower case
	value             string
}

// get is the last value of a key, "" without one.
func (c gitConfig) get(section, sub, key string) string {
	for i := len(c) - 1; i >= 0; i-- {
		if v := c[i]; v.section == section && v.sub == sub && v.key == key {
			return v.value
		}
	}
	return ""
}

// parseGitConfig reads git's configuration syntax as far as it is needed here:
// sections with and without subsection, quoted values, escapes, comments and
// continued lines. A line that it does not understand is skipped: git will
// complain about it, we only look for a few values.
func parseGitConfig(b []byte) gitConfig {
	var c gitConfig
	var section, sub string
	lines := strings.Split(string(b), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if strings.HasPrefix(line, "[") {
			var ok bool
			if section, sub, line, ok = parseSection(line); !ok {
				section = ""
			}
			line = strings.TrimSpace(line)
		}
		if line == "" || line[0] == '#' || line[0] == ';' || section == "" {
			continue
		}
		for endsInBackslash(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimRight(lines[i], "\r")
		}
		key, value, found := strings.Cut(line, "=")
		if !found {
			value = "true"
		}
		c = append(c, gitValue{section, sub, strings.ToLower(strings.TrimSpace(key)), parseGitValue(value)})
	}
	return c
}

func endsInBackslash(s string) bool {
	n := len(s) - len(strings.TrimRight(s, `\`))
	return n%2 == 1
}

// parseSection reads `[name]` or `[name "sub"]` and returns what follows.
func parseSection(line string) (section, sub, rest string, ok bool) {
	end := -1
	inQuote := false
	for i := 1; i < len(line) && end < 0; i++ {
		switch {
		case line[i] == '\\' && inQuote:
			i++
		case line[i] == '"':
			inQuote = !inQuote
		case line[i] == ']' && !inQuote:
			end = i
		}
	}
	if end < 0 {
		return "", "", "", false
	}
	name, quoted, _ := strings.Cut(line[1:end], `"`)
	sub = strings.TrimSuffix(strings.TrimSpace(quoted), `"`)
	sub = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(sub)
	return strings.ToLower(strings.TrimSpace(name)), sub, line[end+1:], true
}

// parseGitValue removes quotes, escapes and the comment from a value.
func parseGitValue(s string) string {
	var b strings.Builder
	inQuote, kept := false, 0 // kept: length up to which spaces are part of the value
	s = strings.TrimSpace(s)
loop:
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			inQuote = !inQuote
			kept = b.Len()
			continue
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(unescape(s[i]))
		case (c == '#' || c == ';') && !inQuote:
			break loop
		default:
			b.WriteByte(c)
			if !inQuote && (c == ' ' || c == '\t') {
				continue
			}
		}
		kept = b.Len()
	}
	return b.String()[:kept]
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	}
	return c
}

// FindGitUser reads the user's name and email as git would for a commit in the project
// dir, from the user's own settings only.
func FindGitUser(o GatherOptions, dir string) (GitUser, error) {
	w, err := prepare(o)
	if err != nil {
		return GitUser{}, err
	}
	w.f.Workspace.Dir = dir
	return w.gitUser(), nil
}

// gitUser reads name, email and default branch from the user's own git settings.
// The project's are left to git inside.
func (w *gatherer) gitUser() GitUser {
	xdg := w.env["XDG_CONFIG_HOME"]
	if !filepath.IsAbs(xdg) {
		xdg = filepath.Join(w.f.Home, ".config")
	}
	files := []string{"/etc/gitconfig", filepath.Join(xdg, "git", "config"), filepath.Join(w.f.Home, ".gitconfig")}
	if g := w.env["GIT_CONFIG_GLOBAL"]; g != "" {
		files = append(files[:1], g)
	}
	r := gitReader{home: w.f.Home, work: w.f.Workspace.Dir, left: maxIncludes}
	for _, f := range files {
		r.read(f)
	}
	return GitUser{
		Name:   oneLine(r.all.get("user", "", "name")),
		Email:  oneLine(r.all.get("user", "", "email")),
		Branch: oneLine(r.all.get("init", "", "defaultbranch")),
	}
}

// oneLine drops a value that cannot be an ordinary name.
func oneLine(s string) string {
	if len(s) > 256 || !plainName(s) {
		return ""
	}
	return s
}

// A gitReader follows the includes of the user's configuration, in order, so that
// a later value wins as it does in git.
type gitReader struct {
	home, work string
	left       int
	all        gitConfig
}

func (r *gitReader) read(file string) {
	if r.left == 0 {
		return
	}
	r.left--
	if under(realOrClean(file), r.work) {
		return // the project's, not the user's
	}
	b, err := readSmall(file, maxConfig)
	if err != nil {
		return
	}
	for _, v := range parseGitConfig(b) {
		r.all = append(r.all, v)
		if v.key != "path" || v.section != "include" && (v.section != "includeif" || !r.holds(v.sub)) {
			continue
		}
		if p := r.path(v.value, file); p != "" {
			r.read(p)
		}
	}
}

func (r *gitReader) path(p, from string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		return filepath.Join(r.home, rest)
	}
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(filepath.Dir(from), p)
}

// holds judges an includeIf condition: gitdir with a folder, which is the form
// that people use to have two names. Others do not hold.
func (r *gitReader) holds(cond string) bool {
	dir, ok := strings.CutPrefix(cond, "gitdir:")
	if !ok || !strings.HasSuffix(dir, "/") || strings.ContainsAny(dir, "*?[") {
		return false
	}
	dir = r.path(strings.TrimSuffix(dir, "/"), filepath.Join(r.home, ".gitconfig"))
	return under(r.work, filepath.Clean(dir)) || under(r.work, realOrClean(dir))
}
