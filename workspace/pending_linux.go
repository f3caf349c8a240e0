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
func (p Project) Pending() ([]Change, error) { return p.pending(func(*tree) error { return nil }) }

// Settle is [Project.Pending], and forgets private copies that are what the host has:
// they would hide what the host changes later. While another sandbox uses the shadow it
// forgets nothing.
func (p Project) Settle() ([]Change, error) {
	release, err := p.alone("forget what does not differ", 0)
	if err != nil {
		return p.Pending()
	}
	defer release()
	return p.pending((*tree).forgetSame)
}

func (p Project) pending(then func(*tree) error) ([]Change, error) {
	var all []Change
	err := p.eachTree(func(t *tree) error {
		cs, err := t.changes()
		all = append(all, cs...)
		if err == nil {
			err = then(t)
		}
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

// A walk is what is known of folders while the shadow is walked, and changes nothing:
// what lies below is asked about them once for each, not for all of them each time.
type walk struct {
	opaque  byDir // see opaqueAbove
	blocked byDir // see blocked
}

type byDir map[string]string

// get is what find says of dir, told what it says of the folder above.
func (m byDir) get(dir string, find func(dir, above string) string) string {
	if dir == "" {
		return ""
	}
	if v, ok := m[dir]; ok {
		return v
	}
	up, _ := splitRel(dir)
	v := find(dir, m.get(up, find))
	m[dir] = v
	return v
}

// changes walks the shadow.
func (t *tree) changes() ([]Change, error) {
	t.found, t.same = nil, nil
	t.walk = &walk{opaque: byDir{}, blocked: byDir{}}
	defer func() { t.walk = nil }()
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
		if c.Conflict = t.instead(e, st.Mode); c.Conflict != "" {
			c.Conflict = "the host has a file where the sandbox has a folder: " + c.Conflict
		}
		t.add(c)
	case e.Opaque || t.opaqueAbove(e.Path) != "":
		if st.Mode&0o777 != e.Perm {
			c.Op = OpMode
			t.add(c)
		}
		since := t.birth(e.Path)
		if !e.Opaque {
			since = t.birth(t.opaqueAbove(e.Path))
		}
		return t.hidden(e, since)
	default:
		return t.dirMode(c, st.Mode)
	}
	return nil
}

// dirMode records that the permissions of a folder of the host were changed inside.
func (t *tree) dirMode(c Change, now uint32) error {
	b, err := t.view.Base(c.Path)
	if err != nil || b == nil || now&0o777 == c.Perm || kindOf(b.Mode) != KindDir {
		return err
	}
	c.Op = OpMode
	if (b.Mode^now)&0o777 != 0 {
		c.Conflict = "the host changed its permissions meanwhile"
	}
	t.add(c)
	return nil
}

// hidden records the removal of what the host has below an opaque folder and
// the sandbox has not. What the sandbox could not see stays.
func (t *tree) hidden(e shadow.Entry, since time.Time) error {
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
	blocked := ""
	if err == unix.ENOTDIR || err == unix.ELOOP {
		blocked, err = t.blocked(e.Path), nil
	}
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
		c.Class, c.Reason = byContent(c, now)
	}
	if c.Conflict == "" {
		c.Conflict = blocked
	}
	if err != nil {
		c.Conflict = hostError(err)
	}
	if c.Op == OpDelete && c.Conflict == "" {
		c.Conflict = t.pinned(e.Path, entry)
	}
	same, err := t.compare(&c, e, now)
	switch {
	case err != nil:
		return err
	case same:
		t.same = append(t.same, e.Path)
	default:
		t.add(c)
	}
	return nil
}

// forgetSame forgets what [tree.changes] found to be as on the host. Below a folder
// that was made anew the host's file could not be seen in its place.
func (t *tree) forgetSame() error {
	for _, rel := range t.same {
		if t.opaqueAbove(rel) != "" {
			continue
		}
		if err := t.forget(rel); err != nil {
			return err
		}
	}
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

// byContent classifies a change whose name is ordinary by what it is, beside what the
// host has there now: how the sandbox came to it decides nothing.
func byContent(c Change, now *shadow.Base) (rules.Class, string) {
	dir, _ := splitRel(c.Path)
	switch {
	case c.Kind == KindSymlink && rules.LinkLeaves(dir, c.Target):
		return rules.Symlink, "the link leads out of the project"
	case c.Kind != KindFile || c.Perm&0o111 == 0 || c.Op == OpDelete:
		return "", ""
	case now == nil || kindOf(now.Mode) != KindFile:
		return rules.UserRun, "a new executable"
	case now.Mode&0o111 == 0:
		return rules.UserRun, "it was made executable"
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
	perm := now != nil && (e.Kind != shadow.File || now.Mode&0o777 == e.Perm && own.SameAttrs(now))
	switch {
	case content && perm:
		return true, nil
	case now != nil && now.Mode&unix.S_IFMT == unix.S_IFDIR && c.Kind != KindSpecial:
		c.Op, c.Conflict = OpModify, t.instead(e, now.Mode) // also below a folder that was made anew: a folder of the host goes
	case content && !e.Base.SameAttrs(now) && !own.SameAttrs(now):
		c.Conflict = "the host changed its attributes meanwhile"
	case e.Base.Same(now):
		if content {
			c.Op = OpMode
		}
	case content && e.Base != nil:
		c.Op = OpMode
	case e.Base == nil && t.opaqueAbove(e.Path) != "":
		c.Op, c.Conflict = OpModify, t.keeps(e.Path, t.birth(t.opaqueAbove(e.Path)))
	case e.Base == nil:
		c.Conflict = "the host has something there that the sandbox did not see"
	case now == nil:
		c.Conflict = "the host removed it meanwhile"
	default:
		if _, _, c.Merge = t.merged(e); !c.Merge {
			c.Conflict = "the host changed it meanwhile"
		}
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
