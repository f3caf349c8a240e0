package view

import (
	"cmp"
	"container/list"
	"hash/fnv"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Listings are kept while somebody reads them, so that a large directory is not read
// again for each part. Without OPENDIR nobody says when that is.
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
			if statAt(upper, e.Name, &st) == nil {
				if whiteout, void := t.removedBy(upper, e.Name, &st); whiteout {
					over[e.Name] = !void
					continue
				}
			}
		}
		e.Ino = t.numberOf(e.Ino, true)
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

// A listing is the content of a directory at one moment, in the order of offsets.
//
// An offset depends on the name alone. The kernel keeps what it has read of a
// directory for all readers and looks for the place where a reader stopped by its
// offset: with offsets that differ from one listing to the next it would find none,
// and tell the reader that the directory ends there.
type listing struct {
	id   uint64 // of the node
	ents []fuse.DirEntry
	elem *list.Element
}

type listings struct {
	mu    sync.Mutex
	lru   *list.List
	total int
}

func newListings() *listings { return &listings{lru: list.New()} }

// get finds a listing of a node.
func (l *listings) get(id uint64) *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.lru.Front(); e != nil; e = e.Next() {
		if x := e.Value.(*listing); x.id == id {
			l.lru.MoveToFront(e)
			return x
		}
	}
	return nil
}

// put keeps a new listing of a node instead of older ones.
func (l *listings) put(id uint64, ents []fuse.DirEntry) *listing {
	setOffsets(ents)
	l.drop(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	x := &listing{id: id, ents: ents}
	x.elem = l.lru.PushFront(x)
	l.total += len(ents)
	for l.lru.Len() > 1 && (l.lru.Len() > maxListings || l.total > maxListed) {
		l.remove(l.lru.Back())
	}
	return x
}

// setOffsets gives every entry its offset and sorts by it; . and .. come first.
func setOffsets(ents []fuse.DirEntry) {
	for i := range ents {
		switch ents[i].Name {
		case ".":
			ents[i].Off = 1
		case "..":
			ents[i].Off = 2
		default:
			h := fnv.New64a()
			_, _ = h.Write([]byte(ents[i].Name)) // never fails
			ents[i].Off = h.Sum64()>>2 + 3       // positive for programs that see it as a signed number
		}
	}
	slices.SortFunc(ents, func(a, b fuse.DirEntry) int { return cmp.Compare(a.Off, b.Off) })
	for i := 1; i < len(ents); i++ { // two names of one hash
		ents[i].Off = max(ents[i].Off, ents[i-1].Off+1)
	}
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

// readDirAt adds the entries behind the offset, as long as add takes them.
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
		l = t.listings.get(p.id)
	}
	if l == nil {
		ents, err := t.list(p, d)
		if err != nil {
			return err
		}
		l = t.listings.put(p.id, append(dots(p), ents...))
	}
	if in.Offset >= l.end() && !p.settled() {
		// Here the kernel's copy of the directory becomes complete. A reader who stopped
		// at a name that this copy has not would be told that the directory ends there.
		t.note.inodeNow(p.id)
	}
	from := sort.Search(len(l.ents), func(i int) bool { return l.ents[i].Off > in.Offset })
	for _, e := range l.ents[from:] {
		if n := t.kid(p, e.Name); n != nil {
			e.Ino = n.number
		}
		if !add(p, d, e) {
			return nil
		}
	}
	return nil
}

// settleFor is how long after a change of its names the kernel keeps no copy of a
// directory: as long as a reader may pause at a name that comes or goes.
const settleFor = 3 * time.Second

func (n *node) touch() { n.changed.Store(time.Now().UnixNano()) }

func (n *node) settled() bool { return time.Now().UnixNano()-n.changed.Load() > int64(settleFor) }

// end is the offset of the last entry.
func (l *listing) end() uint64 { return l.ents[len(l.ents)-1].Off }

func dots(p *node) []fuse.DirEntry {
	up := p.number
	if p.parent != nil {
		up = p.parent.number
	}
	return []fuse.DirEntry{{Name: ".", Ino: p.number, Mode: unix.S_IFDIR}, {Name: "..", Ino: up, Mode: unix.S_IFDIR}}
}

// FsyncDir has nothing to do: names are where they belong at once.
func (t *tree) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }
