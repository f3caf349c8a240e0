package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
)

// Pending lists what waits: what would run by itself first, then what the user
// runs, within that by path. Nothing is changed. A project without a shadow has
// nothing waiting.
func (p Project) Pending() ([]Change, error) {
	var all []Change
	err := p.eachTree(func(t *tree) error {
		cs, err := t.changes()
		all = append(all, cs...)
		return err
	})
	if err != nil {
		return nil, &belljar.Error{Op: "list changes", ID: p.Dir, Kind: belljar.KindInternal, Err: err}
	}
	slices.SortStableFunc(all, func(a, b Change) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a.full(), b.full())
	})
	return all, nil
}

// eachTree opens every tree of the shadow, the project first.
func (p Project) eachTree(f func(t *tree) error) error {
	store, err := shadow.Open(p.Shadow)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sources, err := store.Sources()
	if err != nil {
		return err
	}
	slices.SortStableFunc(sources, func(a, b string) int {
		return bool2int(b == p.Dir) - bool2int(a == p.Dir)
	})
	for _, s := range sources {
		t, err := p.openTree(store, s)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the tree is gone: there is nothing to apply to
		}
		if err != nil {
			return err
		}
		err = f(t)
		t.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// alone keeps sandboxes away while op changes what waits: what a program inside has
// open would go on in a copy that is nobody's any more. The error says so.
func (p Project) alone(op string) (release func(), err error) {
	store, err := shadow.Open(p.Shadow)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err == nil {
		release, err = store.Alone()
	}
	e := &belljar.Error{Op: op, ID: p.Dir, Kind: belljar.KindInternal, Err: err}
	switch {
	case errors.Is(err, shadow.ErrInUse):
		e.Kind, e.Err, e.Hint = belljar.KindConflict, errors.New("a sandbox runs in this project, or another command changes what waits"), "wait until it has ended; belljar log --list shows what runs"
	case err == nil:
		return release, nil
	}
	return nil, e
}

// tree opens one tree of the shadow.
func (p Project) tree(source string) (*tree, error) {
	store, err := shadow.Open(p.Shadow)
	if err != nil {
		return nil, err
	}
	return p.openTree(store, source)
}

func bool2int(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tree is one tree of the host with what the shadow has for it.
type tree struct {
	view   *shadow.View
	host   int // descriptor of the host's root
	main   bool
	states map[string]rules.State // by directory; what is not there is judged anew
	found  []Change
}

func (p Project) openTree(store *shadow.Store, source string) (*tree, error) {
	host, err := unix.Open(source, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: source, Err: err}
	}
	t := &tree{host: host, main: source == p.Dir}
	has := func(n string) bool { return t.exists(n) }
	o := rules.Options{Mode: belljar.ModeLive, GitRoot: rules.GitShape(has) && !t.main}
	if t.main {
		o.Hide, o.Hold = p.Hide, p.Hold
	}
	r, err := rules.New(o)
	if err == nil {
		t.states = map[string]rules.State{"": r.Root().Shape(has)}
		t.view, err = store.View(source)
	}
	if err != nil {
		_ = unix.Close(host)
		return nil, err
	}
	return t, nil
}

func (t *tree) close() {
	_ = unix.Close(t.host)
	_ = t.view.Close()
}

// state is how names in dir are judged.
func (t *tree) state(dir string) rules.State {
	if s, ok := t.states[dir]; ok {
		return s
	}
	parent, name := splitRel(dir)
	s, _ := t.state(parent).Judge(name, t.fresh(dir, rules.Dir))
	s = s.Shape(func(n string) bool { return t.exists(path.Join(dir, n)) })
	t.states[dir] = s
	return s
}

func splitRel(rel string) (dir, name string) {
	d, n := path.Split(rel)
	return strings.TrimSuffix(d, "/"), n
}

// fresh adds the flag for what the host does not have.
func (t *tree) fresh(rel string, e rules.Entry) rules.Entry {
	if !t.exists(rel) {
		e |= rules.Fresh
	}
	return e
}

func (t *tree) exists(rel string) bool {
	_, err := t.stat(rel)
	return err == nil
}

// changes walks the shadow.
func (t *tree) changes() ([]Change, error) {
	t.found = nil
	err := t.view.Walk(func(e shadow.Entry) error {
		if e.Kind == shadow.Dir {
			return t.dir(e)
		}
		return t.leaf(e)
	})
	return t.found, err
}

// add records a change. A new folder that has a change below is not worth a line.
func (t *tree) add(c Change) {
	c.Source, c.inProject = t.view.Source, t.main
	for n := len(t.found); n > 0; n = len(t.found) {
		last := t.found[n-1]
		if last.Kind != KindDir || last.Op != OpAdd || last.Conflict != "" || !strings.HasPrefix(c.Path, last.Path+"/") {
			break
		}
		t.found = t.found[:n-1]
	}
	t.found = append(t.found, c)
}

// judge classifies a path.
func (t *tree) judge(rel string, e rules.Entry) rules.Verdict {
	dir, name := splitRel(rel)
	_, v := t.state(dir).Judge(name, t.fresh(rel, e))
	return v
}

func (t *tree) dir(e shadow.Entry) error {
	st, err := t.stat(e.Path)
	v := t.judge(e.Path, rules.Dir)
	c := Change{Path: e.Path, Op: OpAdd, Kind: KindDir, Class: v.Class, Reason: v.Reason, Perm: e.Perm}
	switch {
	case err == unix.ENOENT:
		t.add(c)
	case err != nil:
		c.Conflict = hostError(err)
		t.add(c)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		c.Conflict = "the host has a file where the sandbox has a folder"
		t.add(c)
	case e.Opaque:
		return t.covered(e, t.birth(e.Path))
	}
	return nil
}

// covered records the removal of what the host has below an opaque folder and
// the sandbox has not. What the sandbox could not see stays.
func (t *tree) covered(e shadow.Entry, since time.Time) error {
	names, err := t.list(e.Path)
	if err != nil {
		return err
	}
	for _, n := range names {
		rel := path.Join(e.Path, n)
		if _, err := t.view.Lookup(rel); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			continue // the walk comes to it
		}
		st, err := t.stat(rel)
		if err != nil {
			continue
		}
		v := t.judge(rel, entryOf(st.Mode))
		if v.Kind == rules.Hide || v.Lasting || v.Cache {
			continue
		}
		c := Change{Path: rel, Op: OpDelete, Kind: kindOf(st.Mode), Class: v.Class, Reason: v.Reason, implied: true}
		if c.Conflict = t.pinned(rel, entryOf(st.Mode)); c.Conflict == "" {
			c.Conflict = t.keeps(rel, since)
		}
		t.add(c)
	}
	return nil
}

