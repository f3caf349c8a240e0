package plan

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
)

// GatherOptions say what [Gather] looks for. Paths that are not absolute are
// relative to Dir.
type GatherOptions struct {
	ID    string // empty: made by [NewID]
	Name  string // empty: the command's name and the end of the ID
	Named bool   // the user chose Name: HOME is kept under it

	Command   []string
	Workspace string   // empty: the top of the git work tree that holds Dir, else Dir
	Env       []string // the caller's environment
	Home      string   // the caller's home folder
	Dir       string   // the current folder

	StateDir, RuntimeDir, ConfigDir string // belljar's own

	Identity belljar.Identity // empty Home and Shell are filled in

	Read, Write []string // paths of files rules, absolute
	Worktree    bool     // the sandbox gets a work tree of its own, so that the project must be a repository
	Programs    []string // that credentials are for, absolute
	Denied      []string // programs that rules deny whole: [DeniedPrograms]
	Registries  []string // kinds that the policy asks for; others are not looked at
}

// A gatherer carries what the steps of [Gather] share.
type gatherer struct {
	o   GatherOptions
	env map[string]string
	g   guard
	f   *Facts
	// shallow leaves out what programs need: only where they are is asked.
	shallow bool
	hard    *hardLinks        // found when first needed
	links   map[string]string // links crossed on the way to something visible
}

// Gather looks at the host and returns what [Make] needs to know of it. It reads
// a bounded number of files and starts no program, but to ask a package manager
// for its registry where no file tells it.
//
// Errors are [*belljar.Error]: KindUsage for a workspace that may not be one,
// KindNotFound and KindRefused for a command that does not exist or may not run.
func Gather(ctx context.Context, o GatherOptions) (*Facts, error) {
	w, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := w.workspace(); err != nil {
		return nil, err
	}
	w.system()
	w.pathEntries()
	if err := w.command(); err != nil {
		return nil, err
	}
	w.etc()
	w.certs()
	w.trustPlaces()
	w.rules()
	w.programs()
	w.denied()
	w.f.Git = w.gitUser()
	w.registries(ctx)
	w.finish()
	return w.f, nil
}

// FindCommand resolves a command as [Gather] does, without the rest: what a caller
// needs to know before it can choose a preset. Roots and Links stay empty.
func FindCommand(o GatherOptions) (Program, error) {
	w, err := prepare(o)
	if err != nil {
		return Program{}, err
	}
	if err := w.workspace(); err != nil {
		return Program{}, err
	}
	w.shallow = true
	w.pathEntries()
	if err := w.command(); err != nil {
		return Program{}, err
	}
	return w.f.Command, nil
}

// FindWorkspace returns the real path of the project, as [Gather] chooses it.
func FindWorkspace(o GatherOptions) (string, error) {
	w, err := prepare(o)
	if err != nil {
		return "", err
	}
	if err := w.workspace(); err != nil {
		return "", err
	}
	return w.f.Workspace.Dir, nil
}

// NewID makes an identifier that is unique for ever: the time to the second, then
// random letters. It sorts by time.
func NewID(now time.Time) string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails
	letters := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	return now.UTC().Format("20060102-150405") + "-" + letters
}

