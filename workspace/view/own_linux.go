package view

import (
	"os"
	"path"

	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"golang.org/x/sys/unix"
)

// removedBy says whether the entry of the shadow is a whiteout, and whether it is
// one of an earlier run that was meant for that one only.
func (t *tree) removedBy(dir int, name string, st *unix.Stat_t) (whiteout, void bool) {
	run, ok := shadow.WhiteoutRun(dir, name, st)
	return ok, ok && run != "" && run != t.run
}

// own makes the file or directory n, found at s, one that may be changed: held ones
// are copied into the shadow, files that share their data with names outside of
// the view are separated from them. It updates d and s. The caller holds
// tree.shape.
func (t *tree) own(n *node, d *dirs, s *spot) error {
	switch {
	case t.readOnly:
		return unix.EROFS
	case s.upper && (!s.both || s.verdict.Kind != rules.Pass):
		return nil
	case s.verdict.Kind == rules.Deny, s.verdict.LockOnly && s.verdict.Kind == rules.Pass:
		t.refuse(opWrite, s)
		return unix.EPERM
	case s.verdict.Kind != rules.Pass, s.verdict.Lasting && n.typ == unix.S_IFREG && !t.partOfMade(n):
		return t.copyUp(n, d, s)
	}
	if n.parent != nil {
		if err := t.keep(s, d.lower, path.Base(s.rel)); err != nil {
			return err
		}
	}
	if n.typ == unix.S_IFREG && t.foreign(&s.st) {
		return t.separate(n, d, s)
	}
	return nil
}

// copyUp makes the private copy of a held entry of the host.
func (t *tree) copyUp(n *node, d *dirs, s *spot) error {
	if err := t.parents(s.rel); err != nil {
		return err
	}
	var err error
	if n.typ == unix.S_IFDIR {
		err = t.upper.MakeDir(s.rel, s.st.Mode&0o777, false)
	} else {
		err = t.upper.CopyIn(d.lower, path.Base(s.rel), s.rel, t.quota.fits)
		if err == nil {
			t.quota.add(copied(&s.st) + perFile)
		}
	}
	if err != nil {
		return err
	}
	return t.refind(n, d, s)
}

// refind finds n again after its place changed behind its name.
func (t *tree) refind(n *node, d *dirs, s *spot) error {
	t.mu.RLock()
	p, name := n.parent, n.name
	t.mu.RUnlock()
	t.mu.Lock()
	p.seen = false
	t.mu.Unlock()
	d.close()
	var err error
	if *d, err = t.open(p); err != nil {
		return err
	}
	if *s, err = t.find(*d, p, name); err != nil {
		return err
	}
	t.mu.Lock()
	n.ino = s.st.Ino
	n.adopt(s)
	t.mu.Unlock()
	return nil
}

// parents makes the directories of the shadow above rel, with the permissions of
// those of the host.
func (t *tree) parents(rel string) error {
	return t.upper.MakeParents(rel, func(dir string) uint32 {
		fd, err := walk(t.lower, dir)
		if err != nil {
			return 0o755
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil {
			return 0o755
		}
		return st.Mode&0o777 | 0o700
	})
}

// foreign says whether a file of the host has names that were not made here.
func (t *tree) foreign(st *unix.Stat_t) bool {
	if st.Nlink <= 1 {
		return false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return uint64(st.Nlink) > max(t.linked[st.Ino], 1)
}

// separate replaces the file of the host at s by a copy, so that its other names
// (a package store's) keep what they had. Nothing is left behind by a kill.
func (t *tree) separate(n *node, d *dirs, s *spot) error {
	if err := t.quota.fits(s.st.Size); err != nil {
		return err
	}
	name := path.Base(s.rel)
	tmp := t.upper.TmpName()
	if err := t.copyTmp(d.lower, name, tmp); err != nil {
		unix.Unlinkat(t.upper.TmpDir(), tmp, 0)
		return err
	}
	if err := t.toHost(d.lower, name, tmp, s.rel); err != nil {
		return err
	}
	t.quota.add(copied(&s.st) + perFile)
	t.mu.Lock()
	if t.linked[s.st.Ino] > 1 {
		t.linked[s.st.Ino]--
	}
	n.more = nil
	t.mu.Unlock()
	return t.refind(n, d, s)
}

// toHost puts the finished file tmp of the shadow at (dir, name) of the host, which
// is rel, in one step.
func (t *tree) toHost(dir int, name, tmp, rel string) error {
	err := unix.Renameat(t.upper.TmpDir(), tmp, dir, name)
	if err == unix.EXDEV {
		err = t.replaceAcross(dir, name, tmp, rel)
	}
	if err != nil {
		unix.Unlinkat(t.upper.TmpDir(), tmp, 0)
	}
	return err
}

// copyTmp copies a file of the host into the shadow's folder for unfinished work.
func (t *tree) copyTmp(dir int, name, tmp string) error {
	return t.copyFile(dir, name, t.upper.TmpDir(), tmp)
}

// copyFile copies data, permissions, times and users' attributes to a new name.
func (t *tree) copyFile(dir int, name string, to int, as string) error {
	var st unix.Stat_t
	if err := statAt(dir, name, &st); err != nil {
		return err
	}
	in, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	from := os.NewFile(uintptr(in), name)
	defer from.Close()
	out, err := unix.Openat(to, as, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(out), as)
	defer dst.Close()
	if err := shadow.CopySparse(dst, from); err != nil {
		return err
	}
	shadow.CopyXattrs(in, out)
	if err := unix.Fchmod(out, st.Mode&0o777); err != nil {
		return err
	}
	return unix.UtimesNanoAt(to, as, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// replaceAcross does what rename cannot: the shadow lies on another file system
// (or mount). The copy gets a name beside the file for as long as two calls take;
// the shadow has it on record first, so that the next server removes it if a kill
// comes between them.
func (t *tree) replaceAcross(dir int, name, tmp, rel string) error {
	side := ".belljar-" + t.upper.TmpName()
	mark, err := t.upper.Promise(join(parentOf(rel), side))
	if err != nil {
		return err
	}
	if err := t.copyFile(t.upper.TmpDir(), tmp, dir, side); err != nil {
		unix.Unlinkat(dir, side, 0)
		t.upper.Keep(mark)
		return err
	}
	if err := unix.Renameat(dir, side, dir, name); err != nil {
		unix.Unlinkat(dir, side, 0)
		t.upper.Keep(mark)
		return err
	}
	t.upper.Keep(mark)
	unix.Unlinkat(t.upper.TmpDir(), tmp, 0)
	return nil
}

func parentOf(rel string) string {
	if i := lastSlash(rel); i >= 0 {
		return rel[:i]
	}
	return ""
}
