package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace/gitindex"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
)

// errConflict says that the host's file is not what was looked at.
var errConflict = errors.New("the host changed it meanwhile")

// Apply lands the changes that the paths name, everything without paths; a path
// is relative to the project or absolute, and a folder stands for all below it.
// There is one outcome per change; an error only when nothing could be tried, git holds
// the lock of what is to land, or ctx ended. What was applied has left the shadow, and [Project.Undo] takes it back.
// An apply that was killed is taken back before.
func (p Project) Apply(ctx context.Context, paths ...string) ([]Outcome, error) {
	return p.apply(ctx, func(all []Change) ([]Change, error) { return p.choose(all, paths) }, nil)
}

// ApplyChosen is [Project.Apply] of what the user chose.
func (p Project) ApplyChosen(ctx context.Context, chosen []Choice) ([]Outcome, error) {
	type place struct{ source, path string }
	wanted, parts := map[place]Op{}, map[place]*part{}
	for _, c := range chosen {
		at := place{c.Change.Source, c.Change.Path}
		wanted[at], parts[at] = c.Change.Op, c.part
	}
	pick := func(all []Change) ([]Change, error) {
		return slices.DeleteFunc(all, func(c Change) bool { return wanted[place{c.Source, c.Path}] != c.Op }), nil
	}
	return p.apply(ctx, pick, func(c Change) *part { return parts[place{c.Source, c.Path}] })
}

func (p Project) apply(ctx context.Context, pick func([]Change) ([]Change, error), partOf func(Change) *part) ([]Outcome, error) {
	release, err := p.alone("apply changes", shadow.Patience)
	if err != nil {
		return nil, err
	}
	defer release()
	if _, err := p.recover(ctx); err != nil {
		return nil, err
	}
	all, err := p.Pending()
	if err != nil {
		return nil, err
	}
	chosen, err := pick(all)
	if err != nil {
		return nil, err
	}
	if err := p.unlocked(chosen); err != nil {
		return nil, err
	}
	var out []Outcome
	j := &journal{p: p}
	err = p.eachTree(func(t *tree) error {
		t.sweep()
		t.j, t.partOf = j, partOf
		mine := slices.DeleteFunc(slices.Clone(chosen), func(c Change) bool { return c.Source != t.view.Source })
		slices.SortStableFunc(mine, func(a, b Change) int { return landing(a) - landing(b) })
		defer func() { t.batch.close() }()
		ready := 0
		for i, c := range mine {
			if err := ctx.Err(); err != nil {
				return err
			}
			if i == ready {
				ready += t.ahead(mine[i:])
			}
			out = append(out, t.apply(c))
			p.tell(len(out), len(chosen))
		}
		t.batch.close()
		return t.uncover()
	})
	if err = errors.Join(err, j.close()); err != nil {
		return out, &belljar.Error{Op: "apply changes", ID: p.Dir, Kind: belljar.KindInternal, Err: err}
	}
	return out, nil
}

// landing orders changes so that a repository is valid in between: objects before
// what refers to them, HEAD and index last; removals after additions, permissions of
// folders at the end.
func landing(c Change) int {
	if c.Op == OpMode && c.Kind == KindDir {
		return 6
	}
	name := "/" + strings.ToLower(c.Path)
	switch base := path.Base(name); {
	case c.Op == OpDelete:
		return 5
	case strings.Contains(name, "/objects/"):
		return 0
	case strings.Contains(name, "/refs/"), base == "packed-refs":
		return 2
	case base == "head", base == "index":
		return 3
	}
	return 1
}

// sweep removes what an apply that was killed left on the host.
func (t *tree) sweep() {
	for _, rel := range t.view.Promised() {
		if d, name, err := t.parent(rel); err == nil {
			discardAt(d, name)
			_ = unix.Close(d)
		}
	}
}

func (t *tree) apply(c Change) Outcome {
	o := Outcome{Change: c, Status: Applied}
	if c.Conflict != "" {
		o.Status, o.Why = Conflicted, c.Conflict
		return o
	}
	t.landedAs = nil
	err := t.land(c)
	if err == nil {
		o.after = t.landedAs
	}
	if err == nil && c.Merge {
		o.Why = "merged with your edit"
	}
	switch {
	case errors.Is(err, errConflict), errors.Is(err, unix.EEXIST), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		o.Status, o.Why = Conflicted, errConflict.Error()
	case err != nil:
		o.Status, o.Why = Failed, terminal.Escape(err.Error())
	}
	return o
}

