package native

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/contract"
	"github.com/belljar-dev/belljar/backend/internal/guest"
	"github.com/belljar-dev/belljar/backend/internal/stage"
	"github.com/belljar-dev/belljar/backend/native/internal/jail"
)

// newJob says how a plan's root is made. The root is built below root.
func newJob(p *belljar.Plan, root string) (*jail.Job, error) {
	j := &builder{p: p, Job: jail.Job{
		Root: root, Hostname: p.Hostname,
		CPUs: contract.CPUs(p.Limits), Files: p.Limits.Files, Processes: p.Limits.Processes, Memory: p.Limits.Memory,
	}}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err == nil {
		j.Pinned = j.CPUs < set.Count()
	}
	views := slices.Clone(p.Workspace.Views)
	slices.SortStableFunc(views, func(a, b belljar.View) int { return cmp.Compare(a.Target, b.Target) })
	for _, m := range p.Mounts {
		// A view comes after all that is mounted above it and before what is below.
		views = slices.DeleteFunc(views, func(v belljar.View) bool {
			due := m.Target != v.Target && isBelow(m.Target, v.Target)
			if due {
				j.view(v)
			}
			return due
		})
		if err := j.add(m); err != nil {
			return nil, fmt.Errorf("mount %q: %w", m.Target, err)
		}
	}
	for _, v := range views {
		j.view(v)
	}
	j.step(stage.Op{Kind: stage.OpSelf, Target: guest.Path, ReadOnly: true}, 0)
	j.Writable = slices.Compact(slices.Sorted(slices.Values(j.Writable)))
	return &j.Job, nil
}

type builder struct {
	jail.Job
	p     *belljar.Plan
	above []string // targets of what may be written or is not the root's own
	files int
}

func (j *builder) step(o stage.Op, size int64) {
	j.Steps = append(j.Steps, jail.Step{Op: o, Size: size})
}

// mounted notes that target is no longer part of the root itself.
func (j *builder) mounted(target string, readOnly bool) {
	j.above = append(j.above, target)
	if !readOnly {
		j.Writable = append(j.Writable, target)
	}
}

func (j *builder) covered(target string) bool {
	return slices.ContainsFunc(j.above, func(a string) bool { return a != target && isBelow(target, a) })
}

func (j *builder) add(m belljar.Mount) error {
	if !path.IsAbs(m.Target) || path.Clean(m.Target) != m.Target {
		return errors.New("not a clean absolute path")
	}
	o := stage.Op{Target: m.Target, Source: m.Source, Content: m.Content, Perm: m.Perm, ReadOnly: m.ReadOnly}
	switch m.Kind {
	case belljar.MountBind:
		o.Kind = stage.OpBind
		for _, v := range j.p.Workspace.Views {
			// What an agent may have written is never followed through a link.
			o.NoLinks = o.NoLinks || isBelow(m.Source, v.Source)
		}
		j.step(o, 0)
		j.mounted(m.Target, m.ReadOnly)
	case belljar.MountFile:
		j.file(o)
	case belljar.MountDir:
		o.Kind = stage.OpDir
		j.step(o, 0)
	case belljar.MountSymlink:
		o.Kind = stage.OpSymlink
		j.step(o, 0)
	case belljar.MountTmpfs:
		o.Kind = jail.StepTmpfs
		j.step(o, m.Size)
		j.mounted(m.Target, m.ReadOnly)
	case belljar.MountProc:
		o.Kind = jail.StepProc
		j.step(o, 0)
		j.mounted(m.Target, true)
	case belljar.MountDev:
		o.Kind = jail.StepDev
		j.step(o, 0)
		j.mounted(m.Target, true)
		if !slices.ContainsFunc(j.p.Mounts, func(x belljar.Mount) bool { return x.Target == path.Join(m.Target, "shm") }) {
			shm := path.Join(m.Target, "shm")
			j.step(stage.Op{Kind: jail.StepTmpfs, Target: shm, Perm: 0o1777}, 64<<20)
			j.mounted(shm, false)
		}
	default:
		return fmt.Errorf("unknown kind %q", m.Kind)
	}
	return nil
}

// file makes a file of the plan. Where the folder is not the root's own, which is
// read-only in the end, the file is a mount, so that it cannot be replaced.
func (j *builder) file(o stage.Op) {
	o.Kind, o.ReadOnly = stage.OpFile, false
	if !j.covered(o.Target) {
		j.step(o, 0)
		return
	}
	j.files++
	at := o.Target
	o.Target = jail.Files + "/" + strconv.Itoa(j.files)
	j.step(o, 0)
	j.step(stage.Op{Kind: jail.StepInside, Target: at, Source: o.Target}, 0)
}

func (j *builder) view(v belljar.View) {
	ro := v.ReadOnly || j.p.Workspace.Mode == belljar.ModeReadOnly
	index := slices.IndexFunc(j.p.Workspace.Views, func(o belljar.View) bool { return o.Target == v.Target })
	j.step(stage.Op{Kind: stage.OpFuse, Target: v.Target, View: index, ReadOnly: ro}, 0)
	j.mounted(v.Target, ro)
}

func isBelow(p, dir string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
