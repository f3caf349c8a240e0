package view

import (
	"bytes"
	"errors"
	"os"
	"path"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/workspace/gitindex"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// What is in this file keeps the host's repositories whole. The object store is
// append-only: an object file that the host has is never removed, replaced or
// written to; a new one gets there by a rename, once its content was found to be
// what its name says. References and logs go only under git's own lock. Inside, all
// that looks as it was asked for, until the run ends.

// keeps changes the verdict v of a removal to hold where the host keeps its file.
func (t *tree) keeps(p *node, d dirs, name string, s *spot, v rules.Verdict) rules.Verdict {
	switch {
	case s.upper && !s.both, s.st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return v
	case v.Kind == rules.Hold && s.verdict.Kind == rules.Pass && s.verdict.Lasting:
		if t.madeHere(p, s) {
			v.Kind = rules.Pass
		}
	case v.Kind != rules.Pass, t.madeHere(p, s):
	case s.verdict.LockOnly:
		// The host keeps its index and packed-refs until git's lock file replaces them.
		v.Kind, v.Reason = rules.Hold, s.verdict.Reason
	case v.Guard != rules.NoGuard && !t.locked(p, d, name, v.Guard):
		v.Kind = rules.Hold
	}
	return v
}

// locked says whether the lock exists under which git removes (p, name).
func (t *tree) locked(p *node, d dirs, name string, g rules.Guard) bool {
	var st unix.Stat_t
	if g == rules.LockBeside {
		return statAt(d.lower, name+".lock", &st) == nil
	}
	// logs/REF belongs to REF.lock in the same git directory.
	t.mu.RLock()
	ref := name
	for ; p.parent != nil && p.name != "logs" && p.state.InGit(); p = p.parent {
		ref = p.name + "/" + ref
	}
	top := p.parent
	rel := ""
	if top != nil {
		rel = relLocked(top)
	}
	t.mu.RUnlock()
	if top == nil || p.name != "logs" {
		return false
	}
	dir, err := walk(t.lower, join(rel, parentOf(ref)))
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	return statAt(dir, path.Base(ref)+".lock", &st) == nil
}

// renamesLog says that git moves a log, as it does when a branch is renamed.
func (m *move) renamesLog() bool {
	return m.from.verdict.Guard == rules.LockOfRef && m.verdict.Kind == rules.Pass && m.verdict.Guard == rules.LockOfRef
}

// forThisRun says that the removal of something of this verdict must not outlive
// the run: it will never be applied, and the next run needs a whole repository.
func (t *tree) forThisRun(v *rules.Verdict) bool {
	return v.Lasting || v.Cache || (t.live || v.ByPass) && v.Class == rules.GitData
}

// clockStep is by how much the clock of file systems may be behind.
const clockStep = 20 * time.Millisecond

// outdated removes what an earlier run did to objects that the host has, and what
// it made of git's caches, which may describe objects that are not there any more.
func (t *tree) outdated(d dirs, name string, up *unix.Stat_t, s *spot) bool {
	if up.Mode&unix.S_IFMT != unix.S_IFREG || up.Ctim.Nano() >= t.began.Add(-clockStep).UnixNano() {
		return false
	}
	return t.upper.Remove(s.rel) == nil && statAt(d.upper, name, up) == unix.ENOENT
}

// harmlessMeta says that a change of attributes is one of those that git makes to
// the objects of the host, and that it keeps them readable: a later time, by which
// they are not pruned, and permissions.
func (t *tree) harmlessMeta(n *node, s *spot, in *fuse.SetAttrIn) bool {
	if t.readOnly || n.typ != unix.S_IFREG || s.upper || s.verdict.Kind != rules.Pass || !s.verdict.Lasting || t.foreign(&s.st) {
		return false
	}
	if mode, ok := in.GetMode(); ok && mode&0o400 == 0 {
		return false
	}
	return in.Valid&fuse.FATTR_MTIME == 0 || in.Valid&fuse.FATTR_MTIME_NOW != 0 || int64(in.Mtime) >= s.st.Mtim.Sec
}

// lands moves a file to the name of an object on the host. What is not what it
// should be stays in the shadow; what the host has already is not replaced. The
// caller holds tree.shape for writing, so that nobody writes to the file meanwhile.
func (t *tree) lands(m *move) error {
	t.quiesce(t.kid(m.p, m.old))
	held := m.from.upper || m.from.verdict.Kind != rules.Pass
	dir, name := m.dp.lower, m.old
	if held {
		if err := t.quota.fits(m.from.st.Size); err != nil {
			return err
		}
		dir, name = t.upper.TmpDir(), t.upper.TmpName()
		defer func() { _ = unix.Unlinkat(dir, name, 0) }()
		if m.from.st.Mode&unix.S_IFMT == unix.S_IFREG {
			if err := t.copyFile(m.from.dir(m.dp), m.old, dir, name); err != nil {
				return err
			}
		}
	}
	m.to.kept = m.to.lower
	if err := t.checkObject(m, dir, name); err != nil {
		m.hold = err.Error()
		if m.from.upper {
			return t.moveInside(m)
		}
		return t.moveIn(m)
	}
	if m.to.whiteout || m.to.upper {
		if err := t.upper.Remove(m.to.rel); err != nil {
			return err
		}
	}
	if !held {
		if err := t.keep(&m.from, m.dp.lower, m.old); err != nil {
			return err
		}
	}
	switch {
	case m.to.lower && held:
		return t.takeMoved(m)
	case m.to.lower:
		t.quota.add(-m.from.st.Blocks*512 - perFile)
		return unix.Unlinkat(m.dp.lower, m.old, 0)
	case held:
		t.quota.add(copied(&m.from.st))
		if err := t.toHost(m.dq.lower, m.new, name, m.to.rel); err != nil {
			return err
		}
		return t.takeMoved(m)
	}
	return unix.Renameat2(m.dp.lower, m.old, m.dq.lower, m.new, unix.RENAME_NOREPLACE)
}

// errKept says that the host has something of that name, which it keeps.
var errKept = errors.New("the host keeps its own")

// checkObject says why (dir, name) must not get the name that m gives it.
func (t *tree) checkObject(m *move, dir int, name string) error {
	if m.from.st.Mode&unix.S_IFMT != unix.S_IFREG {
		m.forged = true
		return errors.New("it is no file")
	}
	if m.verdict.Content == rules.Unchecked {
		if m.to.lower {
			return errKept
		}
		return nil
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var st unix.Stat_t
	switch err := unix.Fstat(fd, &st); {
	case err != nil:
		return err
	case st.Nlink != 1 || st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = errors.New("it has another name, under which it could be changed")
		m.forged = true
		return err
	}
	err = t.checkContent(m, f, st.Size)
	m.forged = err != nil && err != errKept
	return err
}

func (t *tree) checkContent(m *move, f *os.File, size int64) error {
	switch m.verdict.Content {
	case rules.LooseObject:
		return gitindex.CheckLoose(baseName(parentOf(m.to.rel))+m.new, f)
	case rules.LargeFile:
		return gitindex.CheckLFS(m.new, f)
	}
	hash, _, _ := strings.Cut(strings.TrimPrefix(m.new, "pack-"), ".")
	format, ok := gitindex.FormatOfName(hash)
	if !ok {
		return errors.New("it has not the name of a pack")
	}
	if m.verdict.Content == rules.Pack {
		sum, _, err := gitindex.CheckPack(f, size, format)
		if err != nil {
			return err
		}
		if m.to.lower {
			return t.sameTrailer(m.dq.lower, m.new, format, 1, sum, errKept)
		}
		return t.sameTrailer(m.dq.lower, "pack-"+hash+".idx", format, 2, sum, errors.New("the pack is not the one of its index"))
	}
	sum, _, err := gitindex.CheckPackIndex(f, size, format)
	if err != nil {
		return err
	}
	if m.to.lower {
		return t.sameTrailer(m.dq.lower, m.new, format, 2, sum, errKept)
	}
	return t.sameTrailer(m.dq.lower, "pack-"+hash+".pack", format, 1, sum, errors.New("it is the index of another pack"))
}

// sameTrailer compares a checksum near the end of a file of the host, if there is
// one, with sum; the error is the caller's.
func (t *tree) sameTrailer(dir int, name string, f gitindex.Format, back int64, sum []byte, differs error) error {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return differs
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	i, err := file.Stat()
	if err != nil {
		return differs
	}
	has, err := gitindex.PackTrailer(file, i.Size(), f, back)
	if err != nil || !bytes.Equal(has, sum) {
		return differs
	}
	return nil
}
