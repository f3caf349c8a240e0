package plan

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// systemRoots are the folders of the system that are visible inside, read-only,
// where they exist. What lies in them needs no root of its own.
var systemRoots = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix"}

// kernelRoots are never taken from the host: the tier makes its own, or none.
var kernelRoots = []string{"/proc", "/sys", "/dev", "/run", "/etc", "/boot", "/var/run", "/lost+found"}

// secretPaths are the places below HOME that hold credentials. They are never
// mounted, neither they nor a folder that contains one of them.
var secretPaths = []string{
	".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store", ".netrc",
	".git-credentials", ".npmrc", ".pypirc", ".pgpass", ".my.cnf", ".vault-token",
	".config/gcloud", ".config/gh", ".config/hub", ".config/op", ".config/rclone", ".config/git",
	".config/containers", ".config/pip", ".config/google-chrome", ".config/chromium", ".config/belljar",
	".cargo/credentials", ".cargo/credentials.toml", ".m2/settings.xml", ".m2/settings-security.xml",
	".gradle/gradle.properties", ".gem/credentials", ".terraform.d", ".mozilla", ".thunderbird",
	".local/share/keyrings", ".local/share/opencode", ".claude/.credentials.json", ".codex/auth.json",
	".gemini/oauth_creds.json", ".bash_history", ".zsh_history",
}

// A guard judges real paths: which of them may become visible inside.
type guard struct {
	home    string
	own     []string // state, runtime and configuration of belljar
	secrets []string
	work    string // the workspace, once it is known
}

func newGuard(f *Facts) guard {
	g := guard{home: f.Home}
	for _, d := range []string{f.StateDir, f.RuntimeDir, f.ConfigDir} {
		if d != "" {
			g.own = append(g.own, d)
		}
	}
	for _, s := range secretPaths {
		g.secrets = append(g.secrets, filepath.Join(f.Home, s))
	}
	return g
}

// refuse says why real must not be visible inside, or nothing when it may.
func (g *guard) refuse(real string) string {
	switch {
	case !filepath.IsAbs(real):
		return "it is not an absolute path"
	case real == "/":
		return "it is the root of the file system"
	case real == g.home:
		return "it is your home folder"
	case under(g.home, real):
		return "it contains your home folder"
	case underAny(real, kernelRoots):
		return "it belongs to the running system"
	case !plainName(real):
		return "its name has control characters or is not UTF-8"
	}
	for _, o := range g.own {
		if under(real, o) || under(o, real) {
			return "it is, contains or lies in belljar's own " + o
		}
	}
	for _, s := range g.secrets {
		if under(real, s) {
			return "credentials are kept in " + s
		}
		if under(s, real) && exists(s) {
			return "it contains " + s + ", where credentials are kept"
		}
	}
	return ""
}

// refuseRoot is refuse for what is mounted without the user naming it: it must
// not be a folder around the project either, whose neighbours nobody named.
func (g *guard) refuseRoot(real string) string {
	if why := g.refuse(real); why != "" {
		return why
	}
	if g.work != "" && real != g.work && under(g.work, real) {
		return "it contains the project"
	}
	return ""
}

// under says whether p is dir or lies in it. Both are clean and absolute.
func under(p, dir string) bool {
	if dir == "/" || p == dir {
		return true
	}
	return len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir
}

func underAny(p string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return under(p, d) })
}

func exists(p string) bool {
	_, err := os.Lstat(p)
	return err == nil
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}

func isFile(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.Mode().IsRegular()
}

// maxLinks is how many links one path may cross, as in the kernel.
const maxLinks = 40

var errLoop = errors.New("too many levels of symbolic links")

// trail resolves p component by component and returns its real path and every
// link crossed on the way, in order.
func trail(p string) (real string, links []Link, err error) {
	rest := splitPath(filepath.Clean(p))
	real = "/"
	for len(rest) > 0 {
		c := rest[0]
		rest = rest[1:]
		if c == ".." {
			real = filepath.Dir(real)
			continue
		}
		next := filepath.Join(real, c)
		st, err := os.Lstat(next)
		if err != nil {
			return "", links, err
		}
		if st.Mode()&os.ModeSymlink == 0 {
			real = next
			continue
		}
		text, err := os.Readlink(next)
		if err != nil {
			return "", links, err
		}
		if len(links) == maxLinks {
			return "", links, errLoop
		}
		links = append(links, Link{Path: next, Text: text})
		if filepath.IsAbs(text) {
			real = "/"
		}
		// Not cleaned: "x/.." after a link is the parent of the link's target.
		rest = append(splitPath(text), rest...)
	}
	return real, links, nil
}

func splitPath(p string) []string {
	var out []string
	for c := range strings.SplitSeq(p, "/") {
		if c != "" && c != "." {
			out = append(out, c)
		}
	}
	return out
}

// addLinks remembers the links on the way to p, so that p works inside as written.
func (w *gatherer) addLinks(p string) {
	_, links, err := trail(p)
	if err != nil {
		return
	}
	for _, l := range links {
		if plainName(l.Path) && plainName(l.Text) {
			w.links[l.Path] = l.Text
		}
	}
}

func sortedLinks(m map[string]string) []Link {
	out := make([]Link, 0, len(m))
	for p, t := range m {
		out = append(out, Link{Path: p, Text: t})
	}
	slices.SortFunc(out, func(a, b Link) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// lookBelow finds dir or the nearest folder above it, at most levels up and below
// stop, for which ok holds; "" when there is none.
func lookBelow(dir, stop string, levels int, ok func(string) bool) string {
	for range levels {
		if dir == "/" || dir == stop || under(stop, dir) {
			return ""
		}
		if ok(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return ""
}

// readSmall reads a regular file of at most limit bytes; a longer one, a device or
// a pipe is an error, so that a hostile file neither blocks nor fills memory.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tooLarge := errors.New("file is too large")
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() > limit {
		return nil, tooLarge
	}
	b := bytes.NewBuffer(make([]byte, 0, st.Size()+bytes.MinRead))
	if _, err := b.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > limit { // it grew, or has no size of its own
		return nil, tooLarge
	}
	return b.Bytes(), nil
}

// plainName says whether a path can stand in a plan: JSON and mount tables would
// change one that is not UTF-8 or has control characters.
func plainName(p string) bool {
	return utf8.ValidString(p) && !strings.ContainsFunc(p, unicode.IsControl)
}
