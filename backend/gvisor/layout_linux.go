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
	l := &layout{root: root}
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
			l.mount(tmpfs(m, 1<<20))
		}
	case belljar.MountSymlink:
		if hidden {
			return fmt.Errorf("a link cannot be put into a file system of the sandbox's kernel")
		}
		l.op(stage.Op{Kind: stage.OpSymlink, Target: m.Target, Content: m.Content})
	case belljar.MountTmpfs:
		l.op(stage.Op{Kind: stage.OpDir, Target: m.Target})
		l.mount(tmpfs(m, m.Size))
	case belljar.MountProc, belljar.MountDev:
		l.op(stage.Op{Kind: stage.OpDir, Target: m.Target})
		l.mount(sentryMount{kind: string(m.Kind), source: string(m.Kind), target: m.Target})
	default:
		return fmt.Errorf("unknown kind %q", m.Kind)
	}
	return nil
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
