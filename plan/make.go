package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// wishes are what a policy asks for, in the terms of this package.
type wishes struct {
	mode       belljar.Mode
	modeOrigin belljar.Origin
	read       []pathRule
	write      []pathRule
	hide, hold []belljar.Pattern
	pass       []belljar.Pattern // in mode review
	network    belljar.Network
	loginHosts []string // that nothing but a login is for
	commands   belljar.Commands
	setup      []belljar.SetupStep
	registries []belljar.Pattern
	limits     belljar.Limits
	envPass    []belljar.Pattern // Glob is a name
	envSet     map[string]setVariable
	home       []homeFile
	sessions   []string
	bestEffort bool
	sign       bool
}

type pathRule struct {
	path   string
	origin belljar.Origin
}

type homeFile struct {
	path, content string
}

type setVariable struct {
	value  string
	origin belljar.Origin
}

// A maker builds one plan.
type maker struct {
	w wishes
	f *Facts
	c belljar.Capabilities
	p *belljar.Plan
	t *table

	names *rules.Rules // compiled when they are first needed
}

func build(w wishes, f *Facts, c belljar.Capabilities) (*belljar.Plan, error) {
	m := &maker{w: w, f: f, c: c, t: newTable()}
	m.p = &belljar.Plan{
		ID:         f.ID,
		Name:       f.Name,
		Tier:       c.Tier,
		Hostname:   f.Name,
		Identity:   f.Identity,
		Limits:     w.limits,
		BestEffort: w.bestEffort,
		Notes:      slices.Clone(f.Notes),
		Setup:      slices.Concat(w.setup, f.Setup),
	}
	if len(w.commands.Rules) > 0 {
		m.p.Commands = &w.commands
	}
	if err := checkLimits(w.limits); err != nil {
		return nil, err
	}
	if err := m.enforcement(); err != nil {
		return nil, err
	}
	m.system()
	if err := m.workspace(); err != nil {
		return nil, err
	}
	m.network()
	if err := m.trust(); err != nil {
		return nil, err
	}
	m.signing()
	m.mounts()
	m.commandAndEnv()
	m.homeFiles()
	m.p.Mounts = m.t.sorted()
	if err := m.deny(); err != nil {
		return nil, err
	}
	return m.p, m.checkPrograms()
}

func checkLimits(l belljar.Limits) error {
	for _, x := range []struct {
		name string
		ok   bool
	}{
		{"memory", l.Memory > 0}, {"cpus", l.CPUs > 0}, {"processes", l.Processes > 0},
		{"disk", l.Disk > 0}, {"files", l.Files > 0}, {"time", l.Time > 0},
	} {
		if !x.ok {
			return &belljar.Error{Op: "make plan", Kind: belljar.KindInternal,
				Err: fmt.Errorf("the limit on %s is not set", x.name)}
		}
	}
	return nil
}

// projectHash names a project in belljar's state: two projects never share a
// shadow, sessions or caches.
func projectHash(dir string) string {
	s := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(s[:10])
}

// ProjectDir is the folder in stateDir that belongs to the project at workspace,
// a real path.
func ProjectDir(stateDir, workspace string) string {
	return filepath.Join(stateDir, "projects", projectHash(workspace))
}

// HomeDir is the folder in stateDir that is HOME inside: kept under the
// sandbox's name when the user gave one, else part of the sandbox's own folder.
func HomeDir(f *Facts) string {
	if f.Named {
		return filepath.Join(f.StateDir, "homes", projectHash(f.Workspace.Dir), f.Name)
	}
	return filepath.Join(f.StateDir, "sandboxes", f.ID, "home")
}

// workspace fills in the project, its git directories, and the folders that files
// rules name: those are served as views, so that rules by name hold in them too.
func (m *maker) workspace() error {
	dir := m.f.Workspace.Dir
	ws := belljar.Workspace{
		Dir:    dir,
		Mode:   m.mode(),
		Views:  []belljar.View{{Source: dir, Target: dir}},
		Hide:   slices.Clone(m.w.hide),
		Hold:   slices.Clone(m.w.hold),
		Shadow: filepath.Join(ProjectDir(m.f.StateDir, dir), "shadow"),
	}
	if ws.Mode == belljar.ModeReview {
		ws.Pass = slices.Clone(m.w.pass)
	}
	if ws.Mode == belljar.ModeWorktree {
		if err := m.worktree(&ws); err != nil {
			return err
		}
	}
	for _, g := range m.f.Workspace.GitDirs {
		ws.Views = append(ws.Views, belljar.View{Source: g, Target: g, Git: true})
	}
	m.p.Workspace = ws
	for _, v := range ws.Views {
		m.t.view(v.Target)
	}
	return m.rules()
}

// rules serves files.read and files.write: folders and other views first, because
// a folder that is served decides over the files in it.
func (m *maker) rules() error {
	for _, dirs := range []bool{true, false} {
		for _, write := range []bool{false, true} {
			list := m.w.read
			if write {
				list = m.w.write
			}
			for _, r := range list {
				if err := m.rule(r, write, dirs); err != nil {
					return err
				}
			}
		}
		m.projectViews()
	}
	return nil
}

