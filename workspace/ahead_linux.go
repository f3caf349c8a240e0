package workspace

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/workspace/shadow"
)

// A file is on disk before it takes another's place, and waiting for the disk takes
// longer than all else. So the contents of many files are written beside their places
// first, and waited for together; then each lands as if it had been alone: looked at
// again, written down, exchanged. What is not as it was when it was prepared is prepared
// anew.

// The bounds of what is prepared at once: both descriptors and disk are somebody's.
const (
	aheadFiles = 256
	aheadBytes = 64 << 20
)

// A prepared file is finished, and on disk, under a name of its own.
type prepared struct {
	dir       int // folder that it is in; of the batch
	tmp, mark string
	like      *unix.Stat_t // what it is to replace; nil: nothing
	entry     shadow.Entry // of an apply: what it was copied from
	to        *state       // of an undo: what it was copied from
}

// A batch is what was prepared ahead. It holds the folders open: the host may rename
// them meanwhile.
type batch struct {
	t     *tree
	dirs  map[string]int
	files map[string]*prepared // by the path where they are to land
	open  []*os.File
	names []string // of open
	bytes int64
}

func (t *tree) newBatch() *batch {
	return &batch{t: t, dirs: map[string]int{}, files: map[string]*prepared{}}
}

func (b *batch) full() bool { return len(b.files) >= aheadFiles || b.bytes >= aheadBytes }

// add prepares a file for rel, which build makes. Where that fails nothing is prepared:
// who comes to rel meets the same and says so.
func (b *batch) add(rel string, size int64, p *prepared, build func(d int, tmp string) (*os.File, error)) {
	dir, name := splitRel(rel)
	d, ok := b.dirs[dir]
	if !ok {
		var err error
		if d, err = b.t.openHost(dir, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
			return
		}
		b.dirs[dir] = d
	}
	var err error
	if p.like, err = lstat(d, name); err != nil || kindOf(modeOf(p.like)) == KindDir {
		return
	}
	p.dir = d
	if p.tmp, p.mark, err = b.t.promise(rel); err != nil {
		return
	}
	f, err := build(d, p.tmp)
	if err != nil {
		b.drop(p)
		return
	}
	b.files[rel] = p
	b.open, b.names = append(b.open, f), append(b.names, rel)
	b.bytes += size
}

// settle waits until all that was prepared is on disk.
func (b *batch) settle(sync func([]*os.File) []error) {
	for i, err := range sync(b.open) {
		if err != nil {
			b.drop(b.files[b.names[i]])
			delete(b.files, b.names[i])
		}
		_ = b.open[i].Close()
	}
	b.open, b.names = nil, nil
}

func (b *batch) drop(p *prepared) {
	discardAt(p.dir, p.tmp)
	b.t.view.Keep(p.mark)
}

// leave removes what was prepared in the folder dir, which is to go.
func (b *batch) leave(dir string) {
	if b == nil {
		return
	}
	for rel, p := range b.files {
		if in, _ := splitRel(rel); in == dir {
			b.drop(p)
			delete(b.files, rel)
		}
	}
}

// close removes what was prepared and has not landed.
func (b *batch) close() {
	if b == nil {
		return
	}
	for _, p := range b.files {
		b.drop(p)
	}
	for _, d := range b.dirs {
		_ = unix.Close(d)
	}
	b.t.batch = nil
}

// take gives what was prepared for rel in the folder d, over old, if it is what fits says.
func (t *tree) take(rel string, d int, old *unix.Stat_t, fits func(p *prepared) bool) *prepared {
	if t.batch == nil || t.batch.files[rel] == nil {
		return nil
	}
	p := t.batch.files[rel]
	delete(t.batch.files, rel)
	var here, there unix.Stat_t
	same := unix.Fstat(d, &here) == nil && unix.Fstat(p.dir, &there) == nil && here.Dev == there.Dev && here.Ino == there.Ino
	if !same || !sameOwner(p.like, old) || !fits(p) {
		t.batch.drop(p)
		return nil
	}
	return p
}

// sameOwner says whether what is to be replaced gives the new file the same owner.
func sameOwner(a, b *unix.Stat_t) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Uid == b.Uid && a.Gid == b.Gid
}

// withFile calls f with the name of the finished file for rel, in the folder d: the one
// that was prepared ahead, or one that build makes now. It does not outlive us.
func (t *tree) withFile(rel string, d int, p *prepared, build func(tmp string) (*os.File, error), f func(tmp string) error) error {
	if p != nil {
		err := f(p.tmp)
		if err != nil {
			discardAt(d, p.tmp)
		}
		t.view.Keep(p.mark)
		return err
	}
	return t.withTmp(rel, func(tmp string) error {
		file, err := build(tmp)
		if err != nil {
			return err
		}
		if file != nil {
			err = t.sync([]*os.File{file})[0]
			if e := file.Close(); err == nil {
				err = e
			}
		}
		if err != nil {
			return err
		}
		return f(tmp)
	})
}

// ahead prepares what can be of the first of the changes, and says of how many.
func (t *tree) ahead(changes []Change) int {
	t.batch.close()
	if t.j.open() != nil { // so that the next command knows, should this one be killed
		return len(changes)
	}
	b := t.newBatch()
	t.batch = b
	for n, c := range changes {
		if b.full() || landing(c) != landing(changes[0]) {
			b.settle(t.sync)
			return n
		}
		whole := t.partOf == nil || t.partOf(c) == nil || t.partOf(c).whole
		if c.Kind != KindFile || c.Op == OpDelete || c.Conflict != "" || c.Merge || !whole {
			continue
		}
		e, err := t.view.Lookup(c.Path)
		if err != nil || e.Kind != shadow.File || t.makeParents(c.Path) != nil {
			continue
		}
		p := &prepared{entry: e}
		b.add(c.Path, e.Size, p, func(d int, tmp string) (*os.File, error) { return t.prepare(e, d, tmp, p.like, nil) })
	}
	b.settle(t.sync)
	return len(changes)
}

// ahead prepares what comes back of the last of the steps, and says of how many.
func (u *undoing) ahead(steps []step) int {
	for _, t := range u.trees {
		t.batch.close()
	}
	var batches []*batch
	defer func() {
		for _, b := range batches {
			b.settle(b.t.sync)
		}
	}()
	for n := range steps {
		s := steps[len(steps)-1-n]
		if n >= aheadFiles {
			return n
		}
		if s.Before == nil || s.Before.kind() != KindFile || s.Before.Moved || !u.part(s) {
			continue
		}
		t, err := u.tree(string(s.Source))
		if err != nil {
			continue
		}
		if t.batch == nil {
			t.batch = t.newBatch()
			batches = append(batches, t.batch)
		}
		if t.batch.bytes >= aheadBytes {
			return n
		}
		rel := string(s.Path)
		// Of two steps at one place the nearer comes first. Below a folder that the shadow has
		// removed nothing may be new before it was looked at: see lookAbove.
		if t.batch.files[rel] != nil || t.removedAbove(rel) != "" {
			continue
		}
		p := &prepared{to: s.Before}
		t.batch.add(rel, s.Before.Size, p, func(d int, tmp string) (*os.File, error) { return bring(d, tmp, s.Before, u.blobs, p.like) })
	}
	return len(steps)
}

// sameFile says whether two looks at a private copy saw one content.
func sameFile(a, b shadow.Entry) bool {
	return a.Kind == b.Kind && a.Path == b.Path && a.Size == b.Size && a.Perm == b.Perm && a.ModTime.Equal(b.ModTime)
}