func (t *tree) land(c Change) error {
	if c.implied {
		return t.remove(c.Path, false)
	}
	e, err := t.view.Lookup(c.Path)
	if err != nil {
		return err
	}
	switch {
	case c.Op == OpDelete:
		if err := t.remove(c.Path, true); err != nil {
			return err
		}
	case e.Kind == shadow.Dir && c.Op == OpMode:
		return t.landMode(e)
	case e.Kind == shadow.Dir:
		if err := t.clear(e.Path); err != nil {
			return err
		}
		if err := errors.Join(t.makeParents(c.Path), t.mkdir(c.Path)); err != nil {
			return err
		}
		if t.opaqueAbove(c.Path) != "" {
			return nil
		}
		if err := t.view.SetBase(c.Path, nil); err != nil {
			return err
		}
		t.view.Prune(c.Path)
		return nil
	default:
		return t.replace(e, c)
	}
	return t.forget(c.Path) // a whiteout
}

// landed takes what has landed out of the shadow. Below an opaque folder it stays,
// known to be what the host has: nothing of the host shows through there.
func (t *tree) landed(rel string) error {
	if t.opaqueAbove(rel) == "" {
		return t.forget(rel)
	}
	b, err := t.hostBase(rel, nil)
	if err != nil {
		return err
	}
	return t.view.SetBase(rel, b)
}

func (t *tree) forget(rel string) error {
	if err := t.view.Remove(rel); err != nil {
		return err
	}
	dir, _ := splitRel(rel)
	t.view.Prune(dir)
	return nil
}

// opaqueAbove is the nearest opaque folder above rel, empty without one.
func (t *tree) opaqueAbove(rel string) string {
	if t.walk == nil {
		opaque, _ := t.view.Above(rel)
		return opaque
	}
	dir, _ := splitRel(rel)
	return t.walk.opaque.get(dir, func(dir, above string) string {
		if e, err := t.view.Lookup(dir); err == nil && e.Opaque {
			return dir
		}
		return above
	})
}