// mode is the policy's, but where a network file system may change behind our
// back nothing is written through unless somebody asked for it.
func (m *maker) mode() belljar.Mode {
	asked := m.w.modeOrigin.Layer
	if m.w.mode == belljar.ModeLive && m.f.Workspace.Network && (asked == "default" || asked == "preset" || asked == "") {
		m.p.Notes = append(m.p.Notes, "the project is on a network file system ("+m.f.Workspace.FS+
			"), so its changes wait for belljar apply (mode review)")
		return belljar.ModeReview
	}
	return m.w.mode
}

// rule serves one path of files.read or files.write, when it is a folder and dirs
// is set, or when it is anything else and dirs is not.
func (m *maker) rule(r pathRule, write, dirs bool) error {
	i := slices.IndexFunc(m.f.Rules, func(p RulePath) bool { return p.As == r.path && p.Write == write })
	key := "files.read"
	if write {
		key = "files.write"
	}
	fail := func(why string, hint string) error {
		return &belljar.Error{Op: "serve " + key, ID: quoted(r.path) + at(r.origin), Kind: belljar.KindUsage,
			Err: errors.New(why), Hint: hint}
	}
	if i < 0 {
		return &belljar.Error{Op: "serve " + key, ID: quoted(r.path), Kind: belljar.KindInternal,
			Err: errors.New("the facts do not know this path")}
	}
	p := m.f.Rules[i]
	if (p.Kind == RuleDir) != dirs {
		return nil
	}
	if m.p.Workspace.Mode == belljar.ModeWorktree && under(p.Real, m.f.Workspace.Dir) && p.Real != "" {
		return nil // the worktree has its own
	}
	switch {
	case p.Refused != "":
		return fail(p.Refused, "name a folder that holds only what the sandbox should see")
	case p.Closed != "":
		return fail(m.closed(p))
	case p.Kind == RuleMissing:
		return fail("it does not exist", "make it first, or drop the rule")
	case !write && underAny(p.Real, systemRoots):
		return nil // visible already
	case p.Kind == RuleDir:
		m.addView(belljar.View{Source: p.Real, Target: p.Real, ReadOnly: !write})
		return nil
	}
	if why := m.hiddenBy(p.Real); why != "" {
		return fail(why, "copy what the sandbox needs to another name")
	}
	if m.t.covered(p.Real) {
		if write && !m.writable(p.Real) {
			return fail("it lies in a folder that is served read-only", "name its folder in files.write")
		}
		return nil
	}
	m.t.add(belljar.Mount{Kind: belljar.MountBind, Source: p.Real, Target: p.Real, ReadOnly: !write, Why: key + at(r.origin)})
	return nil
}

// closed says who may not read p, and the remedy.
func (m *maker) closed(p RulePath) (why, hint string) {
	id := m.f.Identity
	who := fmt.Sprintf("%s (uid %d)", id.User, id.HostUID)
	if id.UID != id.HostUID {
		who = fmt.Sprintf("uid %d, as which root's sandboxes run,", id.HostUID)
	}
	what := quoted(p.Closed)
	if p.Closed == p.As {
		what = "it"
	}
	return who + " may not read " + what, fmt.Sprintf("let uid %d read it (chmod or setfacl on %s), or drop the rule", id.HostUID, quoted(p.Closed))
}

// writable says whether the innermost view over p may be written.
func (m *maker) writable(p string) bool {
	best, ok := 0, false
	for _, v := range m.p.Workspace.Views {
		if under(p, v.Target) && len(v.Target) > best {
			best, ok = len(v.Target), !v.ReadOnly
		}
	}
	return ok
}

// addView adds a view unless one that is there already serves the same.
func (m *maker) addView(v belljar.View) {
	for i, x := range m.p.Workspace.Views {
		if x.Source == v.Source {
			if i > 0 && !v.ReadOnly {
				m.p.Workspace.Views[i].ReadOnly = false
			}
			return
		}
		if under(v.Source, x.Source) && (v.ReadOnly || !x.ReadOnly) {
			return
		}
	}
	m.p.Workspace.Views = append(m.p.Workspace.Views, v)
	m.t.view(v.Target)
}

// at says where a rule was written.
func at(o belljar.Origin) string {
	switch {
	case o.File != "" && o.Line > 0:
		return fmt.Sprintf(" (%s:%d)", quoted(o.File), o.Line)
	case o.File != "":
		return " (" + o.Layer + " " + quoted(o.File) + ")"
	case o.Layer != "":
		return " (" + o.Layer + ")"
	}
	return ""
}

// Hash is the SHA-256 of a plan's canonical JSON.
func Hash(p *belljar.Plan) string {
	b, err := json.Marshal(p)
	if err != nil {
		// A plan has no value that JSON cannot hold; keep the hash useful anyway.
		b = fmt.Appendf(nil, "%+v", p)
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// homeFiles are the files of presets and of registries, in the order of paths.
func (m *maker) homeFiles() {
	files := map[string]string{}
	for _, r := range m.f.Registries {
		if !m.asked(r.Kind) {
			continue
		}
		for p, c := range r.Files {
			files[p] = c
		}
	}
	for _, h := range m.w.home {
		files[filepath.Clean(h.path)] = h.content
	}
	m.ownHooks(files)
	for _, p := range sortedKeys(files) {
		m.p.HomeFiles = append(m.p.HomeFiles, belljar.HomeFile{Path: p, Content: files[p]})
	}
}

func (m *maker) asked(kind string) bool {
	return slices.ContainsFunc(m.w.registries, func(p belljar.Pattern) bool { return p.Glob == kind })
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
