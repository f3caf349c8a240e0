package rules

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A setting is one assignment of a git configuration.
type setting struct {
	section, sub, name string // section and name in lower case
	value              string // without quotes and comments
	line               int
	text               string // as written, the first line
}

// parseConfig reads a configuration as git does, but passes over what git would
// refuse.
func parseConfig(text string) []setting {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	p := &configParser{s: text, line: 1}
	var out []setting
	section, sub := "", ""
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '\n':
			p.line++
			p.i++
		case isBlank(c):
			p.i++
		case c == '#' || c == ';':
			p.i += len(p.restOfLine())
		case c == '[':
			section, sub = p.header()
		default:
			t := setting{section: section, sub: sub, line: p.line, text: p.restOfLine()}
			if t.text = strings.TrimSpace(t.text); len(t.text) > 200 {
				t.text = strings.ToValidUTF8(t.text[:200], "")
			}
			name, ok := p.name()
			if ok {
				t.name, t.value = strings.ToLower(name), p.value()
				out = append(out, t)
			}
		}
	}
	return out
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f' }

type configParser struct {
	s       string
	i, line int
}

func (p *configParser) restOfLine() string {
	l, _, _ := strings.Cut(p.s[p.i:], "\n")
	return l
}

// header reads [section], [section "subsection"] or [section.subsection].
func (p *configParser) header() (section, sub string) {
	var name, quoted strings.Builder
	in := false
	for p.i++; p.i < len(p.s) && p.s[p.i] != '\n'; p.i++ {
		c := p.s[p.i]
		switch {
		case c == '"':
			in = !in
		case in && c == '\\' && p.i+1 < len(p.s) && p.s[p.i+1] != '\n':
			p.i++
			quoted.WriteByte(p.s[p.i])
		case in:
			quoted.WriteByte(c)
		case c == ']':
			p.i++
			return header(name.String(), quoted.String())
		case !isBlank(c):
			name.WriteByte(c)
		}
	}
	return header(name.String(), quoted.String())
}

func header(name, quoted string) (section, sub string) {
	section, sub, _ = strings.Cut(strings.ToLower(name), ".")
	if quoted != "" {
		sub = quoted
	}
	return section, sub
}

// name reads up to an equals sign; without one the setting has no value.
func (p *configParser) name() (string, bool) {
	name, _, ok := strings.Cut(p.restOfLine(), "=")
	p.i += len(name)
	if ok {
		p.i++
	}
	return strings.TrimSpace(name), ok
}

// value reads a value: quotes and comments fall away, a backslash continues it.
func (p *configParser) value() string {
	var b []byte
	keep, quoted := 0, false // blanks after b[:keep] are trailing ones
	for p.i < len(p.s) && p.s[p.i] != '\n' {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '\\' && p.i < len(p.s):
			e := p.s[p.i]
			p.i++
			if e == '\n' {
				p.line++
				continue
			}
			if k := strings.IndexByte("tnb", e); k >= 0 {
				e = "\t\n\b"[k]
			}
			b = append(b, e)
			keep = len(b)
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '#' || c == ';'):
			p.i += len(p.restOfLine())
		case !quoted && isBlank(c):
			if keep > 0 {
				b = append(b, c)
			}
		default:
			b = append(b, c)
			keep = len(b)
		}
	}
	return string(b[:keep])
}

// runs says whether the value may name something that git executes or obeys.
// Remotes, branches and people do not, and hold slashes all the time.
func (t setting) runs() bool {
	switch t.section {
	case "branch", "user", "extensions", "url", "color", "author", "committer":
		return false
	case "submodule":
		return t.name == "update" && strings.HasPrefix(t.value, "!")
	case "remote":
		return t.name == "uploadpack" || t.name == "receivepack" || t.name == "vcs"
	case "core":
		return t.name != "worktree"
	}
	return true
}

// isPath says whether the whole value is a path, so that one without a slash or
// with blanks is one too.
func (t setting) isPath() bool {
	switch t.name {
	case "hookspath", "attributesfile", "templatedir":
		return true
	case "path":
		return t.isInclude()
	}
	return false
}

func (t setting) isInclude() bool {
	return t.name == "path" && (t.section == "include" || t.section == "includeif")
}

var commandNames = []string{
	"fsmonitor", "editor", "sshcommand", "pager", "askpass", "gitproxy", "program", "helper", "uploadpack", "receivepack", "vcs",
	"path", "driver", "external", "textconv", "clean", "smudge", "process", "difffilter", "tunnel", "httpd", "browser", "smtpserver",
}

// isCommand says whether git executes the value, so that any word of it may be a
// file of the project.
func (t setting) isCommand() bool {
	switch {
	case t.section == "pager", t.section == "guitool", strings.HasPrefix(t.value, "!"):
		return true
	case t.section == "alias":
		return strings.Contains(t.value, "-c ") || strings.Contains(t.value, "-x ") || strings.Contains(t.value, "--exec")
	case strings.HasSuffix(t.name, "cmd"), strings.HasSuffix(t.name, "command"), strings.HasSuffix(t.name, "hook"):
		return true
	}
	return slices.Contains(commandNames, t.name)
}

var (
	// prefixes that stand for the top of the work tree more often than for anything else.
	unknownPrefix = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile("(\\$\\([^()]*\\)|`[^`]*`|\\$\\{[^{}]*\\}|\\$[A-Za-z_][A-Za-z0-9_]*)/+")
	})
	quotes = strings.NewReplacer(`"`, "", "'", "", `\`, "")
)

// words are what a command may mean as files: the value split as a shell splits
// it, split in spite of quotes, and both without $(…)/ and $NAME/.
func words(v, home string) []string {
	if home != "" {
		v = strings.NewReplacer("$HOME/", home+"/", "${HOME}/", home+"/").Replace(v)
	}
	var out []string
	for _, t := range []string{v, unknownPrefix().ReplaceAllString(strings.ReplaceAll(v, `"`, ""), ""), unknownPrefix().ReplaceAllString(v, "")} {
		out = append(out, shellWords(t)...)
		out = append(out, strings.FieldsFunc(quotes.Replace(t), isBreak)...)
	}
	for _, w := range out {
		if strings.Contains(w, ":") && !strings.Contains(w, "://") {
			out = append(out, strings.Split(w, ":")...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func isBreak(c rune) bool { return strings.ContainsRune(" \t\n;|&()<>=!`", c) }

// shellWords splits where quotes and backslashes do not protect.
func shellWords(v string) []string {
	var out []string
	var b strings.Builder
	var quote rune
	escaped := false
	flush := func() {
		if b.Len() > 0 {
			out = append(out, b.String())
		}
		b.Reset()
	}
	for _, c := range v {
		switch {
		case escaped:
			b.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && isBreak(c):
			flush()
		default:
			b.WriteRune(c)
		}
	}
	flush()
	return out
}

// pathValue is a path as git expands it: ~/ is the home; a relative one belongs to base.
func pathValue(v, base, home string) string {
	v = strings.TrimPrefix(v, ":(optional)")
	switch {
	case strings.HasPrefix(v, "~/") && home != "":
		return path.Join(home, v[2:])
	case path.IsAbs(v):
		return v
	}
	return base + "/" + v
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
