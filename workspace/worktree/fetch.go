package worktree

import (
	"compress/zlib"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/workspace/internal/objects"
	"github.com/pjbgf/sha1cd"
	"golang.org/x/sys/unix"
)

// The bounds of what is brought home at once.
const (
	maxObjects = 1_000_000
	maxBytes   = 8 << 30
	maxCommits = 100_000
)

// A Fetched is what [Fetch] brought home.
type Fetched struct {
	Ref     string // in the user's repository
	Old     string // raw name of the commit that it was; empty: it is new
	New     string
	Commits int // that are new here
	Objects int
}

// Fetch brings the branch of the worktree in dir home: the objects that the user's
// repository lacks, and the reference of that name, made or moved forward. A branch
// that was rewritten inside is refused.
func Fetch(ctx context.Context, src Source, dir string) (*Fetched, error) {
	i, err := Load(dir)
	if err != nil {
		return nil, err
	}
	home, err := openRepo(ctx, src.GitDir, src.Common)
	if err != nil {
		return nil, err
	}
	defer home.close()
	own, err := openInsideOnly(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer own.Close()
	in, err := openInside(ctx, dir, src.ObjectsDir())
	if err != nil {
		return nil, err
	}
	defer in.close()
	home.sweepObjects()
	home.hash = len(i.Base) / 2
	tip, err := i.tip(in)
	if err != nil {
		return nil, err
	}
	old, err := home.ref(i.Ref())
	if err != nil && !errors.Is(err, errNoRef) {
		return nil, err
	}
	im := &importer{ctx: ctx, home: home, from: own, seen: map[string]objects.Type{}}
	got := &Fetched{Ref: i.Ref(), Old: old, New: tip}
	if err := im.commits(tip); err != nil {
		return nil, fmt.Errorf("bring %s home: %w", i.Branch, errors.Join(err, im.drop()))
	}
	got.Commits, got.Objects = im.n, len(im.order)
	if err := im.finish(); err != nil {
		return nil, fmt.Errorf("bring %s home: %w", i.Branch, err)
	}
	if old == tip {
		return got, nil
	}
	// What was just written is found now.
	fresh, err := openRepo(ctx, src.GitDir, src.Common)
	if err != nil {
		return nil, err
	}
	defer fresh.close()
	if old != "" {
		if ok, err := fresh.isAncestor(ctx, old, tip); err != nil || !ok {
			return nil, errors.Join(err, fmt.Errorf("the branch %s here is not part of what it is inside: it was rewritten; rename or delete the one here", i.Branch))
		}
	}
	return got, fresh.setRef(fresh.common, i.Ref(), old, tip, "belljar: brought home")
}

// An importer brings objects from inside into the user's repository.
type importer struct {
	ctx   context.Context
	home  *repo
	from  *objects.Store // what was made inside
	seen  map[string]objects.Type
	order []string // what is new, each after what it needs
	bytes int64
	n     int // commits
	dir   *os.Root
	tmp   string
	held  *os.File // the folder tmp, locked: it is in use
}

// commits imports what is behind tip, parents first.
func (m *importer) commits(tip string) error {
	type step struct {
		id string
		c  *commit // nil: it has not been looked at
	}
	todo := []step{{id: tip}}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.c != nil {
			if err := m.tree(s.c.tree, 0); err != nil {
				return err
			}
			m.order = append(m.order, s.id)
			continue
		}
		known, err := m.known(s.id, objects.Commit)
		if err != nil || known {
			if err != nil {
				return err
			}
			continue
		}
		if m.n++; m.n > maxCommits {
			return objects.ErrTooMuch
		}
		b, err := m.take(s.id, objects.Commit, objects.MaxCommit)
		if err != nil {
			return err
		}
		c, err := parseCommit(b, m.home.hash)
		if err != nil {
			return fmt.Errorf("%x: %w", s.id, err)
		}
		todo = append(todo, step{s.id, c})
		for _, p := range c.parents {
			todo = append(todo, step{id: p})
		}
	}
	return nil
}

// known says whether an object needs no import, and checks that it is of the type that
// it is used as.
func (m *importer) known(id string, want objects.Type) (bool, error) {
	if err := m.ctx.Err(); err != nil {
		return false, err
	}
	if t, ok := m.seen[id]; ok {
		if t != want {
			return false, fmt.Errorf("%x is a %s and used as a %s", id, t, want)
		}
		return true, nil
	}
	if !m.home.store.Has(id) {
		return false, nil
	}
	t, err := m.home.store.Type(id)
	if err == nil && t != want {
		err = fmt.Errorf("it is a %s and used as a %s", t, want)
	}
	if err != nil {
		return false, fmt.Errorf("%x: %w", id, err)
	}
	m.seen[id] = t
	return true, nil
}

// tree imports a tree and what is in it.
func (m *importer) tree(id string, depth int) error {
	if depth > maxDepth {
		return errors.New("folders that lie too deep")
	}
	if known, err := m.known(id, objects.Tree); err != nil || known {
		return err
	}
	b, err := m.take(id, objects.Tree, objects.MaxTree)
	if err != nil {
		return err
	}
	es, err := parseTree(b, m.home.hash)
	if err != nil {
		return fmt.Errorf("%x: %w", id, err)
	}
	for _, e := range es {
		switch {
		case e.isDir():
			err = m.tree(e.id, depth+1)
		case e.mode == modeModule:
		default:
			err = m.blob(e)
		}
		if err != nil {
			return err
		}
	}
	m.order = append(m.order, id)
	return nil
}