// uncover forgets opaque folders below which nothing waits any more: what the
// host has there is what the sandbox has.
func (t *tree) uncover() error {
	var opaque []string
	err := t.view.Walk(func(e shadow.Entry) error {
		if e.Opaque {
			opaque = append(opaque, e.Path)
			return fs.SkipDir
		}
		return nil
	})
	if err != nil || len(opaque) == 0 {
		return err
	}
	waiting, err := t.changes()
	if err != nil {
		return err
	}
	for _, dir := range opaque {
		if !slices.ContainsFunc(waiting, func(c Change) bool { return c.Path == dir || strings.HasPrefix(c.Path, dir+"/") }) {
			if err := t.forget(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace puts the shadow's file or link at its place on the host.
func (t *tree) replace(e shadow.Entry, shown Change) error {
	if err := t.makeParents(e.Path); err != nil {
		return err
	}
	d, name, err := t.parent(e.Path)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(d) }()
	// Look again at the content: the list of changes may be old.
	old, err := lstat(d, name)
	if err != nil {
		return err
	}
	now, err := t.hostBase(e.Path, e.Base)
	if err != nil {
		return err
	}
	c := Change{Path: e.Path, Kind: KindFile}
	if _, err := t.compare(&c, e, now); err != nil || c.Conflict != "" || c.Merge != shown.Merge {
		return errors.Join(errConflict, err)
	}
	text, err := t.text(e, c, shown)
	if err != nil {
		return err
	}
	if kindOf(modeOf(old)) == KindDir {
		if err := t.clear(e.Path); err != nil {
			return err
		}
		old = nil
	}
	p := t.take(e.Path, d, old, func(p *prepared) bool { return text == nil && sameFile(p.entry, e) })
	build := func(tmp string) (*os.File, error) { return t.prepare(e, d, tmp, old, text) }
	if err := t.withFile(e.Path, d, p, build, func(tmp string) error { return t.exchange(e.Path, d, tmp, name, old) }); err != nil {
		return err
	}
	if text != nil && text.part {
		return t.rest(e, c.Merge, text.own)
	}
	return t.settle(e)
}

// divisible says whether a part of the file may land: not of what git checks.
func (t *tree) divisible(rel string) bool {
	v := t.judge(rel, rules.File)
	return !v.LockOnly && v.Content == rules.Unchecked
}

// A text is what lands instead of the private copy.
type text struct {
	data []byte
	part bool   // the rest of the copy goes on waiting
	own  []byte // all of it
}

// rest leaves in the shadow what was not chosen, on top of what has landed.
func (t *tree) rest(e shadow.Entry, merge bool, own []byte) error {
	if merge { // without the host's edits they would be taken back
		tmp := t.view.TmpName()
		fd, err := unix.Openat(t.view.TmpDir(), tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), tmp)
		_, err = f.Write(own)
		if err = errors.Join(err, unix.Fchmod(fd, e.Perm), f.Close()); err != nil {
			return err
		}
		if err := t.view.Place(tmp, e.Path, nil); err != nil {
			return err
		}
	}
	return t.rebase(e.Path)
}

// text is what lands of a merge or of chosen hunks; nil for the private copy.
func (t *tree) text(e shadow.Entry, c, shown Change) (*text, error) {
	var p *part
	if t.partOf != nil {
		p = t.partOf(shown)
	}
	if p != nil {
		own := t.ownSide(Change{Path: e.Path, Kind: p.own.kind, Size: e.Size, Perm: e.Perm, Target: e.Target, Merge: c.Merge}, maxShown)
		if !p.host.same(t.hostSide(c, maxShown)) || !p.own.same(own) {
			return nil, errConflict
		}
		if !p.whole && !t.divisible(e.Path) {
			return nil, errors.New("it is applied as a whole or not at all")
		}
		if !p.whole {
			return &text{p.content, true, own.data}, nil
		}
	}
	if !c.Merge {
		return nil, nil
	}
	_, data, ok := t.merged(e)
	if !ok {
		return nil, errConflict
	}
	return &text{data: data}, nil
}

// modeOf is 0 for nothing.
func modeOf(st *unix.Stat_t) uint32 {
	if st == nil {
		return 0
	}
	return st.Mode
}

// exchange writes the step down and puts the finished tmp in the place of name.
func (t *tree) exchange(rel string, d int, tmp, name string, old *unix.Stat_t) error {
	after, err := stateAt(d, tmp)
	if err != nil {
		return err
	}
	before, err := t.j.save(d, name)
	if err != nil {
		return err
	}
	if err := t.write(rel, before, after); err != nil {
		return err
	}
	if err = swap(d, tmp, name, old); err != nil {
		t.j.void()
	} else {
		t.landedAs = after
	}
	return err
}

// write writes down what is done to rel next.
func (t *tree) write(rel string, before, after *state) error {
	return t.j.write(step{Source: []byte(t.view.Source), Path: []byte(rel), Before: before, After: after})
}

// settle takes a copy that has landed out of the shadow, unless it was written to
// in the meantime: then what is newer goes on waiting, on top of what landed.
func (t *tree) settle(e shadow.Entry) error {
	again, err := t.view.Lookup(e.Path)
	if err != nil || again.Kind == e.Kind && again.Size == e.Size && again.ModTime.Equal(e.ModTime) {
		return t.landed(e.Path)
	}
	b, err := t.hostBase(e.Path, nil)
	if err != nil {
		return err
	}
	return t.view.SetBase(e.Path, b)
}

// look is the status of (d, name), nil when nothing is there.
func look(d int, name string) (*unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(d, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil, errConflict
	}
	return &st, err
}

// prepare makes the finished new file under a name of its own beside the old one. A file
// is given open, to be synced.
func (t *tree) prepare(e shadow.Entry, d int, tmp string, old *unix.Stat_t, text *text) (*os.File, error) {
	if e.Kind == shadow.Symlink {
		if err := unix.Symlinkat(e.Target, d, tmp); err != nil {
			return nil, err
		}
		return nil, own(d, tmp, d)
	}
	from, err := t.view.OpenFile(e.Path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }()
	if err := t.check(e, from); err != nil {
		return nil, err
	}
	fd, err := unix.Openat(d, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	to := os.NewFile(uintptr(fd), tmp)
	if err := fill(to, from, e, d, old, text); err != nil {
		_ = to.Close()
		return nil, err
	}
	return to, nil
}

// fill makes to what e is, or with text what that says, in the folder d.
func fill(to, from *os.File, e shadow.Entry, d int, old *unix.Stat_t, text *text) (err error) {
	fd := int(to.Fd())
	perm := e.Perm
	if text != nil {
		if text.part {
			perm = modeOf(old) // with the last hunk
		}
		_, err = to.Write(text.data)
	} else {
		err = shadow.CopySparse(to, from)
	}
	if err != nil {
		return err
	}
	shadow.CopyXattrs(int(from.Fd()), fd)
	if old != nil && os.Geteuid() == 0 {
		err = unix.Fchown(fd, int(old.Uid), int(old.Gid))
	} else {
		err = own(fd, "", d)
	}
	return errors.Join(err, unix.Fchmod(fd, perm&0o777))
}

// check refuses a HEAD, an index or a list of references that would harm the host.
func (t *tree) check(e shadow.Entry, f *os.File) error {
	dir, name := splitRel(e.Path)
	s := t.state(dir)
	if !s.InGit() {
		return nil
	}
	_, v := s.Judge(name, rules.File)
	if v.Content != rules.Unchecked {
		return checkObject(e.Path, v.Content, f)
	}
	if !v.LockOnly {
		return nil
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	switch low := strings.ToLower(name); {
	case low == "head":
		err = gitindex.CheckHead(f, t.format(dir))
	case strings.HasPrefix(low, "packed-refs"):
		err = gitindex.CheckPackedRefs(f, st.Size())
	case strings.Contains(low, "index"):
		err = gitindex.CheckFormat(f, st.Size(), t.format(dir))
	}
	if err != nil {
		return fmt.Errorf("it is forged: %w", err)
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// checkObject refuses an object whose content is not what its name says: git
// would believe the name.
func checkObject(rel string, c rules.Content, f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	dir, name := splitRel(rel)
	switch c {
	case rules.LooseObject:
		err = gitindex.CheckLoose(path.Base(dir)+name, f)
	case rules.LargeFile:
		err = gitindex.CheckLFS(name, f)
	default:
		hash, _, _ := strings.Cut(strings.TrimPrefix(name, "pack-"), ".")
		format, ok := gitindex.FormatOfName(hash)
		switch {
		case !ok:
			err = errors.New("it has not the name of a pack")
		case c == rules.Pack:
			_, _, err = gitindex.CheckPack(f, st.Size(), format)
		default:
			_, _, err = gitindex.CheckPackIndex(f, st.Size(), format)
		}
	}
	if err != nil {
		return fmt.Errorf("it is forged: %w", err)
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// format is the object format of the git directory that dir is, or belongs to.
func (t *tree) format(dir string) gitindex.Format {
	for d := dir; ; d, _ = splitRel(d) {
		if fd, err := t.openHost(path.Join(d, "config"), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK); err == nil {
			f := os.NewFile(uintptr(fd), "config")
			b, _ := io.ReadAll(io.LimitReader(f, 1<<20))
			_ = f.Close()
			return gitindex.FormatOf(b)
		}
		if d == "" {
			return gitindex.SHA1
		}
	}
}

// swap puts tmp in the place of name, which was old when it was looked at. The
// names are exchanged, so that what comes out can be compared with old.
func swap(d int, tmp, name string, old *unix.Stat_t) error {
	if old == nil {
		err := unix.Renameat2(d, tmp, d, name, unix.RENAME_NOREPLACE)
		if err == unix.EINVAL || err == unix.ENOSYS {
			if err = unix.Linkat(d, tmp, d, name, 0); err == nil {
				err = unix.Unlinkat(d, tmp, 0)
			}
		}
		return err
	}
	mine, release, err := hold(d, tmp)
	if err != nil || mine == nil {
		return errors.Join(errConflict, err)
	}
	defer release()
	err = unix.Renameat2(d, tmp, d, name, unix.RENAME_EXCHANGE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		now, err := look(d, name)
		if err != nil || !unchanged(old, now) {
			return errors.Join(errConflict, err)
		}
		return unix.Renameat(d, tmp, d, name)
	}
	if err == unix.ENOENT {
		return errConflict
	}
	if err != nil {
		return err
	}
	out, err := look(d, tmp)
	if err != nil || !unchanged(old, out) {
		return errors.Join(errConflict, swapBack(d, tmp, name, mine), err)
	}
	return unix.Unlinkat(d, tmp, 0)
}

// swapBack gives the host its file again, in the place of put, which somebody holds. Whatever
// the host saves meanwhile comes out instead of what was put there last, and goes back in its
// turn.
func swapBack(d int, tmp, name string, put *unix.Stat_t) error {
	release := func() {}
	defer func() { release() }()
	for {
		next, done, err := hold(d, tmp)
		if err != nil || next == nil {
			return err
		}
		if err := unix.Renameat2(d, tmp, d, name, unix.RENAME_EXCHANGE); err != nil {
			done()
			if err == unix.ENOENT {
				return unix.Renameat2(d, tmp, d, name, unix.RENAME_NOREPLACE) // removed meanwhile: it was an edit before
			}
			return err
		}
		out, err := lstat(d, tmp)
		if err != nil || out == nil || out.Ino == put.Ino && out.Dev == put.Dev {
			done()
			return err
		}
		release()
		put, release = next, done
	}
}

// hold is the status of (d, name), nil when nothing is there. Until it is released no other
// file gets its number, which a file system gives to the next one as soon as it is free.
func hold(d int, name string) (*unix.Stat_t, func(), error) {
	fd, err := unix.Openat(d, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil { // without a descriptor left, it is better not to hold it than not to give it back
		st, err := lstat(d, name)
		return st, func() {}, err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return &st, func() { _ = unix.Close(fd) }, err
}

// unchanged compares everything but the change time, which a rename renews.
func unchanged(a, b *unix.Stat_t) bool {
	return b != nil && a.Ino == b.Ino && a.Size == b.Size && a.Mode == b.Mode && a.Mtim == b.Mtim
}
