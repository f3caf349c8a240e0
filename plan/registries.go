package plan

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// askTimeout bounds the question to a package manager.
const askTimeout = 5 * time.Second

// An endpoint is one URL of a registry and where it was named.
type endpoint struct {
	url  string
	from string
	own  bool // the user's setting, not the tool's default
}

// A finding is what one kind's reader found.
type finding struct {
	endpoints []endpoint
	env       map[string]string
	files     map[string]string
}

func (f *finding) add(u, from string, own bool) {
	f.endpoints = append(f.endpoints, endpoint{u, from, own})
}

func (f *finding) set(k, v string) {
	if v == "" {
		return
	}
	if f.env == nil {
		f.env = map[string]string{}
	}
	f.env[k] = v
}

func (f *finding) file(path, content string) {
	if f.files == nil {
		f.files = map[string]string{}
	}
	f.files[path] = content
}

// registries finds the hosts of the kinds that the policy asks for: from the
// user's own settings, else from what the installed tool says by itself. Nothing
// of the project is read, and nothing is run where a file tells.
func (w *gatherer) registries(ctx context.Context) {
	readers := map[string]func(context.Context) finding{
		"npm": w.npmRegistry, "go": w.goRegistry, "pip": w.pipRegistry, "cargo": w.cargoRegistry, "maven": w.mavenRegistry,
	}
	kinds := slices.Compact(slices.Sorted(slices.Values(w.o.Registries)))
	for _, k := range kinds {
		if read := readers[k]; read != nil {
			w.f.Registries = append(w.f.Registries, registriesOf(k, read(ctx))...)
		}
	}
}

// registriesOf groups what was found by who named it.
func registriesOf(kind string, f finding) []Registry {
	var out []Registry
	for _, e := range f.endpoints {
		host := hostOf(e.url)
		known := func(r Registry) bool { return r.Own == e.own && slices.Contains(r.Hosts, host) }
		if host == "" || slices.ContainsFunc(out, known) {
			continue
		}
		i := slices.IndexFunc(out, func(r Registry) bool { return r.From == e.from && r.Own == e.own })
		if i < 0 {
			out = append(out, Registry{Kind: kind, From: e.from, Own: e.own})
			i = len(out) - 1
		}
		out[i].Hosts = append(out[i].Hosts, host)
	}
	if len(out) > 0 {
		out[0].Env, out[0].Files = f.env, f.files
	}
	return out
}

// hostOf is the host:port of an http or https URL, empty for anything else.
func hostOf(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Hostname() == "" {
		return ""
	}
	port := u.Port()
	switch u.Scheme {
	case "https":
		port = orElse(port, "443")
	case "http":
		port = orElse(port, "80")
	default:
		return ""
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if a, err := netip.ParseAddr(host); err == nil && a.IsUnspecified() {
		return "" // Maven's "blocked" mirror
	}
	return net.JoinHostPort(host, port)
}

// withoutLogin is a URL without user and password: inside there are no credentials.
func withoutLogin(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil {
		return ""
	}
	u.User = nil
	return u.String()
}

// tool is the real path of a program on PATH, by an entry that is visible inside
// and does not belong to the project; "" when there is none.
func (w *gatherer) tool(names ...string) string {
	for _, n := range names {
		for _, e := range w.f.Path {
			p := filepath.Join(e.As, n)
			if e.Left != "" || !executable(p) {
				continue
			}
			if real, err := filepath.EvalSymlinks(p); err == nil && !under(real, w.g.work) && !under(p, w.g.work) {
				return real
			}
		}
	}
	return ""
}

// ask runs a package manager of the host for its own settings: in /, where no
// project can speak for it, with nothing of the caller's environment but the
// home folder whose settings are wanted. It returns the first line.
func (w *gatherer) ask(ctx context.Context, program string, args ...string) string {
	if program == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = "/"
	path := "/usr/local/bin:/usr/bin:/bin"
	if dir := filepath.Dir(program); !strings.Contains(dir, ":") {
		path = dir + ":" + path
	}
	c.Env = []string{"HOME=" + w.f.Home, "PATH=" + path, "GOTOOLCHAIN=local", "GOWORK=off", "NO_UPDATE_NOTIFIER=1"}
	c.WaitDelay = time.Second
	out, err := c.Output()
	if err != nil || len(out) > maxGitFile {
		return ""
	}
	line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	return strings.TrimSpace(string(line))
}

// settings reads a settings file of the user's; one that lies in the project is
// not the user's.
func (w *gatherer) settings(path string) []byte {
	if !filepath.IsAbs(path) || under(realOrClean(path), w.g.work) {
		return nil
	}
	b, err := readSmall(path, maxConfig)
	if err != nil {
		return nil
	}
	return b
}

// configHome is XDG_CONFIG_HOME.
func (w *gatherer) configHome() string {
	if d := w.env["XDG_CONFIG_HOME"]; filepath.IsAbs(d) {
		return d
	}
	return filepath.Join(w.f.Home, ".config")
}

// An iniValue is one setting of an INI file.
type iniValue struct{ section, key, value string }

// parseINI reads `key = value` lines below `[section]` lines. An indented URL
// goes on with the value before it, as in pip's files.
func parseINI(b []byte) []iniValue {
	var out []iniValue
	section := ""
	for line := range strings.Lines(string(b)) {
		text := strings.TrimSpace(line)
		switch {
		case text == "", text[0] == '#', text[0] == ';':
		case text[0] == '[' && strings.HasSuffix(text, "]"):
			section = strings.TrimSpace(text[1 : len(text)-1])
		case (line[0] == ' ' || line[0] == '\t') && len(out) > 0 && strings.Contains(strings.SplitN(text, "=", 2)[0], "://"):
			out[len(out)-1].value = strings.TrimSpace(out[len(out)-1].value + " " + text)
		default:
			k, v, ok := strings.Cut(text, "=")
			if !ok {
				k, v, _ = strings.Cut(text, ":")
			}
			out = append(out, iniValue{section, strings.TrimSpace(k), unquoteINI(strings.TrimSpace(v))})
		}
	}
	return out
}

func unquoteINI(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// expandVars replaces ${NAME} by the caller's environment; a name that is not set
// stays as it is.
func (w *gatherer) expandVars(s string) string {
	if !strings.Contains(s, "${") {
		return s
	}
	return os.Expand(s, func(k string) string {
		if v, ok := w.env[k]; ok {
			return v
		}
		return "${" + k + "}"
	})
}
