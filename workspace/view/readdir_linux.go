package view

import (
	"container/list"
	"sync"

	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Listings are kept while somebody reads them, so that offsets mean the same
// entries to the end. Without OPENDIR nobody says when that is.
const (
	maxListings = 64
	maxListed   = 1 << 20 // entries of all of them together
)

// readDir reads the entries of an O_PATH directory, without . and .. .
func readDir(dir int) ([]fuse.DirEntry, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var out []fuse.DirEntry
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return out, err
		}
		for b := buf[:n]; len(b) > 0; {
			var e fuse.DirEntry
			b = b[e.Parse(b):]
			if e.Name != "." && e.Name != ".." {
				e.Off = 0
				out = append(out, e)
			}
		}
	}
}

// list gives what the sandbox sees in p. The caller holds tree.shape.
func (t *tree) list(p *node, d dirs) ([]fuse.DirEntry, error) {
	var up, low []fuse.DirEntry
	var err error
	if d.upper >= 0 {
		if up, err = readDir(d.upper); err != nil {
			return nil, err
		}
	}
	if d.lower >= 0 {
		if low, err = readDir(d.lower); err != nil {
			return nil, err
		}
	}
	return t.visible(t.stateOf(p, d), d.upper, up, low), nil
}

// visible lays the entries of the shadow over those of the host.
func (t *tree) visible(state rules.State, upper int, up, low []fuse.DirEntry) []fuse.DirEntry {
	over := make(map[string]bool, len(up))
	out := make([]fuse.DirEntry, 0, len(up)+len(low))
	for _, e := range up {
		over[e.Name] = true
		if e.Mode == unix.S_IFLNK {
			var st unix.Stat_t
			if statAt(upper, e.Name, &st) == nil && isWhiteout(upper, e.Name, &st) {
				continue
			}
		}
		if t.otherDev {
			e.Ino |= 1 << 48
		}
		out = append(out, e)
	}
	free := state.Free()
	for _, e := range low {
		if over[e.Name] {
			continue
		}
		if !free {
			if _, v := state.Judge(e.Name, entryOf(e.Mode)); v.Kind == rules.Hide {
				continue
			}
		}
		out = append(out, e)
	}
	return out
}

// empty says whether the sandbox sees nothing in the directory s: nil or ENOTEMPTY.
func (t *tree) empty(d dirs, name string, s *spot) error {
	upper := -1
	var up, low []fuse.DirEntry
	for _, at := range []struct {
		dir  int
		use  bool
		ents *[]fuse.DirEntry
		fd   *int
	}{{d.upper, s.upper, &up, &upper}, {d.lower, s.both || !s.upper, &low, nil}} {
		if !at.use {
			continue
		}
		fd, err := unix.Openat(at.dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if at.fd != nil {
			*at.fd = fd
		}
		if *at.ents, err = readDir(fd); err != nil {
			return err
		}
	}
	if len(t.visible(s.state, upper, up, low)) > 0 {
		return unix.ENOTEMPTY
	}
	return nil
}

// A listing is the content of a directory at one moment.
type listing struct {
	id   uint64 // of the node
	ver  uint32
	ents []fuse.DirEntry
	elem *list.Element
}

type listings struct {
	mu    sync.Mutex
	lru   *list.List
	total int
	ver   uint32
}

func newListings() *listings { return &listings{lru: list.New()} }

// get finds the listing that an offset belongs to.
func (l *listings) get(id uint64, ver uint32) *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.lru.Front(); e != nil; e = e.Next() {
		if x := e.Value.(*listing); x.id == id && x.ver == ver {
			l.lru.MoveToFront(e)
			return x
		}
	}
	return nil
}

func (l *listings) put(id uint64, ents []fuse.DirEntry) *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ver = max(l.ver+1, 1) & 0x7fffffff
	x := &listing{id: id, ver: l.ver, ents: ents}
	x.elem = l.lru.PushFront(x)
	l.total += len(ents)
	for l.lru.Len() > 1 && (l.lru.Len() > maxListings || l.total > maxListed) {
		l.remove(l.lru.Back())
	}
	return x
}

func (l *listings) remove(e *list.Element) {
	l.total -= len(e.Value.(*listing).ents)
	l.lru.Remove(e)
}

// drop forgets the listings of a node.
func (l *listings) drop(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.lru.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*listing).id == id {
			l.remove(e)
		}
		e = next
	}
}

// ReadDir tells names.
func (t *tree) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return status(t.readDirAt(in, func(_ *node, _ dirs, e fuse.DirEntry) bool { return out.AddDirEntry(e) }))
}

// ReadDirPlus tells names and attributes: each entry counts as a lookup.
func (t *tree) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return status(t.readDirAt(in, func(p *node, d dirs, e fuse.DirEntry) bool {
		eo := out.AddDirLookupEntry(e)
		if eo == nil {
			return false
		}
		if e.Name == "." || e.Name == ".." {
			return true
		}
		// An entry that is gone by now keeps node 0: the name is told, nothing remembered.
		if s, err := t.find(d, p, e.Name); err == nil {
			t.entry(p, e.Name, &s, eo)
			out.FixMode(s.st.Mode)
		}
		return true
	}))
}

// readDirAt adds the entries from the offset on, as long as add takes them. An
// offset is the listing's version and the index of the next entry in it.
func (t *tree) readDirAt(in *fuse.ReadIn, add func(*node, dirs, fuse.DirEntry) bool) error {
	t.shape.RLock()
	defer t.shape.RUnlock()
	p := t.node(in.NodeId)
	if p == nil {
		return unix.ESTALE
	}
	d, err := t.open(p)
	defer d.close()
	if err != nil {
		return err
	}
	var l *listing
	if in.Offset != 0 {
		l = t.listings.get(p.id, uint32(in.Offset>>32))
	}
	if l == nil {
		ents, err := t.list(p, d)
		if err != nil {
			return err
		}
		l = t.listings.put(p.id, append(dots(p), ents...))
	}
	for i := int(uint32(in.Offset)); i < len(l.ents); i++ {
		e := l.ents[i]
		e.Off = uint64(l.ver)<<32 | uint64(i+1)
		if !add(p, d, e) {
			return nil
		}
	}
	return nil
}

func dots(p *node) []fuse.DirEntry {
	up := p.ino
	if p.parent != nil {
		up = p.parent.ino
	}
	return []fuse.DirEntry{{Name: ".", Ino: p.ino, Mode: unix.S_IFDIR}, {Name: "..", Ino: up, Mode: unix.S_IFDIR}}
}

// FsyncDir has nothing to do: names are where they belong at once.
func (t *tree) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }
