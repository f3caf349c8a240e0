package worktree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
	"golang.org/x/sys/unix"
)

// A landing moves HEAD and the work tree from one commit to another.
type landing struct {
	*merging
	ref      string // the branch that is checked out; empty: none
	from, to string
	tree     *folder
	index    *index
	todo     []Change // as the tree is to be changed: removals first
	done     []Change // of todo, by this run
	killed   bool     // a merge before this one was
	before   []byte   // the index as it was; nil: there was none
}

// run checks everything, then changes everything, and takes that back where it fails. What it did when it was killed is
// taken for done by the next run: a file may already be what it is to become.
func (l *landing) run() (err error) {
	if !l.o.Risky {
		for _, c := range l.res.Changes {
			if c.Risky {
				l.res.Blocked = "it brings files that run by themselves, lead elsewhere or are hidden from sandboxes"
				return nil
			}
		}
	}
	if l.tree, err = openFolder(l.o.Source.Project); err != nil {
		return err
	}
	defer l.tree.close()
	lock, err := l.lockIndex()
	if err != nil || lock == nil {
		return err
	}
	defer func() { err = errors.Join(err, l.r.git.Remove(indexLock), lock.Close()) }()
	if err := l.check(); err != nil || l.res.Blocked != "" {
		return err
	}
	if l.killed {
		l.sweep()
	}
	if err := l.write(); err != nil {
		return fmt.Errorf("write objects: %w", err)
	}
	if err := l.change(); err != nil {
		return l.takeBack(fmt.Errorf("change the work tree: %w", err), false)
	}
	if err := l.writeIndex(l.index.encode()); err != nil {
		return l.takeBack(fmt.Errorf("write the index: %w", err), false)
	}
	if err := l.move(); err != nil {
		return l.takeBack(err, true)
	}
	return nil
}

// ErrHalf is what [Merge] fails with when it could not take back what it had changed
// before: the work tree is neither what it was nor what it is to be.
var ErrHalf = errors.New("a part of it is in the work tree")

// takeBack makes the work tree what it was before run failed with err; what somebody
// changed meanwhile stays.
func (l *landing) takeBack(err error, index bool) error {
	l.r.store.Within(context.WithoutCancel(l.ctx))
	var failed error
	for _, c := range slices.Backward(l.done) {
		if e := l.restore(c); e != nil {
			failed = errors.Join(failed, fmt.Errorf("%q: %w", c.Path, e))
		}
	}
	if index && l.before != nil {
		failed = errors.Join(failed, l.writeIndex(l.before))
	} else if index {
		failed = errors.Join(failed, l.r.git.Remove("index"))
	}
	if failed != nil {
		return errors.Join(err, fmt.Errorf("%w, which could not be taken back: %w", ErrHalf, failed))
	}
	return err
}

func (l *landing) restore(c Change) error {
	now, _, err := l.tree.side(c.Path, l.r.hash)
	if err != nil || now != c.to {
		return errors.Join(err, errors.New("it was changed meanwhile"))
	}
	if !c.from.exists() {
		return l.tree.remove(c.Path)
	}
	b, err := l.r.blob(c.from.id)
	if err != nil {
		return err
	}
	return l.tree.replace(c.Path, c.from.mode, b, now, l.r.hash)
}

// writeIndex replaces the index. The lock stays what it is, so that whoever finds it
// after a kill knows whose it is.
func (l *landing) writeIndex(b []byte) error {
	f, err := l.r.git.OpenFile(indexNew, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, l.r.git.Remove(indexNew))
	}
	return l.r.git.Rename(indexNew, "index")
}

const (
	indexLock = "index.lock"
	indexNew  = "index.belljar"
	// ours is what a lock of ours holds: one that a merge left which was killed is told
	// by it from git's own.
	ours = "belljar merge"
)

// lockIndex keeps git away from the index, as git does; nil where somebody else has it.
func (l *landing) lockIndex() (*os.File, error) {
	if busy := l.r.busy(); busy != "" {
		l.res.Blocked = "git has not finished something here (" + busy + ")"
		return nil, nil
	}
	for range 2 {
		f, err := l.r.git.OpenFile(indexLock, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if err == nil {
			if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
				_, err = f.WriteAt([]byte(ours), 0)
			}
			if err != nil {
				return nil, errors.Join(fmt.Errorf("lock the index: %w", err), l.r.git.Remove(indexLock), f.Close())
			}
			return f, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("lock the index: %w", err)
		}
		if !l.takeOver() {
			break
		}
	}
	l.res.Blocked = "another program works on the repository (" + indexLock + " is there)"
	return nil, nil
}

