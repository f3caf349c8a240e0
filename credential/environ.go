package credential

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// environment is the caller's without what leads to where the sandbox may write: what
// the command loads or runs by it, the agent writes. A variable goes as a whole where a
// part of its value leads there; lists of folders lose what leads there, and what is not
// absolute. The folder that the command runs in is /.
func (h *Host) environment() []string {
	var env []string
	for _, v := range h.Env {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case name == "PATH" || slices.Contains(lists(), name):
			env = append(env, name+"="+h.list(name, value))
		case name == "PWD":
			env = append(env, "PWD=/")
		case name == "OLDPWD" || h.mentions(value) || loads(name) && h.mayLoad(value):
		default:
			env = append(env, v)
		}
	}
	return env
}

// lists are variables with folders, or files, between colons, from which programs load code.
func lists() []string {
	return []string{
		"PYTHONPATH", "NODE_PATH", "PERL5LIB", "PERLLIB", "RUBYLIB", "GEM_PATH", "CLASSPATH", "PHP_INI_SCAN_DIR",
		"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH", "DYLD_FALLBACK_FRAMEWORK_PATH", "GCONV_PATH",
	}
}

// list is the value of PATH, or of one of lists, without what must not be in it. What
// contains a folder where the sandbox may write goes from the latter: with PYTHONPATH=~/src
// a project ~/src/requests is the package of that name.
func (h *Host) list(name, value string) string {
	dirs := slices.DeleteFunc(filepath.SplitList(value), func(d string) bool {
		return !filepath.IsAbs(d) || h.mentions(d) || name != "PATH" && h.contains(d)
	})
	return strings.Join(dirs, string(filepath.ListSeparator))
}

// loads says whether programs load or run what the value of a variable names: a list would
// never be complete, and what it leaves out is still looked through for what leads in.
func loads(name string) bool {
	for _, prefix := range []string{"PYTHON", "NODE_", "PERL", "RUBY", "GEM_", "BUNDLE_", "LUA_", "PHP", "LD_", "DYLD_", "GIT_", "OPENSSL_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{
		"BASH_ENV", "ENV", "ZDOTDIR", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "SSH_ASKPASS", "SUDO_ASKPASS",
		"EDITOR", "VISUAL", "PAGER", "BROWSER", "SHELL",
	}, name)
}

// mayLoad says whether a value names something relative, or a folder that contains one
// where the sandbox may write.
func (h *Host) mayLoad(value string) bool {
	for _, w := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t\n:;,='\"", r) }) {
		if len(w) > 2 && w[0] == '-' && w[1] != '-' {
			w = w[2:] // behind the letter of an option
		}
		if w == "." || w == ".." || strings.HasPrefix(w, "./") || strings.HasPrefix(w, "../") || filepath.IsAbs(w) && h.contains(w) {
			return true
		}
	}
	return false
}

// contains says whether a folder where the sandbox may write is, or lies in, dir.
func (h *Host) contains(dir string) bool {
	dir = real(dir)
	return slices.ContainsFunc(h.places(), func(p string) bool { return within(dir, p) })
}

// mentions says whether some part of a value leads to where the sandbox may write: as words
// of a command do, or by the name of such a folder, whatever stands around it (an option's
// letter, a scheme), also percent-encoded.
func (h *Host) mentions(value string) bool {
	texts := []string{value, strings.ReplaceAll(os.Expand(value, h.getenv), "~/", h.getenv("HOME")+"/")}
	if plain, err := url.PathUnescape(value); err == nil && plain != value {
		texts = append(texts, plain)
	}
	words := belljar.CredentialSource{Command: texts}
	named := func(dir string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return holds(text, dir) })
	}
	return slices.ContainsFunc(h.places(), named) || slices.ContainsFunc(words.Paths(h.getenv), h.leadsIn)
}

// holds says whether text holds dir as the beginning of a path: it goes on with no
// character of a name, and is not the end of a longer path.
func holds(text, dir string) bool {
	for from := 0; ; from++ {
		i := strings.Index(text[from:], dir)
		if i < 0 {
			return false
		}
		from += i
		before, after := strings.TrimRightFunc(text[:from], partOfName), text[from+len(dir):]
		longer := len(before) < from && strings.HasSuffix(before, "/") && !strings.HasSuffix(before, "//")
		if !longer && len(strings.TrimLeftFunc(after, partOfName)) == len(after) {
			return true
		}
	}
}

func partOfName(r rune) bool {
	return r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.' || r >= 0x80
}
