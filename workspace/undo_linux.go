package workspace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
)

// Undo takes back what the last [Project.Apply] did to the host, or what a newer run
// changed there by itself ([Project.LastRun]): what had landed waits again. With paths
// it takes back what lies at or below one of them, and the rest can be taken back later. A file that the host has changed since is left as it is, with a word;
// Undo may be called again for it. Objects of git that landed stay, without an outcome:
// what the user has committed since may need them. There is one outcome per other place.
func (p Project) Undo(ctx context.Context, paths ...string) ([]Outcome, error) {
	release, err := p.alone("undo", shadow.Patience)
	if err != nil {
		return nil, err
	}
	defer release()
	out, err := p.recover(ctx)
	if err != nil || len(out) > 0 {
		return out, err // that was what the user wants back
	}
	for {
		r, err := p.newest()
		if err != nil {
			return nil, undoError(p, err)
		}
		if r == nil {
			break
		}
		if out, err := p.undoRun(ctx, *r, paths); err != nil || len(out) > 0 {
			return out, err
		} // else it left nothing changed
	}
	next, _ := p.finished()
	if err := p.choosePart(p.journalDir(next), paths); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := os.Rename(p.journalDir(next), p.journalDir("back")); err != nil {
		return nil, undoError(p, err)
	}
	return p.takeBack(ctx)
}

// Recover takes back an apply, or ends an undo, that was killed. While somebody else
// uses the shadow it does nothing.
func (p Project) Recover(ctx context.Context) ([]Outcome, error) {
	if !p.unfinished() {
		return nil, nil
	}
	release, err := p.alone("finish what was interrupted", 0)
	if belljar.KindOf(err) == belljar.KindConflict {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer release()
	return p.recover(ctx)
}

func (p Project) unfinished() bool {
	for _, n := range []string{"next", "back"} {
		if _, err := os.Lstat(p.journalDir(n)); err == nil {
			return true
		}
	}
	return false
}

func (p Project) recover(ctx context.Context) ([]Outcome, error) {
	var out []Outcome
	if p.unfinished() {
		if err := p.eachTree(func(t *tree) error { t.sweep(); return nil }); err != nil {
			return nil, undoError(p, err)
		}
	}
	if _, err := os.Lstat(p.journalDir("back")); err == nil {
		if err := p.forgetTaken(); err != nil {
			return out, undoError(p, err)
		}
		if out, err = p.takeBack(ctx); err != nil {
			return out, err
		}
	}
	err := os.Rename(p.journalDir("next"), p.journalDir("back"))
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, undoError(p, err)
	}
	more, err := p.takeBack(ctx)
	return append(out, more...), err
}

func undoError(p Project, err error) error {
	return &belljar.Error{Op: "undo", ID: p.Dir, Kind: belljar.KindInternal, Err: err}
}

// An undoing is one journal that is being taken back.
type undoing struct {
	p     Project
	store *shadow.Store
	blobs int // descriptor of the journal
	part  func(step) bool
	trees map[string]*tree
	out   []Outcome
	above map[string]bool // folders in which something was told of
	log   *os.File        // loses its last step when that is dealt with
	left  *notes          // what could not be taken back
	gone  *notes          // removals that were
}

// notes are steps of an undo that the next command must know of, should this one be
// killed.
type notes struct {
	f     *os.File
	steps []step // in the order in which they were taken back
}