// takeOver removes the lock of a merge that was killed.
func (l *landing) takeOver() bool {
	if i, err := l.r.git.Lstat(indexLock); err != nil || !i.Mode().IsRegular() {
		return false
	}
	f, _, err := objects.OpenFile(l.r.git, indexLock)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(ours))
	if n, _ := f.ReadAt(b, 0); string(b[:n]) != ours || unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false
	}
	// A merge that has just ended removed it before it gave back the lock of the file: what has the
	// name now may be another's.
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	if now, err := l.r.git.Lstat(indexLock); err != nil || !os.SameFile(mine, now) {
		return errors.Is(err, fs.ErrNotExist)
	}
	l.killed = l.r.git.Remove(indexLock) == nil
	return l.killed
}

// sweep removes files that a merge which was killed was about to put in their places:
// those that hold, as far as they were written, what this one writes there too, or what
// it replaces. Whatever else has such a name stays: it may be an edit.
func (l *landing) sweep() {
	text := map[string][]side{}
	for _, c := range l.todo {
		text[path.Dir(c.Path)] = append(text[path.Dir(c.Path)], c.from, c.to)
	}
	for dir, sides := range text {
		names, err := l.tree.list(dir)
		if err != nil {
			continue
		}
		for _, n := range names {
			if rel := path.Join(dir, n); tempLike(n) && l.leftover(rel, sides) {
				_ = l.tree.remove(rel)
			}
		}
	}
}

// leftover says whether a file is the beginning of one of the sides.
func (l *landing) leftover(rel string, sides []side) bool {
	f, _, err := l.tree.look(rel)
	if err != nil || f.kind != unix.S_IFREG && f.kind != unix.S_IFLNK {
		return false
	}
	b, err := l.tree.read(rel, f, maxBlob)
	return err == nil && slices.ContainsFunc(sides, func(s side) bool {
		if !s.exists() || s.mode == modeModule {
			return false
		}
		whole, err := l.blob(s.id)
		return err == nil && bytes.HasPrefix(whole, b)
	})
}

