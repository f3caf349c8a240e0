package view

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/before"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
)

// keepsBefore says whether something may be changed on the host that an undo is to
// bring back. A worktree is the sandbox's own.
func keepsBefore(w *belljar.Workspace) bool {
	return w.Mode == belljar.ModeLive || w.Mode == belljar.ModeReview && len(w.Pass) > 0
}

// keepBefore makes t write down what the host has before it changes it.
func (t *tree) keepBefore(w *belljar.Workspace, run string) (err error) {
	dir := filepath.Join(w.Shadow, "views", shadow.Key(t.upper.Source))
	t.before, err = before.NewWriter(dir, run, string(w.Mode), t.copyFile)
	return err
}

// keep writes down what the host has at (dir, name), which is s, before its first
// change. Git's objects are only added. The caller does not hold tree.mu.
func (t *tree) keep(s *spot, dir int, name string) error {
	if t.before == nil || s.rel == "" || s.verdict.Lasting && s.lowerSt.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	if t.before.Kept(s.rel) {
		t.catchUp()
	}
	return t.before.Keep(s.rel, dir, name)
}

// catchUp learns of what the user has saved just now. The caller does not hold tree.mu.
func (t *tree) catchUp() {
	if t.watch != nil {
		t.watch.settle()
	}
}

// keepNew writes down that the host has nothing at s.
func (t *tree) keepNew(s *spot, e rules.Entry) error {
	if t.before == nil || s.verdict.Lasting && e != rules.Dir {
		return nil
	}
	return t.before.New(s.rel)
}

// keepMove writes down both ends of a rename on the host.
func (t *tree) keepMove(m *move) error {
	if err := t.keep(&m.from, m.dp.lower, m.old); err != nil {
		return err
	}
	return t.keep(&m.to, m.dq.lower, m.new)
}

// keepTree writes down all that changes its path when a folder of the host is renamed.
func (t *tree) keepTree(m *move) error {
	if t.before == nil {
		return nil
	}
	if err := t.keepMove(m); err != nil {
		return err
	}
	return t.keepBelow(m.from.rel, m.to.rel, m.from.state, false)
}

// keepBelow keeps what is in from, also where the run made that folder: the host may have
// put something into it. What is hidden, or lies in a folder that is, moves along.
func (t *tree) keepBelow(from, to string, state rules.State, hidden bool) error {
	fd, err := walk(t.lower, from)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ents, err := readDir(fd)
	if err != nil {
		return err
	}
	made := t.before.Made(from)
	var arrives, unseen []string
	below, hides := make([]rules.State, len(ents)), make([]bool, len(ents))
	for i, e := range ents {
		var v rules.Verdict
		below[i], v = state.Judge(e.Name, entryOf(e.Mode))
		keep := t.before.Keep
		if hides[i] = hidden || v.Kind == rules.Hide; hides[i] {
			unseen = append(unseen, join(to, e.Name))
			keep = t.before.KeepHidden
		} else {
			arrives = append(arrives, join(to, e.Name))
		}
		if v.Lasting && e.Mode&unix.S_IFMT != unix.S_IFDIR && made {
			continue // an object that the run added is not written down
		}
		if err := keep(join(from, e.Name), fd, e.Name); err != nil {
			return err
		}
	}
	if err := errors.Join(t.before.New(arrives...), t.before.NewHidden(unseen...)); err != nil {
		return err
	}
	for i, e := range ents {
		if e.Mode&unix.S_IFMT == unix.S_IFDIR {
			if err := t.keepBelow(join(from, e.Name), join(to, e.Name), below[i], hides[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostChanges is [before.Writer.HostChanges].
func (t *tree) hostChanges() uint64 {
	if t.before == nil {
		return 0
	}
	return t.before.HostChanges()
}

// keepOpened keeps what the host has made of a file since f was opened to write to it.
// The caller holds tree.shape and the node's data.mu.
func (t *tree) keepOpened(f *openFile) error {
	if t.before == nil || f.upper {
		return nil
	}
	t.catchUp()
	if f.kept == t.before.HostChanges() {
		return nil
	}
	seen := t.before.HostChanges()
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return err
	}
	if st.Nlink > 0 {
		if err := t.keepNamed(f, st.Ino); err != nil {
			return err
		}
	}
	f.kept = seen
	return nil
}

// keepNamed keeps f under the name that it has on the host by now.
func (t *tree) keepNamed(f *openFile, ino uint64) error {
	rel, ok := t.relOf(f)
	if !ok {
		return unix.ESTALE // it has left the tree
	}
	d, err := walk(t.lower, parentOf(rel))
	if err != nil {
		return err
	}
	defer unix.Close(d)
	var st unix.Stat_t
	if err := statAt(d, baseName(rel), &st); err != nil || st.Ino != ino || t.rules.Explain(rel).Lasting {
		return nil // that name is gone, others are not this descriptor's
	}
	return t.before.Keep(rel, d, baseName(rel))
}

// endBefore writes down how the run leaves what it changed.
func (t *tree) endBefore() error {
	if t.before == nil {
		return nil
	}
	dir, fd := "", t.lower
	defer func() {
		if dir != "" {
			unix.Close(fd)
		}
	}()
	return t.before.End(func(rel string) (*shadow.Base, error) {
		if d := parentOf(rel); d != dir {
			if dir != "" {
				unix.Close(fd)
			}
			dir, fd = "", t.lower
			if d != "" {
				at, err := walk(t.lower, d)
				if err != nil {
					if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
						return nil, nil
					}
					return nil, err
				}
				dir, fd = d, at
			}
		}
		var st unix.Stat_t
		switch err := statAt(fd, baseName(rel), &st); err {
		case nil:
			return shadow.StatBase(&st), nil
		case unix.ENOENT:
			return nil, nil
		default:
			return nil, err
		}
	})
}