func openNotes(name string) (*notes, error) {
	steps, err := readLog(name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	n := &notes{f: f, steps: steps}
	data := []byte(journalHead)
	for _, s := range steps {
		data = append(data, s.encode()...)
	}
	_, err = f.Write(data)
	return n, err
}

func (n *notes) add(s step) error {
	n.steps = append(n.steps, s)
	_, err := n.f.Write(s.encode())
	return err
}

// takeBack undoes the journal "back", as far as the host allows.
func (p Project) takeBack(ctx context.Context) ([]Outcome, error) {
	dir := p.journalDir("back")
	steps, err := readLog(filepath.Join(dir, "log"))
	if err != nil {
		return nil, undoError(p, err)
	}
	u := &undoing{p: p, trees: map[string]*tree{}, above: map[string]bool{}, blobs: -1}
	defer u.close()
	if err := u.open(dir); err != nil {
		return nil, undoError(p, err)
	}
	if u.store, err = shadow.Create(p.Shadow); err != nil {
		return nil, undoError(p, err)
	}
	if err := p.noteTurn(); err != nil {
		return nil, undoError(p, err)
	}
	ready := len(steps) - 1
	for i, s := range slices.Backward(steps) {
		err := ctx.Err() // the next command goes on
		if err == nil && i == ready {
			ready -= u.ahead(steps[:i+1])
		}
		if err == nil {
			err = u.step(s)
		}
		if err != nil {
			return u.out, undoError(p, err)
		}
		p.tell(len(steps)-i, len(steps))
	}
	for _, s := range u.gone.steps {
		if t, err := u.tree(string(s.Source)); err == nil {
			err = t.waitRemoved(string(s.Path))
			if err != nil {
				return u.out, undoError(p, err)
			}
		}
	}
	if err := errors.Join(p.noteTurn(), u.end(dir)); err != nil {
		return u.out, undoError(p, err)
	}
	return u.out, nil
}

func (u *undoing) open(dir string) (err error) {
	if u.blobs, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if u.part, err = u.p.part(dir); err != nil {
		return err
	}
	if u.left, err = openNotes(filepath.Join(dir, "left")); err != nil {
		return err
	}
	if u.gone, err = openNotes(filepath.Join(dir, "gone")); err != nil {
		return err
	}
	if u.log, err = os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		return err
	}
	return cutLine(u.log)
}

// cutLine takes away what a killed writer began.
func cutLine(f *os.File) error {
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if n := bytes.LastIndexByte(data, '\n') + 1; n > 0 {
		return f.Truncate(int64(n))
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteString(journalHead)
	return err
}

func readLog(name string) ([]step, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // killed before the first step
	}
	if err != nil {
		return nil, err
	}
	return parseLog(data)
}

// end forgets the journal, or keeps it for what is left.
func (u *undoing) end(dir string) error {
	if len(u.left.steps) == 0 {
		gone := u.p.journalDir("gone")
		if err := os.RemoveAll(gone); err != nil {
			return err
		}
		if err := os.Rename(dir, gone); err != nil {
			return err
		}
		return os.RemoveAll(gone)
	}
	data := []byte(journalHead)
	for _, s := range slices.Backward(u.left.steps) {
		data = append(data, s.encode()...)
	}
	if err := os.WriteFile(filepath.Join(dir, "log.new"), data, 0o600); err != nil {
		return err
	}
	// Killed in between, the steps are only looked at twice.
	if err := os.Rename(filepath.Join(dir, "log.new"), filepath.Join(dir, "log")); err != nil {
		return err
	}
	for _, n := range []string{"left", "gone"} {
		if err := os.Remove(filepath.Join(dir, n)); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, ofRun)); err == nil {
		return u.p.finish("back", "rest")
	}
	return u.p.finish("back", "last")
}

func (u *undoing) close() {
	for _, t := range u.trees {
		t.batch.close()
		t.close()
	}
	for _, n := range []*notes{u.left, u.gone} {
		if n != nil {
			_ = n.f.Close()
		}
	}
	_ = u.log.Close()
	_ = unix.Close(u.blobs)
}

func (u *undoing) tree(source string) (*tree, error) {
	if t := u.trees[source]; t != nil {
		return t, nil
	}
	v, err := u.store.CreateView(source)
	if err != nil {
		return nil, err
	}
	_ = v.Close()
	t, err := u.p.openTree(u.store, source)
	if err != nil {
		return nil, err
	}
	t.sweep()
	u.trees[source] = t
	return t, nil
}

// step takes one step back and says what became of it. An error ends the undo: then
// the journal itself cannot be kept.
func (u *undoing) step(s step) error {
	if !u.part(s) {
		return u.pass(s, u.left)
	}
	t, err := u.tree(string(s.Source))
	if err == nil {
		err = t.undo(s, u.blobs)
	}
	var in *notes
	stays := err == unix.ENOTEMPTY || err == errLasting // a new folder in which the host has something by now, too
	switch {
	case err == nil && s.Hidden:
	case err == nil && s.After == nil:
		in = u.gone
	case err != nil && !stays:
		in = u.left
	}
	if o := u.outcome(s, err); !stays && !u.told(o.Change) {
		u.out = append(u.out, o)
		u.tellAbove(o.Change)
	}
	return u.pass(s, in)
}

// pass goes on to the step before, after s was noted; in is nil where it need not be.
func (u *undoing) pass(s step, in *notes) error {
	if in != nil {
		if err := in.add(s); err != nil {
			return err
		}
	}
	_, err := u.log.Write(step{Void: true}.encode())
	return err
}