// check reads the index and looks at every file that is to change.
func (l *landing) check() error {
	text, err := readText(l.r.git, "index")
	if err == nil {
		l.before = []byte(text)
	}
	if errors.Is(err, fs.ErrNotExist) {
		text, err = string((&index{hash: l.r.hash}).encode()), nil
	}
	if err == nil {
		l.index, err = parseIndex([]byte(text), l.r.hash)
	}
	if err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	if l.index.unmerged() {
		l.res.Blocked = "a merge with conflicts is not finished here"
		return nil
	}
	l.todo = slices.Clone(l.res.Changes)
	slices.SortStableFunc(l.todo, func(a, b Change) int { // what goes makes way
		switch {
		case a.Op == OpDelete && b.Op != OpDelete:
			return -1
		case a.Op != OpDelete && b.Op == OpDelete:
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
	gone := map[string]bool{}
	var why []string
	for _, c := range l.todo {
		reason, err := l.inWay(c, gone)
		if err != nil {
			return fmt.Errorf("look at %q: %w", c.Path, err)
		}
		if reason != "" {
			why = append(why, fmt.Sprintf("%q %s", c.Path, reason))
		}
		if c.Op == OpDelete {
			gone[c.Path] = true
		}
	}
	const shown = 5
	if len(why) > shown {
		why = append(why[:shown], fmt.Sprintf("and %d more", len(why)-shown))
	}
	l.res.Blocked = strings.Join(why, "; ")
	return nil
}

// inWay says why a change cannot land; gone are files that are removed before.
func (l *landing) inWay(c Change, gone map[string]bool) (string, error) {
	i, known := l.index.find(c.Path)
	var staged side
	if known {
		staged = l.index.entries[i].side()
	}
	if staged != c.from && staged != c.to {
		return "is staged here, and not what was committed", nil
	}
	if known && l.index.entries[i].ext&extSkip != 0 {
		return "is left out of the work tree here", nil
	}
	if c.from.mode == modeModule || c.to.mode == modeModule {
		return l.moduleInWay(c)
	}
	now, blocked, err := l.tree.side(c.Path, l.r.hash)
	if errors.Is(err, objects.ErrTooMuch) || err == nil && blocked && !goneAbove(c.Path, gone) {
		return "cannot be reached: a link or a file is in its way", nil
	}
	if err != nil {
		return "", err
	}
	if blocked || now == c.from || now == c.to {
		return "", nil
	}
	if now.isDir() && c.to.exists() {
		if l.emptied(c.Path, gone) {
			return "", nil
		}
		return "is a folder here, with files that git does not know", nil
	}
	switch {
	case !c.from.exists():
		return "is here already, and git does not know it", nil
	case !now.exists():
		return "was removed here, which is not committed", nil
	}
	return "is changed here, which is not committed (or a filter of git changes it)", nil
}

// goneAbove says whether what blocks the way is removed before.
func goneAbove(full string, gone map[string]bool) bool {
	for p := range gone {
		if strings.HasPrefix(full, p+"/") {
			return true
		}
	}
	return false
}

// emptied says whether a folder holds nothing but what is removed before.
func (l *landing) emptied(dir string, gone map[string]bool) bool {
	names, err := l.tree.list(dir)
	if err != nil {
		return false
	}
	for _, n := range names {
		full := dir + "/" + n
		f, _, err := l.tree.look(full)
		if err != nil || f.kind == unix.S_IFDIR && !l.filled(full, gone) || f.kind != unix.S_IFDIR && !gone[full] {
			return false
		}
	}
	return true
}

// filled is [landing.emptied] for a folder that goes with what it holds.
func (l *landing) filled(dir string, gone map[string]bool) bool {
	names, err := l.tree.list(dir)
	return err == nil && len(names) > 0 && l.emptied(dir, gone)
}

// moduleInWay is [landing.inWay] for submodules: only a folder is made.
func (l *landing) moduleInWay(c Change) (string, error) {
	if c.from.exists() && c.from.mode != modeModule || c.to.exists() && c.to.mode != modeModule {
		return "changes from or to another repository", nil
	}
	f, blocked, err := l.tree.look(c.Path)
	if err != nil || !blocked && (f.kind == 0 || f.kind == unix.S_IFDIR) {
		return "", err
	}
	return "is here already, and no folder", nil
}

// write puts the objects of the merge into the repository, as [importer] does.
func (l *landing) write() error {
	im := &importer{ctx: l.ctx, home: l.r, order: l.order}
	for _, id := range l.order {
		f := l.fresh[id]
		if err := im.keep(id, f.t, f.b); err != nil {
			return errors.Join(err, im.drop())
		}
	}
	return im.finish()
}

// change makes the work tree what it is to be, and notes it in the index.
func (l *landing) change() error {
	for _, c := range l.todo {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		if err := l.file(c); err != nil {
			return fmt.Errorf("%q: %w", c.Path, err)
		}
	}
	return nil
}

func (l *landing) file(c Change) error {
	switch {
	case c.to.mode == modeModule:
		_, err := l.tree.dir(c.Path, true)
		l.index.put(indexEntry{stat: indexStat(&unix.Stat_t{}, c.to.mode), id: c.to.id, path: c.Path})
		return err
	case !c.to.exists():
		l.index.remove(c.Path)
		if c.from.mode == modeModule {
			return nil // what is in it is the user's
		}
		now, blocked, err := l.tree.side(c.Path, l.r.hash)
		if err != nil || blocked || !now.exists() {
			return err
		}
		if now != c.from {
			return errMoment
		}
		if err := l.tree.remove(c.Path); err != nil {
			return err
		}
		l.done = append(l.done, c)
		return nil
	}
	b, err := l.blob(c.to.id)
	if err != nil {
		return err
	}
	now, _, err := l.tree.side(c.Path, l.r.hash)
	if err != nil {
		return err
	}
	switch {
	case now == c.to:
	case now.isDir():
		fd, err := l.tree.dir(path.Dir(c.Path), false)
		if err == nil {
			err = unix.Unlinkat(fd, path.Base(c.Path), unix.AT_REMOVEDIR)
		}
		if err != nil {
			return err
		}
		now = side{}
		fallthrough
	case now == c.from, !now.exists():
		if err := l.tree.replace(c.Path, c.to.mode, b, now, l.r.hash); err != nil {
			return err
		}
		l.done = append(l.done, c)
	default:
		return errMoment
	}
	f, _, err := l.tree.look(c.Path)
	l.index.put(indexEntry{stat: indexStat(&f.stat, c.to.mode), id: c.to.id, path: c.Path})
	return err
}

// move has HEAD, and the branch that is checked out, be the new commit.
func (l *landing) move() error {
	why := "merge " + l.o.Info.Branch + ": Merge made by belljar."
	if l.res.FastForward {
		why = "merge " + l.o.Info.Branch + ": Fast-forward"
	}
	if f, err := l.r.git.OpenFile("ORIG_HEAD", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666); err == nil {
		fmt.Fprintf(f, "%x\n", l.from)
		_ = f.Close()
	}
	if l.ref == "" {
		if err := l.r.setRef(l.r.git, "HEAD", l.from, l.to, why); err != nil {
			return err
		}
	} else {
		if err := l.r.setRef(l.r.common, l.ref, l.from, l.to, why); err != nil {
			return err
		}
		l.r.log(l.r.git, "HEAD", l.from, l.to, why)
	}
	l.res.Commit = fmt.Sprintf("%x", l.to)
	return nil
}