func (m *importer) blob(e entry) error {
	modules := isDot(e.name, "gitmodules", "gi7eb")
	known, err := m.known(e.id, objects.Blob)
	if err != nil || known && !modules {
		return err
	}
	var b []byte
	if known {
		b, err = m.home.blobOr(e.id, m.from)
	} else {
		b, err = m.take(e.id, objects.Blob, maxBlob)
	}
	if err == nil && modules {
		err = checkModules(b)
	}
	if err != nil {
		return fmt.Errorf("%q: %w", e.name, err)
	}
	if !known {
		m.order = append(m.order, e.id)
	}
	return nil
}

// blobOr reads a file that is here, or that was taken from inside just before.
func (r *repo) blobOr(id string, from *objects.Store) ([]byte, error) {
	if r.store.Has(id) {
		return r.blob(id)
	}
	t, b, err := from.Object(id, maxBlob)
	if err == nil && (t != objects.Blob || strictSum(t, b, len(id)) != id) {
		err = objects.ErrDamaged
	}
	return b, err
}

// take reads an object from inside, checks that it is what its name says, and keeps it
// aside.
func (m *importer) take(id string, want objects.Type, limit int64) ([]byte, error) {
	t, b, err := m.from.Object(id, limit)
	if err == nil && t != want {
		err = fmt.Errorf("it is a %s and used as a %s", t, want)
	}
	if err == nil && (len(id) != m.home.hash || strictSum(t, b, len(id)) != id) {
		err = errors.New("its content is not what its name says")
	}
	if err != nil {
		return nil, fmt.Errorf("%x: %w", id, err)
	}
	m.seen[id] = t
	if m.bytes += int64(len(b)) + 64; m.bytes > maxBytes || len(m.seen) > maxObjects {
		return nil, objects.ErrTooMuch
	}
	return b, m.keep(id, t, b)
}

// strictSum is [objects.Sum] with an eye on collisions: content that was made to
// collide has no sum.
func strictSum(t objects.Type, b []byte, size int) string {
	if size != sha1cd.Size {
		return objects.Sum(t, b, size)
	}
	h := sha1cd.New().(sha1cd.CollisionResistantHash)
	fmt.Fprintf(h, "%s %d\x00", t, len(b))
	h.Write(b)
	sum, collision := h.CollisionResistantSum(nil)
	if collision {
		return ""
	}
	return string(sum)
}

// keep writes an object where nobody looks for one.
func (m *importer) keep(id string, t objects.Type, b []byte) error {
	if m.dir == nil {
		var err error
		if m.dir, err = m.home.openObjects(); err != nil {
			return err
		}
		m.tmp = aside + strings.TrimPrefix(tempName(), ".belljar-")
		if err := m.dir.Mkdir(m.tmp, 0o700); err != nil {
			return err
		}
		if m.held, err = m.dir.Open(m.tmp); err == nil {
			err = unix.Flock(int(m.held.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		}
		if err != nil {
			return err
		}
	}
	return writeLoose(m.dir, m.tmp+"/"+hex.EncodeToString([]byte(id)), t, b)
}

// aside begins the names of folders in which objects are kept aside.
const aside = "tmp_belljar_"

// sweepObjects removes what imports that were killed kept aside. A folder that is so
// young that its lock may not be taken yet stays.
func (r *repo) sweepObjects() {
	dir, err := r.openObjects()
	if err != nil {
		return
	}
	defer dir.Close()
	d, err := dir.Open(".")
	if err != nil {
		return
	}
	es, _ := d.ReadDir(maxRefs)
	_ = d.Close()
	for _, e := range es {
		if i, err := e.Info(); !strings.HasPrefix(e.Name(), aside) || err != nil || !i.IsDir() || time.Since(i.ModTime()) < time.Minute {
			continue
		}
		f, err := dir.Open(e.Name())
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = dir.RemoveAll(e.Name())
		}
		_ = f.Close()
	}
}

func writeLoose(dir *os.Root, name string, t objects.Type, b []byte) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	z, err := zlib.NewWriterLevel(f, zlib.BestSpeed)
	if err == nil {
		_, err = fmt.Fprintf(z, "%s %d\x00", t, len(b))
	}
	if err == nil {
		_, err = z.Write(b)
	}
	if err == nil {
		err = z.Close()
	}
	return errors.Join(err, f.Close())
}

// drop removes what is kept aside.
func (m *importer) drop() error {
	if m.dir == nil {
		return nil
	}
	err := m.dir.RemoveAll(m.tmp)
	if m.held != nil {
		err = errors.Join(err, m.held.Close())
	}
	return errors.Join(err, m.dir.Close())
}

// finish puts what was kept aside into the user's repository: when all of it is on
// disk, and each object after what it needs.
func (m *importer) finish() (err error) {
	if m.dir == nil {
		return nil
	}
	defer func() { err = errors.Join(err, m.drop()) }()
	d, err := m.dir.Open(m.tmp)
	if err != nil {
		return err
	}
	err = settle(int(d.Fd()))
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, id := range m.order {
		name := hex.EncodeToString([]byte(id))
		if err := m.dir.Mkdir(name[:2], 0o777); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		to := path.Join(name[:2], name[2:])
		if _, err := m.dir.Lstat(to); err == nil {
			continue
		}
		if err := m.dir.Rename(m.tmp+"/"+name, to); err != nil {
			return err
		}
	}
	return nil
}