// leaf records everything that is not a folder in the shadow.
func (t *tree) leaf(e shadow.Entry) error {
	now, err := t.hostBase(e.Path, e.Base)
	c := Change{Path: e.Path, Size: e.Size, Perm: e.Perm, Target: e.Target}
	entry := rules.File
	switch e.Kind {
	case shadow.Whiteout:
		c.Op = OpDelete
		if now == nil && err == nil {
			return nil // gone already
		}
		if e.Base != nil && e.Base.Run != "" {
			return nil // the sandbox's view of git's own data, which the host keeps
		}
		if now != nil {
			c.Kind, entry = kindOf(now.Mode), entryOf(now.Mode)
		}
		c.Perm = 0
	case shadow.Symlink:
		c.Kind, entry = KindSymlink, rules.Link
	case shadow.File:
		c.Kind = KindFile
	default:
		c.Kind, c.Conflict = KindSpecial, "only files, folders and symbolic links are applied"
	}
	if c.Op == "" {
		c.Op = OpModify
		if e.Base == nil {
			c.Op = OpAdd
		}
	}
	v := t.judge(e.Path, entry)
	if v.Cache || v.Lasting && now != nil {
		return nil // git makes it anew; the host's objects stay as they are
	}
	c.Class, c.Reason = v.Class, v.Reason
	if c.Class == "" {
		c.Class, c.Reason = byContent(c)
	}
	if err != nil {
		c.Conflict = hostError(err)
	}
	if c.Op == OpDelete && c.Conflict == "" {
		c.Conflict = t.pinned(e.Path, entry)
	}
	if same, err := t.compare(&c, e, now); err != nil || same {
		return err
	}
	t.add(c)
	return nil
}