func prepare(o GatherOptions) (*gatherer, error) {
	fail := func(what, path string, err error) error {
		return &belljar.Error{Op: "find " + what, ID: path, Kind: belljar.KindInternal, Err: err}
	}
	if !filepath.IsAbs(o.Home) {
		return nil, fail("home folder", o.Home, errors.New("HOME is not an absolute path"))
	}
	if !filepath.IsAbs(o.Dir) {
		return nil, fail("current folder", o.Dir, errors.New("it is not an absolute path"))
	}
	w := &gatherer{o: o, env: envMap(o.Env), links: map[string]string{}}
	w.f = &Facts{ID: o.ID, Name: o.Name, Named: o.Named, Identity: o.Identity, Env: o.Env}
	if w.f.ID == "" {
		w.f.ID = NewID(time.Now())
	}
	var err error
	if w.f.Dir, err = filepath.EvalSymlinks(o.Dir); err != nil {
		return nil, fail("current folder", o.Dir, err)
	}
	home := filepath.Clean(o.Home)
	w.f.Home = realOrClean(home)
	if !plainName(home) || !plainName(w.f.Home) {
		return nil, fail("home folder", quoted(home), errors.New("HOME has control characters or is not UTF-8"))
	}
	if w.f.Home == "/" {
		return nil, fail("home folder", o.Home, errors.New("HOME is the root of the file system"))
	}
	for _, d := range []struct {
		to   *string
		from string
	}{{&w.f.StateDir, o.StateDir}, {&w.f.RuntimeDir, o.RuntimeDir}, {&w.f.ConfigDir, o.ConfigDir}} {
		if d.from != "" {
			*d.to = realOrClean(d.from)
		}
	}
	w.g = newGuard(w.f)
	w.identity(home)
	return w, nil
}

// identity fills in what the caller left open. HOME inside is HOME as written:
// where it is a link, the link is made inside too.
func (w *gatherer) identity(home string) {
	id := &w.f.Identity
	if id.Home == "" {
		id.Home = w.f.Home
	}
	if home != w.f.Home {
		w.addLinks(home)
	}
	if id.User == "" {
		id.User = w.userName()
	}
	if id.Shell == "" {
		id.Shell = w.env["SHELL"]
	}
	if !executable(id.Shell) || !underAny(realOrClean(id.Shell), systemRoots) {
		id.Shell = "/bin/sh"
	}
}

// userName is the caller's login name as the environment or passwd tells it; what
// is not a plain name is not taken.
func (w *gatherer) userName() string {
	id := w.f.Identity
	if id.UID == 0 && id.HostUID != 0 {
		return "root"
	}
	names := []string{w.env["USER"], w.env["LOGNAME"]}
	if u, err := user.LookupId(strconv.Itoa(id.HostUID)); err == nil {
		names = append([]string{u.Username}, names...)
	}
	for _, n := range names {
		if isUserName(n) && (n != "root" || id.UID == 0) {
			return n
		}
	}
	return "user"
}

// isUserName says whether a name is [A-Za-z_][A-Za-z0-9_.-]{0,31}.
func isUserName(s string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	return s != "" && len(s) <= 32 && strings.IndexByte(letters, s[0]) >= 0 && strings.Trim(s, letters+"0123456789.-") == ""
}

func (w *gatherer) note(format string, a ...any) {
	w.f.Notes = append(w.f.Notes, fmt.Sprintf(format, a...))
}

// finish sorts what was collected and names the sandbox.
func (w *gatherer) finish() {
	w.f.Links = sortedLinks(w.links)
	if w.f.Name != "" {
		return
	}
	base := "run"
	if len(w.o.Command) > 0 {
		base = nameFrom(filepath.Base(w.o.Command[0]))
	}
	id := w.f.ID
	w.f.Name = base + "-" + strings.ToLower(id[max(0, len(id)-4):])
}

// nameFrom makes the beginning of a sandbox name of a program's name.
func nameFrom(s string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(s) {
		switch {
		case c >= 'a' && c <= 'z', b.Len() > 0 && c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 20 {
			break
		}
	}
	if n := strings.Trim(b.String(), "-"); n != "" {
		return n
	}
	return "run"
}

func envMap(env []string) map[string]string {
	m := make(map[string]string, len(env))
	for _, e := range env {
		if k, v, ok := strings.Cut(e, "="); ok && k != "" {
			if _, dup := m[k]; !dup { // getenv returns the first
				m[k] = v
			}
		}
	}
	return m
}

// realOrClean resolves links as far as the path exists.
func realOrClean(p string) string {
	p = filepath.Clean(p)
	if r, err := filepath.EvalSymlinks(p); err == nil {
		return r
	}
	dir, base := filepath.Split(p)
	if dir = filepath.Clean(dir); dir == p {
		return p
	}
	return filepath.Join(realOrClean(dir), base)
}

func executable(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.Mode().IsRegular() && canExecute(p)
}
