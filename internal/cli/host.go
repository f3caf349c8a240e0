package cli

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/rootid"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace/rules"
)

const ceilingFile = "/etc/belljar/policy.yaml"

// A host is the caller's surroundings: read once, by [App.enter].
type host struct {
	home string
	cwd  string
	env  []string
	dirs sandbox.Dirs
}

func (h *host) getenv(name string) string {
	v, _ := h.lookup(name)
	return v
}

func (h *host) lookup(name string) (string, bool) {
	for i := len(h.env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(h.env[i], name+"="); ok {
			return v, true
		}
	}
	return "", false
}

// enter finds the caller's folders, as an unprivileged identity when root called:
// then it does not return the first time. paths are those of the command line.
func (a *App) enter(paths ...string) (*host, error) {
	h := &host{env: rootid.Environ()}
	h.home = h.getenv("HOME")
	if !filepath.IsAbs(h.home) {
		return nil, &belljar.Error{Op: "find your home", Kind: belljar.KindUsage, Err: fmt.Errorf("HOME is %q", h.home), Hint: "set HOME to an absolute path"}
	}
	h.home = filepath.Clean(h.home)
	cwd, err := os.Getwd()
	if err != nil {
		return nil, &belljar.Error{Op: "find the current folder", Kind: belljar.KindUsage, Err: err, Hint: "change into a folder that exists"}
	}
	h.cwd = settled(cwd)
	var all []string
	for _, p := range append([]string{cwd, workTop(cwd, h.home), h.configHome()}, paths...) {
		all = append(all, h.abs(p))
	}
	if err := rootid.Enter(rootid.Request{Home: h.home, Dirs: all}); err != nil {
		return nil, err
	}
	if rootid.StartedAsRoot() {
		h.dirs = sandbox.Dirs{State: rootid.StateDir, Runtime: rootid.RuntimeDir, Config: filepath.Join(h.configHome(), "belljar")}
		err := h.dirs.Make()
		a.resumeSending(h)
		return h, err
	}
	h.dirs, err = sandbox.FindDirs(h.getenv, h.home)
	if err != nil {
		return nil, err
	}
	// Real paths: what is compared with them has no links either.
	for _, d := range []*string{&h.dirs.State, &h.dirs.Runtime} {
		if *d, err = filepath.EvalSymlinks(*d); err != nil {
			return nil, &belljar.Error{Op: "find belljar's folders", Kind: belljar.KindNotHere, Err: err}
		}
	}
	a.resumeSending(h)
	return h, nil
}

// settled is dir without links where those lie in folders that a sandbox has as
// memory of its own: such links cannot be made there. Elsewhere dir stays as the
// caller calls it.
func settled(dir string) string {
	for _, memory := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		if dir == memory || strings.HasPrefix(dir, memory+"/") {
			if real, err := filepath.EvalSymlinks(dir); err == nil {
				return real
			}
		}
	}
	return dir
}

// configHome is the folder of the user's configurations.
func (h *host) configHome() string {
	if xdg := h.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(xdg) {
		return filepath.Clean(xdg)
	}
	return filepath.Join(h.home, ".config")
}

// abs makes a path of the command line absolute.
func (h *host) abs(p string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		return filepath.Join(h.home, rest)
	}
	if !filepath.IsAbs(p) {
		return filepath.Join(h.cwd, p)
	}
	return filepath.Clean(p)
}

func (h *host) identity() belljar.Identity {
	id := belljar.Identity{HostUID: os.Getuid(), HostGID: os.Getgid(), UID: os.Getuid(), GID: os.Getgid(), Home: h.home, User: h.getenv("USER")}
	if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil && id.User == "" {
		id.User = u.Username
	}
	if rootid.StartedAsRoot() {
		id.UID, id.GID, id.User = 0, 0, "root"
	}
	return id
}

// sweep removes what killed sandboxes left and says which they were.
func (a *App) sweep(h *host) {
	dead, err := h.dirs.Sweep()
	for _, r := range dead {
		if r.Warm != "" {
			continue // nothing ran in it
		}
		next := "belljar diff"
		if h.dirs.CanStart(r) {
			next += "; belljar start " + r.Name + " starts it again"
		}
		a.note("sandbox %s (%s) was killed before it could end; its record is kept, what waits is kept: %s", r.Name, r.Started.Local().Format(time.DateTime), next)
	}
	if err != nil {
		a.note("something of a sandbox that ended could not be removed: %s", terminal.Escape(err.Error()))
	}
}

// discover finds what follows from a folder as the host uses it.
func (h *host) discover(dir string) (rules.Found, error) {
	found, err := rules.Discover(rules.DiscoverOptions{Dir: dir, Home: h.home, GlobalConfigs: h.gitConfigs()})
	if err != nil {
		err = &belljar.Error{Op: "look for links to protected files", ID: dir, Kind: belljar.KindInternal, Err: err}
	}
	return found, err
}

// gitConfigs are the files that may configure git for every repository.
func (h *host) gitConfigs() []string {
	all := []string{
		filepath.Join(h.home, ".gitconfig"), filepath.Join(h.configHome(), "git/config"),
		"/etc/gitconfig", "/usr/local/etc/gitconfig", "/opt/homebrew/etc/gitconfig",
	}
	for _, name := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		if p := h.getenv(name); p != "" {
			all = append(all, h.abs(p))
		}
	}
	return all
}