// pinned says why the host's git would not survive the removal of rel.
func (t *tree) pinned(rel string, e rules.Entry) string {
	dir, name := splitRel(rel)
	if v := t.state(dir).Remove(name, e); v.Kind == rules.Deny {
		return v.Reason
	}
	return ""
}

// byContent classifies a change whose name is ordinary by what it is.
func byContent(c Change) (rules.Class, string) {
	dir, _ := splitRel(c.Path)
	switch {
	case c.Kind == KindSymlink && rules.LinkLeaves(dir, c.Target):
		return rules.Symlink, "the link leads out of the project"
	case c.Kind == KindFile && c.Op == OpAdd && c.Perm&0o111 != 0:
		return rules.UserRun, "a new executable"
	}
	return "", ""
}

// compare decides between the operations and whether the host changed meanwhile.
// same says that the host has what the shadow has.
func (t *tree) compare(c *Change, e shadow.Entry, now *shadow.Base) (same bool, err error) {
	if c.Conflict != "" {
		return false, nil
	}
	if c.Op == OpDelete {
		switch {
		case c.Kind == KindDir && e.Base != nil && e.Base.Mode&unix.S_IFMT == unix.S_IFDIR:
			c.Conflict = t.keeps(e.Path, e.ModTime)
		case !e.Base.Same(now):
			c.Conflict = "the host changed it meanwhile"
		}
		return false, nil
	}
	own, err := t.ownBase(e, now)
	if err != nil {
		return false, err
	}
	content := now != nil && own.Sum != "" && own.Sum == now.Sum && own.Mode&unix.S_IFMT == now.Mode&unix.S_IFMT
	perm := now != nil && (e.Kind != shadow.File || now.Mode&0o777 == e.Perm)
	switch {
	case content && perm:
		return true, nil
	case e.Base.Same(now):
		if content {
			c.Op = OpMode
		}
	case content && e.Base != nil:
		c.Op = OpMode
	case e.Base == nil:
		c.Conflict = "the host has something there that the sandbox did not see"
	case now == nil:
		c.Conflict = "the host removed it meanwhile"
	default:
		c.Conflict = "the host changed it meanwhile"
	}
	return false, nil
}

// keeps says why what the host has at rel, with all that is below, may not be
// removed: the sandbox could not see it, or it changed since.
func (t *tree) keeps(rel string, since time.Time) string {
	st, err := t.stat(rel)
	if err == unix.ENOENT {
		return ""
	}
	if err != nil {
		return hostError(err)
	}
	if t.judge(rel, entryOf(st.Mode)).Kind == rules.Hide {
		return fmt.Sprintf("the host has %s there, which the sandbox could not see", quote(rel))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if since.IsZero() || time.Unix(st.Ctim.Unix()).After(since) {
			return fmt.Sprintf("the host changed %s meanwhile", quote(rel))
		}
		return ""
	}
	names, err := t.list(rel)
	if err != nil {
		return hostError(err)
	}
	for _, n := range names {
		if why := t.keeps(path.Join(rel, n), since); why != "" {
			return why
		}
	}
	return ""
}

func hostError(err error) string { return "the host's file cannot be read: " + err.Error() }

func kindOf(mode uint32) FileKind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return KindFile
	case unix.S_IFDIR:
		return KindDir
	case unix.S_IFLNK:
		return KindSymlink
	}
	return KindSpecial
}

func entryOf(mode uint32) rules.Entry {
	switch kindOf(mode) {
	case KindDir:
		return rules.Dir
	case KindSymlink:
		return rules.Link
	}
	return rules.File
}
