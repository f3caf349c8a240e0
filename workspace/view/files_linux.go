package view

import (
	"container/list"
	"sync"

	"golang.org/x/sys/unix"
)

// data is the open file behind a node.
type data struct {
	mu sync.Mutex // held while it is opened or copied
	f  *openFile
}

// An openFile is a descriptor that several requests may use at once.
type openFile struct {
	n      *node
	fd     int
	rw     bool
	upper  bool
	gen    uint64 // of the watcher, when its name was last checked
	kept   uint64 // hostChanges, when what the host has was last kept
	pinned bool   // its name is gone inside: never closed before the node is
	// Guarded by files.mu.
	users int
	dead  bool
	elem  *list.Element
}

// files bounds the descriptors that are kept: the kernel never says when a file
// is closed inside, so the least recently used ones are closed and opened again by
// name when they are needed.
type files struct {
	quota *quota
	mu    sync.Mutex
	lru   *list.List // front: most recent
	max   int
	done  *sync.Cond // a dead file has lost its last user
}

func newFiles(limit int, q *quota) *files {
	c := &files{quota: q, lru: list.New(), max: limit}
	c.done = sync.NewCond(&c.mu)
	return c
}

// idle waits until nobody uses the retired file f.
func (c *files) idle(f *openFile) {
	c.mu.Lock()
	for f.users > 0 {
		c.done.Wait()
	}
	c.mu.Unlock()
}

// use counts a user of f and makes it the most recent.
func (c *files) use(f *openFile) {
	c.mu.Lock()
	f.users++
	if f.elem != nil {
		c.lru.MoveToFront(f.elem)
	}
	c.mu.Unlock()
}

func (c *files) release(f *openFile) {
	c.mu.Lock()
	f.users--
	last := f.dead && f.users == 0
	if last {
		c.done.Broadcast()
	}
	c.mu.Unlock()
	if last {
		c.close(f)
	}
}

// keep adds f, with one user, and closes what is too much. The caller holds
// f.n.data.mu.
func (c *files) keep(f *openFile) {
	c.mu.Lock()
	f.users++
	f.elem = c.lru.PushFront(f)
	var out []*openFile
	for e := c.lru.Back(); e != nil && c.lru.Len() > c.max; {
		old := e.Value.(*openFile)
		e = e.Prev()
		if old.users > 0 || old.pinned || !old.n.data.mu.TryLock() {
			continue
		}
		if old.n.data.f == old {
			old.n.data.f = nil
		}
		old.n.data.mu.Unlock()
		c.lru.Remove(old.elem)
		old.elem = nil
		out = append(out, old)
	}
	c.mu.Unlock()
	for _, f := range out {
		unix.Close(f.fd)
	}
}

// retire takes f away from its node; the last user closes it. The caller holds
// f.n.data.mu.
func (c *files) retire(f *openFile) {
	if f.n.data.f == f {
		f.n.data.f = nil
	}
	c.mu.Lock()
	if f.elem != nil {
		c.lru.Remove(f.elem)
		f.elem = nil
	}
	f.dead = true
	last := f.users == 0
	c.mu.Unlock()
	if last {
		c.close(f)
	}
}

// close gives back the room of a file that has no name any more.
func (c *files) close(f *openFile) {
	if f.pinned {
		var st unix.Stat_t
		if unix.Fstat(f.fd, &st) == nil && st.Nlink == 0 {
			c.quota.add(-st.Blocks*512 - perFile)
		}
	}
	unix.Close(f.fd)
}

// drop forgets the data of a node that the kernel has forgotten.
func (c *files) drop(n *node) {
	n.data.mu.Lock()
	if n.data.f != nil {
		c.retire(n.data.f)
	}
	n.data.mu.Unlock()
}

// statNameless gives the attributes of a file that is open but has no name any more.
func (t *tree) statNameless(n *node, s *spot) bool {
	n.data.mu.Lock()
	defer n.data.mu.Unlock()
	f := n.data.f
	if f == nil || !t.stillHas(f, false) || unix.Fstat(f.fd, &s.st) != nil {
		return false
	}
	s.upper = f.upper
	return true
}

// stillHas says whether the attributes of f, whose name here is gone, may be asked for
// or changed: not when the host has renamed it to a name that hides it.
func (t *tree) stillHas(f *openFile, change bool) bool { return f.pinned || t.harmless(f, change) }