func (u *undoing) outcome(s step, err error) Outcome {
	c := Change{Source: string(s.Source), Path: string(s.Path), inProject: string(s.Source) == u.p.Dir, Op: OpModify}
	if s.Before == nil {
		c.Op, c.Kind = OpDelete, s.After.kind()
	} else {
		c.Kind, c.Size, c.Perm, c.Target = s.Before.kind(), s.Before.Size, s.Before.Mode&0o777, string(s.Before.Target)
		if s.After == nil {
			c.Op = OpAdd
		}
	}
	o := Outcome{Change: c, Status: Undone}
	switch {
	case err == nil:
	case errors.Is(err, errConflict), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EEXIST):
		o.Status, o.Why = Conflicted, "the host has changed it since"
	default:
		o.Status, o.Why = Failed, terminal.Escape(err.Error())
	}
	return o
}

// told says that the folder c need not be told of: something in it was.
func (u *undoing) told(c Change) bool {
	return c.Kind == KindDir && c.Op != OpModify && u.above[c.full()]
}

// tellAbove notes the folders above c as told of.
func (u *undoing) tellAbove(c Change) {
	for dir, _ := splitRel(c.full()); dir != "" && !u.above[dir]; dir, _ = splitRel(dir) {
		u.above[dir] = true
	}
}

// now is what the host has at rel.
func (t *tree) now(rel string) (*state, error) {
	d, name, err := t.parent(rel)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(d) }()
	return stateAt(d, name)
}

// errLasting says of an object of git that landed that it stays on the host: commits
// that the user has made since may need it, and alone it does nothing.
var errLasting = errors.New("objects of git stay")

// undo takes the host from s.After to s.Before; what it was waits again.
func (t *tree) undo(s step, blobs int) error {
	rel := string(s.Path)
	t.lookAbove(rel)
	now, err := t.now(rel)
	if err != nil {
		return err
	}
	switch {
	case s.Before.same(now):
		return t.rebase(rel) // the step was not taken, or is taken back already
	case s.After.unknown() && now == nil: // the user has removed it: nothing is overwritten
	case !s.After.same(now):
		return errConflict
	case s.Before == nil && now.kind() != KindDir && t.judge(rel, entryOf(now.Mode)).Lasting:
		return errLasting
	}
	if lock := t.gitLock(rel, now); lock != "" {
		return errors.New("git has locked it: " + quote(lock) + " exists")
	}
	// What the sandbox cannot see has no place in what it will see: it moved along with a folder.
	if hidden := s.Hidden || now != nil && t.judge(rel, entryOf(now.Mode)).Kind == rules.Hide; !hidden {
		if err := t.waitAgain(rel, now); err != nil {
			return err
		}
	}
	if err := t.turn(rel, now, s.Before, blobs); err != nil {
		if err == unix.ENOENT && now == nil {
			return errConflict // the folder above is gone as well
		}
		return err
	}
	return t.rebase(rel)
}

// waitAgain puts what the host has at rel into the shadow, unless that has
// something newer there.
func (t *tree) waitAgain(rel string, now *state) error {
	if now == nil {
		return nil
	}
	if t.covered(rel) {
		return t.waitMode(rel, now)
	}
	if err := t.shadowParents(rel); err != nil {
		return err
	}
	if now.kind() == KindDir {
		if err := t.view.MakeDir(rel, now.Mode&0o777, false); err != nil && err != unix.EEXIST {
			return err
		}
		return nil
	}
	d, name, err := t.parent(rel)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(d) }()
	return t.view.CopyNew(d, name, rel) // its base is what comes back: see rebase
}

// waitMode gives the shadow's folder at rel the permissions of the host's, where it has
// none of its own that wait: of a folder that passes only the host's were changed.
func (t *tree) waitMode(rel string, now *state) error {
	e, err := t.view.Lookup(rel)
	if err != nil || now.kind() != KindDir || e.Kind != shadow.Dir || e.Opaque || t.opaqueAbove(rel) != "" {
		return nil
	}
	if b, err := t.view.Base(rel); err != nil || b != nil {
		return err
	}
	dir, name := splitRel(rel)
	fd, err := t.view.OpenDir(dir)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return chmodDir(fd, name, now.Mode&0o777)
}

// covered says that the shadow has something at rel, or has removed a folder above.
func (t *tree) covered(rel string) bool {
	if _, err := t.view.Lookup(rel); !errors.Is(err, fs.ErrNotExist) {
		return true // also what is below a removed folder: ENOTDIR
	}
	return t.opaqueAbove(rel) != ""
}

