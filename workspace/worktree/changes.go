package worktree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/workspace/internal/ignore"
	"github.com/belljar-dev/belljar/workspace/internal/objects"
	"github.com/belljar-dev/belljar/workspace/rules"
	"golang.org/x/sys/unix"
)

// maxWalk bounds the files of a work tree, or names of trees, that are looked at: see
// [weight].
const maxWalk = 2_000_000

// maxIgnore is how much of a .gitignore is read, in bytes.
const maxIgnore = 1 << 20

// weight is what n names in the folder at are charged: one each, and more where their
// paths are long, which take memory.
func weight(n int, at string) int { return n + n*len(at)/256 }

// A survey finds what differs in a work tree from a tree of git.
type survey struct {
	ctx     context.Context
	in      *folder
	hash    int
	tracked map[string]side
	// everything says that names are judged that are merely held, too: those of a
	// sandbox's work tree lie in its shadow.
	everything bool
	left       int
	bytes      int64           // of files that were read
	dirs       map[string]bool // that git knows something in
	seen       map[string]bool
	// untouched says that a file is what it was when the tree was made; nil: none is.
	untouched func(full string, l found) bool
	changed   func(full string, s side, l found) error
}

// walk looks at the folder at.
func (s *survey) walk(at string, p place, list []ignore.Rule) error {
	if strings.Count(at, "/") > maxDepth {
		return fmt.Errorf("folders that lie too deep: %w", objects.ErrTooMuch)
	}
	names, err := s.in.list(at)
	if err != nil {
		return err
	}
	if slices.Contains(names, ".gitignore") {
		full := path.Join(at, ".gitignore")
		if l, _, err := s.in.look(full); err == nil && l.kind == unix.S_IFREG {
			if b, err := s.in.read(full, l, maxIgnore); err == nil {
				list = append(slices.Clip(list), ignore.Parse(strings.TrimPrefix(at, "."), string(b))...)
			}
		}
	}
	for _, name := range names {
		if s.left -= weight(1, at); s.left < 0 {
			return objects.ErrTooMuch
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if err := s.entry(path.Join(at, name), p, list); err != nil {
			return err
		}
	}
	return nil
}

func (s *survey) entry(full string, p place, list []ignore.Rule) error {
	name := path.Base(full)
	if isDotGit(name) {
		return nil
	}
	l, _, err := s.in.look(full)
	if err != nil {
		return err
	}
	mode := uint32(modeFile)
	switch l.kind {
	case unix.S_IFDIR:
		mode = modeDir
	case unix.S_IFLNK:
		mode = modeLink
	case unix.S_IFREG:
	default:
		return nil
	}
	next, v := p.judge(name, side{mode: mode})
	if next.hidden || !s.everything && v.Kind != rules.Pass {
		return nil
	}
	was, known := s.tracked[full]
	if mode == modeDir {
		if known && was.mode == modeModule || ignore.Name(list, full, true) && !s.below(full) {
			return nil // a submodule, or nothing that git looks at
		}
		if g, _, err := s.in.look(full + "/.git"); err == nil && g.kind != 0 {
			return nil
		}
		return s.walk(full, next, list)
	}
	if !known && ignore.Name(list, full, false) {
		return nil
	}
	s.seen[full] = true
	if s.untouched != nil && s.untouched(full, l) {
		return nil
	}
	if l.kind == unix.S_IFREG {
		s.bytes += l.stat.Size
	}
	if s.bytes > maxBytes && !s.everything { // the user's own may be as large as it is
		return objects.ErrTooMuch
	}
	now, _, err := s.in.side(full, s.hash)
	if err != nil || now == was {
		return err
	}
	return s.changed(full, now, l)
}

// below says whether git knows anything in the folder.
func (s *survey) below(full string) bool {
	if s.dirs == nil {
		s.dirs = map[string]bool{}
		for p := range s.tracked {
			for d := path.Dir(p); d != "." && !s.dirs[d]; d = path.Dir(d) {
				s.dirs[d] = true
			}
		}
	}
	return s.dirs[full]
}

// gone lists what git knows and the work tree does not have.
func (s *survey) gone(root place) []string {
	var out []string
	for full, was := range s.tracked {
		if s.seen[full] || was.mode == modeModule {
			continue
		}
		p, ok := root, true
		parts := strings.Split(full, "/")
		for i, name := range parts {
			sd := side{mode: modeDir}
			if i == len(parts)-1 {
				sd = was
			}
			var v rules.Verdict
			p, v = p.judge(name, sd)
			ok = ok && !p.hidden && (s.everything || v.Kind == rules.Pass)
		}
		if ok {
			out = append(out, full)
		}
	}
	slices.Sort(out)
	return out
}

// list names what a folder holds, in order; not more than anybody looks at.
func (f *folder) list(rel string) ([]string, error) {
	fd, err := f.dir(rel, false)
	if err != nil {
		return nil, err
	}
	d, err := unix.Openat(fd, ".", openDirFlags, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(d), rel)
	defer file.Close()
	names, err := file.Readdirnames(maxWalk + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if len(names) > maxWalk {
		return nil, objects.ErrTooMuch
	}
	slices.Sort(names)
	return names, err
}

// bringChanges copies what is changed in the project and not committed.
func bringChanges(ctx context.Context, o CreateOptions, c *checkout) error {
	in, err := openFolder(o.Source.Project)
	if err != nil {
		return err
	}
	defer in.close()
	s := &survey{ctx: ctx, in: in, hash: c.r.hash, tracked: map[string]side{}, everything: true, left: maxWalk, seen: map[string]bool{}}
	for i := range c.index.entries {
		s.tracked[c.index.entries[i].path] = c.index.entries[i].side()
	}
	s.changed = func(full string, now side, l found) error {
		b, err := in.read(full, l, maxBlob)
		if err != nil {
			return err
		}
		if err := c.to.clear(full); err != nil {
			return err
		}
		return c.to.put(full, now.mode, b, c.at.Add(1e9))
	}
	exclude, _ := readText(c.r.common, "info/exclude")
	root := place{state: o.Rules.Root()}
	if err := s.walk(".", root, ignore.Parse("", exclude)); err != nil {
		return err
	}
	for _, full := range s.gone(root) {
		if _, changed, _ := c.to.look(full); changed {
			continue // something of the project stands in its way now
		}
		if err := c.to.remove(full); err != nil && !errors.Is(err, unix.EISDIR) {
			return err
		}
	}
	return nil
}

// clear makes way for a file: what lies on the way to it and is no folder goes, and so
// does a folder in its place. Only for a tree that nobody else has.
func (f *folder) clear(full string) error {
	for d := path.Dir(full); d != "."; d = path.Dir(d) {
		if l, _, err := f.look(d); err == nil && l.kind != 0 && l.kind != unix.S_IFDIR {
			return f.remove(d)
		}
	}
	l, _, err := f.look(full)
	if err != nil || l.kind != unix.S_IFDIR {
		return err
	}
	names, err := f.list(full)
	for _, n := range names {
		if err == nil {
			err = f.clear(path.Join(full, n))
		}
		if l, _, lerr := f.look(path.Join(full, n)); err == nil && lerr == nil && l.kind != unix.S_IFDIR && l.kind != 0 {
			err = f.remove(path.Join(full, n))
		}
	}
	if err != nil {
		return err
	}
	fd, err := f.dir(path.Dir(full), false)
	if err != nil {
		return nil // it went with the last that it held
	}
	if err := unix.Unlinkat(fd, path.Base(full), unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	f.forget()
	return nil
}

// errEnough ends a survey that has found what it looks for.
var errEnough = errors.New("enough")

// A flattening lists the files of a tree.
type flattening struct {
	ctx  context.Context
	r    *repo
	into map[string]side
	left int // a small tree may name itself a thousand times over
}

// flatten lists the files of a tree.
func (r *repo) flatten(ctx context.Context, id string) (map[string]side, error) {
	f := &flattening{ctx: ctx, r: r, into: map[string]side{}, left: maxWalk}
	return f.into, f.tree(id, "", 0)
}

func (f *flattening) tree(id, at string, depth int) error {
	if err := f.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return objects.ErrTooMuch
	}
	es, err := f.r.tree(id)
	if err != nil {
		return err
	}
	if f.left -= weight(len(es), at); f.left < 0 {
		return objects.ErrTooMuch
	}
	for _, e := range es {
		full := path.Join(at, e.name)
		if e.isDir() {
			err = f.tree(e.id, full, depth+1)
		} else {
			f.into[full] = e.side
		}
		if err != nil {
			return err
		}
	}
	return nil
}
