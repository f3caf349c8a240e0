package workspace

import (
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
)

// remove takes rel away on the host. asked says that the shadow has a whiteout
// for it, else it follows from a folder made anew.
func (t *tree) remove(rel string, asked bool) error {
	if err := t.still(rel, asked); err != nil {
		return err
	}
	return t.removeAll(rel)
}

// still asks again whether rel may go.
func (t *tree) still(rel string, asked bool) error {
	if !asked {
		if t.keeps(rel, t.birth(t.opaqueAbove(rel))) != "" {
			return errConflict
		}
		return nil
	}
	e, err := t.view.Lookup(rel)
	if err != nil {
		return err
	}
	c := Change{Path: rel, Op: OpDelete}
	now, err := t.hostBase(rel, e.Base)
	if err != nil || now == nil {
		return err
	}
	c.Kind = kindOf(now.Mode)
	if _, err := t.compare(&c, e, now); err != nil {
		return err
	}
	if c.Conflict != "" {
		return errConflict
	}
	return nil
}

// clear makes room for what the sandbox has at rel instead of what the host has
// there, which is of another kind. An equal kind stays.
func (t *tree) clear(rel string) error {
	e, err := t.view.Lookup(rel)
	if err != nil {
		return err
	}
	st, err := t.stat(rel)
	if err == unix.ENOENT || err == nil && (kindOf(st.Mode) == KindDir) == (e.Kind == shadow.Dir) {
		return nil
	}
	if err != nil {
		return err
	}
	if t.instead(e, st.Mode) != "" {
		return errConflict
	}
	return t.removeAll(rel)
}

// instead says why what the host has at e, of another kind, may not be replaced.
func (t *tree) instead(e shadow.Entry, mode uint32) string {
	if why := t.pinned(e.Path, entryOf(mode)); why != "" {
		return why
	}
	if v := t.judge(e.Path, entryOf(mode)); v.Kind == rules.Hide {
		return "the host has something there that the sandbox could not see"
	}
	if kindOf(mode) != KindDir {
		b, err := t.view.Base(e.Path)
		if err != nil {
			return hostError(err)
		}
		if b != nil {
			if now, err := t.hostBase(e.Path, b); err == nil && b.Same(now) {
				return ""
			}
		}
	}
	return t.keeps(e.Path, t.entryBirth(e.Path))
}

// entryBirth is when the shadow's entry was made; zero where that is not known.
func (t *tree) entryBirth(rel string) time.Time {
	dir, name := splitRel(rel)
	fd, err := t.view.OpenDir(dir)
	if err != nil {
		return time.Time{}
	}
	defer func() { _ = unix.Close(fd) }()
	var x unix.Statx_t
	if unix.Statx(fd, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &x) != nil || x.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}
	}
	return time.Unix(x.Btime.Sec, int64(x.Btime.Nsec))
}

// removeAll removes rel and what is below it, each file kept for undo.
func (t *tree) removeAll(rel string) error {
	d, name, err := t.parent(rel)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(d) }()
	old, err := lstat(d, name)
	if err != nil || old == nil {
		return err
	}
	isDir := kindOf(old.Mode) == KindDir
	if isDir {
		names, err := t.list(rel)
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := t.removeAll(path.Join(rel, n)); err != nil {
				return err
			}
		}
	}
	delete(t.states, rel)
	if kindOf(old.Mode) == KindFile {
		err := t.j.take(d, name, old, func(before *state) error { return t.write(rel, before, nil) })
		if err != errFar {
			return err
		}
	}
	before, err := t.j.save(d, name)
	if err != nil || before == nil {
		return err
	}
	if err := t.write(rel, before, nil); err != nil {
		return err
	}
	if isDir {
		err = unix.Unlinkat(d, name, unix.AT_REMOVEDIR)
	} else {
		err = t.takeAway(d, name, rel, old)
	}
	if err != nil {
		t.j.void()
	}
	return err
}

// landMode gives a folder of the host the permissions that it has in the shadow.
func (t *tree) landMode(e shadow.Entry) error {
	d, name, err := t.parent(e.Path)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(d) }()
	old, err := lstat(d, name)
	if err != nil || kindOf(modeOf(old)) != KindDir {
		return errConflict
	}
	b, err := t.view.Base(e.Path)
	anew := e.Opaque || t.opaqueAbove(e.Path) != ""
	if err != nil || !anew && (b == nil || (b.Mode^old.Mode)&0o777 != 0) {
		return errConflict
	}
	before := &state{Base: shadow.Base{Mode: old.Mode}}
	after := &state{Base: shadow.Base{Mode: unix.S_IFDIR | e.Perm}}
	if err := t.write(e.Path, before, after); err != nil {
		return err
	}
	if err := chmodDir(d, name, e.Perm); err != nil {
		t.j.void()
		return err
	}
	if anew {
		return nil
	}
	err = t.view.SetBase(e.Path, nil)
	t.view.Prune(e.Path)
	return err
}