// shadowParents makes the folders above rel in the shadow, as the host has them.
func (t *tree) shadowParents(rel string) error {
	return t.view.MakeParents(rel, func(dir string) uint32 {
		if st, err := t.stat(dir); err == nil {
			return st.Mode & 0o777
		}
		return 0o755
	})
}

// rebase tells the shadow what the host has at rel now.
func (t *tree) rebase(rel string) error {
	if above := t.removedAbove(rel); above != "" {
		return t.removeAgain(above)
	}
	b, err := t.hostBase(rel, nil)
	if err != nil {
		return err
	}
	e, err := t.view.Lookup(rel)
	switch {
	case err != nil && b != nil && t.opaqueAbove(rel) != "", err == nil && b != nil && e.Kind == shadow.Whiteout:
		if err := t.view.SetWhiteout(rel, b); err != unix.ENOENT {
			return err
		}
		return nil // the folder above it is not there inside
	case err != nil, e.Kind == shadow.Whiteout:
		return nil
	case e.Kind == shadow.Dir && (b == nil || e.Opaque && kindOf(b.Mode) == KindDir):
		return nil
	}
	return t.view.SetBase(rel, b)
}

// removedAbove is the folder above rel that the shadow has removed, empty without one.
func (t *tree) removedAbove(rel string) string {
	_, instead := t.view.Above(rel)
	return instead
}

// lookAbove notes, before something comes back below a folder that the shadow has
// removed, whether the host changed anything in it since.
func (t *tree) lookAbove(rel string) {
	dir := t.removedAbove(rel)
	if _, ok := t.asRemoved[dir]; ok || dir == "" {
		return
	}
	if t.asRemoved == nil {
		t.asRemoved = map[string]bool{}
	}
	t.asRemoved[dir] = t.keeps(dir, t.entryBirth(dir)) == ""
}

// removeAgain makes the removal of a folder newer than what just came back in it. An
// edit of the host stays one.
func (t *tree) removeAgain(dir string) error {
	if !t.asRemoved[dir] {
		return nil
	}
	b, err := t.hostBase(dir, nil)
	if err != nil || b == nil {
		return err
	}
	if e, err := t.view.Lookup(dir); err == nil && e.Kind != shadow.Whiteout {
		return t.renew(dir, b)
	}
	return t.view.SetWhiteout(dir, b)
}

// waitRemoved makes the removal of rel wait again, when all that was below it is back.
func (t *tree) waitRemoved(rel string) error {
	b, err := t.hostBase(rel, nil)
	if err != nil || b == nil {
		return err
	}
	if t.removedAbove(rel) != "" {
		return t.rebase(rel) // removed together with that folder
	}
	e, err := t.view.Lookup(rel)
	switch {
	case err == nil && e.Kind == shadow.Dir:
		return t.rebase(rel)
	case err == nil && e.Kind != shadow.Whiteout:
		return t.renew(rel, b)
	}
	if err := t.shadowParents(rel); err != nil {
		return err
	}
	return t.view.SetWhiteout(rel, b)
}

// renew makes the private copy at rel anew, over what the host has there: what came
// back to the host is older than it.
func (t *tree) renew(rel string, b *shadow.Base) error {
	dir, name := splitRel(rel)
	fd, err := t.view.OpenDir(dir)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := t.view.CopyIn(fd, name, rel, nil); err != nil {
		return err
	}
	return t.view.SetBase(rel, b)
}

// turn takes the host at rel from now to what it shall be, nil for nothing.
func (t *tree) turn(rel string, now, to *state, blobs int) error {
	d, name, err := t.parent(rel)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(d) }()
	old, err := lstat(d, name)
	if err != nil {
		return err
	}
	delete(t.states, rel)
	isDir := now != nil && now.kind() == KindDir
	switch {
	case to == nil && isDir:
		t.batch.leave(rel)
		return unix.Unlinkat(d, name, unix.AT_REMOVEDIR)
	case to == nil:
		return t.takeAway(d, name, rel, old)
	case to.kind() == KindDir && isDir:
		return chmodDir(d, name, to.Mode&0o777)
	case isDir:
		return errConflict
	case to.kind() == KindDir:
		return t.newDir(rel, d, name, to.Mode&0o777, -1)
	}
	if to.Moved {
		if old != nil {
			return errConflict
		}
		return unix.Renameat2(blobs, to.Blob, d, name, unix.RENAME_NOREPLACE)
	}
	p := t.take(rel, d, old, func(p *prepared) bool { return p.to == to })
	return t.withFile(rel, d, p, func(tmp string) (*os.File, error) { return bring(d, tmp, to, blobs, old) }, func(tmp string) error {
		return swap(d, tmp, name, old)
	})
}

