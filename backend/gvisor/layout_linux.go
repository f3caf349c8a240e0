package gvisor

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/guest"
	"github.com/belljar-dev/belljar/backend/internal/stage"
)

// A layout is how a plan's files are made: what the launcher stages with the
// host's kernel, and what the sentry mounts on top of that.
//
// Read-only binds that may be cached need no mount in the sentry: they are part of
// the staged root, which the sentry reads as one file system. Everything writable,
// everything that the host may change meanwhile, and everything below a mount that
// only the sentry has, is a mount of its own.
type layout struct {
	root   string // the staged root
	ops    []stage.Op
	mounts []sentryMount
	made   map[string]bool // folders that are there only to hold what is below them
}

type sentryMount struct {
	kind      string // bind, tmpfs, proc, dev
	source    string // in the staged root
	host      string // what the host has there; empty for what we made ourselves
	target    string
	options   []string
	exclusive bool // nobody else writes: everything may be cached
}

// newLayout is pure.
func newLayout(p *belljar.Plan, root string) (*layout, error) {
	l := &layout{root: root, made: map[string]bool{}}
	pending := slices.Clone(p.Workspace.Views)
	slices.SortStableFunc(pending, func(a, b belljar.View) int { return cmp.Compare(a.Target, b.Target) })
	for _, m := range p.Mounts {
		// A view comes after all that is mounted above it and before what is below.
		pending = slices.DeleteFunc(pending, func(v belljar.View) bool {
			due := m.Target != v.Target && isBelow(m.Target, v.Target)
			if due {
				l.view(p, v)
			}
			return due
		})
		if err := l.add(p, m); err != nil {
			return nil, fmt.Errorf("mount %q: %w", m.Target, err)
		}
	}
	for _, v := range pending {
		l.view(p, v)
	}
	l.op(stage.Op{Kind: stage.OpSelf, Target: guest.Path, ReadOnly: true})
	if !l.has("/sys") { // gVisor mounts its own unless there is one
		l.op(stage.Op{Kind: stage.OpDir, Target: "/sys"})
		l.mount(sentryMount{kind: "tmpfs", source: "sys", target: "/sys", options: []string{"ro", "mode=0555", "size=4096"}})
	}
	return l, nil
}

func (l *layout) op(o stage.Op)          { l.ops = append(l.ops, o) }
func (l *layout) mount(m sentryMount)    { l.mounts = append(l.mounts, m) }
func (l *layout) staged(t string) string { return filepath.Join(l.root, t) }

func (l *layout) has(target string) bool {
	for _, m := range l.mounts {
		if m.target == target {
			return true
		}
	}
	return false
}

func (l *layout) add(p *belljar.Plan, m belljar.Mount) error {
	if !path.IsAbs(m.Target) || path.Clean(m.Target) != m.Target {
		return fmt.Errorf("not a clean absolute path")
	}
	hidden := l.covered(m.Target, "tmpfs", "proc", "dev")
	switch m.Kind {
	case belljar.MountBind:
		l.bind(p, m)
	case belljar.MountFile:
		l.op(stage.Op{Kind: stage.OpFile, Target: m.Target, Content: m.Content, Perm: m.Perm})
		if l.covered(m.Target, "tmpfs", "proc", "dev", "bind") {
			l.mount(sentryMount{kind: "bind", source: l.staged(m.Target), target: m.Target, options: []string{"ro", "bind"}, exclusive: true})
		}
	case belljar.MountDir:
		l.op(stage.Op{Kind: stage.OpDir, Target: m.Target, Perm: m.Perm})
		if hidden {
			l.made[m.Target] = true
			l.mount(tmpfs(m, 1<<20))
		}
	case belljar.MountSymlink:
		l.link(p, m, hidden)
	case belljar.MountTmpfs:
		l.op(stage.Op{Kind: stage.OpDir, Target: m.Target})
		l.mount(tmpfs(m, m.Size))
	case belljar.MountProc, belljar.MountDev:
		l.op(stage.Op{Kind: stage.OpDir, Target: m.Target})
		sm := sentryMount{kind: string(m.Kind), source: string(m.Kind), target: m.Target}
		if m.Kind == belljar.MountProc && scopeOf(p) != nil {
			sm.options = []string{"ro", "nosuid", "nodev", "noexec"} // memory of processes is written there
		}
		l.mount(sm)
	default:
		return fmt.Errorf("unknown kind %q", m.Kind)
	}
	return nil
}