// withTmp calls f with a name beside rel that does not outlive us.
func (t *tree) withTmp(rel string, f func(tmp string) error) error {
	d, _, err := t.parent(rel)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(d) }()
	tmp, mark, err := t.promise(rel)
	if err != nil {
		return err
	}
	defer t.view.Keep(mark)
	if err = f(tmp); err != nil {
		discardAt(d, tmp)
	}
	return err
}

// promise makes a name beside rel; what is made there does not outlive us, until mark is
// kept.
func (t *tree) promise(rel string) (tmp, mark string, err error) {
	dir, _ := splitRel(rel)
	tmp = ".belljar-" + t.view.TmpName()
	mark, err = t.view.Promise(path.Join(dir, tmp))
	return tmp, mark, err
}

// discardAt removes unfinished work: a file or an empty folder.
func discardAt(d int, name string) {
	if unix.Unlinkat(d, name, 0) != nil {
		_ = unix.Unlinkat(d, name, unix.AT_REMOVEDIR)
	}
}

// newDir makes the folder (d, name) in one step, with the attributes of the open folder
// like, if there is one.
func (t *tree) newDir(rel string, d int, name string, perm uint32, like int) error {
	return t.withTmp(rel, func(tmp string) error {
		if err := unix.Mkdirat(d, tmp, 0o700); err != nil {
			return err
		}
		fd, err := unix.Openat(d, tmp, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		if like >= 0 {
			shadow.CopyXattrs(like, fd)
		}
		if err := errors.Join(own(fd, "", d), chmodDir(d, tmp, perm)); err != nil {
			return err
		}
		err = unix.Renameat2(d, tmp, d, name, unix.RENAME_NOREPLACE)
		if err == unix.EINVAL || err == unix.ENOSYS {
			err = unix.Renameat(d, tmp, d, name) // replaces nothing but an empty folder
		}
		return err
	})
}

// takeAway removes (d, name), which was old when it was looked at.
func (t *tree) takeAway(d int, name, rel string, old *unix.Stat_t) error {
	return t.withTmp(rel, func(tmp string) error {
		if err := unix.Renameat2(d, name, d, tmp, unix.RENAME_NOREPLACE); err == unix.EINVAL || err == unix.ENOSYS {
			return unix.Unlinkat(d, name, 0)
		} else if err != nil {
			return err
		}
		if now, err := lstat(d, tmp); err != nil || old == nil || !unchanged(old, now) {
			return errors.Join(errConflict, unix.Renameat2(d, tmp, d, name, unix.RENAME_NOREPLACE), err)
		}
		return unix.Unlinkat(d, tmp, 0)
	})
}

// bring makes (d, tmp) what a journal kept. A file is given open, to be synced.
func bring(d int, tmp string, to *state, blobs int, old *unix.Stat_t) (*os.File, error) {
	switch to.kind() {
	case KindSymlink:
		if err := unix.Symlinkat(string(to.Target), d, tmp); err != nil {
			return nil, err
		}
		return nil, own(d, tmp, d)
	case KindSpecial:
		if err := unix.Mkfifoat(d, tmp, to.Mode&0o777); err != nil {
			return nil, err
		}
		return nil, errors.Join(own(d, tmp, d), unix.Fchmodat(d, tmp, to.Mode&0o777, 0))
	}
	if err := keepFile(blobs, to.Blob, d, tmp); err != nil {
		return nil, err
	}
	fd, err := unix.Openat(d, tmp, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if old != nil && os.Geteuid() == 0 {
		err = unix.Fchown(fd, int(old.Uid), int(old.Gid))
	} else {
		err = own(fd, "", d)
	}
	if err = errors.Join(err, unix.Fchmod(fd, to.Mode&0o777)); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), tmp), nil
}

// lstat is the status of (d, name), nil when nothing is there.
func lstat(d int, name string) (*unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(d, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return nil, nil
	}
	return &st, err
}

// chmodDir sets the permissions of the folder (d, name).
func chmodDir(d int, name string, perm uint32) error {
	fd, err := unix.Openat(d, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return unix.Fchmod(fd, perm|st.Mode&unix.S_ISGID)
}