// link stages a link. Into a file system that the sentry makes it comes with the
// staged folder around it; where that folder is the file system itself (/tmp), what
// the link leads to takes its place.
func (l *layout) link(p *belljar.Plan, m belljar.Mount, hidden bool) {
	dir := path.Dir(m.Target)
	at := slices.IndexFunc(l.mounts, func(o sentryMount) bool { return o.target == dir })
	switch {
	case !hidden:
	case at < 0:
		l.folder(dir)
	case l.made[dir]:
		l.mounts[at] = l.stagedFolder(dir)
	case l.mounts[at].kind == "tmpfs":
		l.inPlace(p, m)
		return
	}
	l.op(stage.Op{Kind: stage.OpSymlink, Target: m.Target, Content: m.Content})
}

// folder mounts a folder of the staged root below what it lies in and above what is
// mounted in it.
func (l *layout) folder(dir string) {
	first := slices.IndexFunc(l.mounts, func(o sentryMount) bool { return isBelow(o.target, dir) })
	if first < 0 {
		first = len(l.mounts)
	}
	l.mounts = slices.Insert(l.mounts, first, l.stagedFolder(dir))
}

func (l *layout) stagedFolder(dir string) sentryMount {
	return sentryMount{kind: "bind", source: l.staged(dir), target: dir, options: bindOptions(true), exclusive: true}
}

// inPlace mounts what a link leads to where the link would be, if the plan has it.
func (l *layout) inPlace(p *belljar.Plan, m belljar.Mount) {
	to := m.Content
	if !path.IsAbs(to) {
		to = path.Join(path.Dir(m.Target), to)
	}
	for _, o := range p.Mounts {
		if o.Kind == belljar.MountBind && isBelow(to, o.Target) {
			l.op(stage.Op{Kind: stage.OpBind, Target: m.Target, Source: path.Join(o.Source, strings.TrimPrefix(to, o.Target)), ReadOnly: true, NoLinks: true})
			l.mount(sentryMount{kind: "bind", source: l.staged(m.Target), target: m.Target, options: bindOptions(true)})
			return
		}
	}
}

func tmpfs(m belljar.Mount, size int64) sentryMount {
	perm := m.Perm
	if perm == 0 {
		perm = 0o755
	}
	o := []string{"nosuid", "nodev", "mode=0" + strconv.FormatUint(uint64(perm), 8)}
	if size > 0 {
		o = append(o, "size="+strconv.FormatInt(size, 10))
	}
	if m.ReadOnly {
		o = append(o, "ro")
	}
	return sentryMount{kind: "tmpfs", source: "tmpfs", target: m.Target, options: o}
}

func (l *layout) bind(p *belljar.Plan, m belljar.Mount) {
	o := stage.Op{Kind: stage.OpBind, Target: m.Target, Source: m.Source, ReadOnly: m.ReadOnly}
	for _, v := range p.Workspace.Views {
		// What an agent may have written is never followed through a link.
		o.NoLinks = o.NoLinks || isBelow(m.Source, v.Source)
	}
	l.op(o)
	exclusive := m.Private || system(m.Source)
	if m.ReadOnly && exclusive && !l.covered(m.Target, "tmpfs", "proc", "dev", "bind") {
		return
	}
	l.mount(sentryMount{"bind", l.staged(m.Target), m.Source, m.Target, bindOptions(m.ReadOnly), exclusive})
}

func (l *layout) view(p *belljar.Plan, v belljar.View) {
	ro := v.ReadOnly || p.Workspace.Mode == belljar.ModeReadOnly
	index := slices.IndexFunc(p.Workspace.Views, func(o belljar.View) bool { return o.Target == v.Target })
	l.op(stage.Op{Kind: stage.OpFuse, Target: v.Target, View: index, ReadOnly: ro})
	l.mount(sentryMount{kind: "bind", source: l.staged(v.Target), target: v.Target, options: append(bindOptions(ro), noSharing)})
}

func bindOptions(ro bool) []string {
	if ro {
		return []string{"ro", "rbind", "nosuid", "nodev"}
	}
	return []string{"rw", "rbind", "nosuid", "nodev"}
}

// covered says whether target lies below a mount of one of the kinds that the
// sentry makes.
func (l *layout) covered(target string, kinds ...string) bool {
	for _, m := range l.mounts {
		for _, k := range kinds {
			if m.kind == k && m.target != target && isBelow(target, m.target) {
				return true
			}
		}
	}
	return false
}

// system says whether source belongs to the operating system, which a package
// manager changes rarely and never in the middle of a run that matters.
func system(source string) bool {
	for _, d := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/etc", "/nix", "/gnu", "/snap"} {
		if isBelow(source, d) {
			return true
		}
	}
	return strings.HasPrefix(source, "/lib")
}
