package view

import (
	"errors"
	"io"
	"log"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/before"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/shadow"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	// watchedFor is how long the kernel may believe what it knows of a watched
	// directory, blindFor of one that cannot be watched.
	watchedFor = 10 * time.Second
	blindFor   = time.Second
	// steadyFor is that of a file of a watched directory which nobody has changed for so
	// long: in a large project all would be asked for again between two commands.
	steadyFor = 2 * time.Minute

	// maxNodes is how many names may be known before the kernel is asked to forget
	// them; it does so by itself only when the host runs out of memory.
	maxNodes = 200_000

	// maxIO is the largest read and write of one request.
	maxIO = 1 << 20
)

// A tree is one served view: the host's directory (lower), the private copies laid
// over it (upper) and the nodes that the kernel knows.
type tree struct {
	fuse.RawFileSystem
	lower    int // O_PATH, the root on the host
	upper    *shadow.View
	upTree   int  // the top of upper
	otherDev bool // the shadow lies on another file system: inode numbers could collide
	rules    *rules.Rules
	readOnly bool
	live     bool
	run      string    // tells this server from earlier ones of the same shadow
	began    time.Time // of it, by the clock of file systems
	ids      belljar.Identity
	quota    *quota
	top      topMeta
	report   *reporter
	before   *before.Writer // nil: nothing is changed on the host

	// shape is held for writing by what changes the names of directories, for
	// reading by everything that uses names. It is never held during data transfer.
	shape sync.RWMutex

	mu     sync.RWMutex // guards what follows and, in each node, the fields that say so
	nodes  map[uint64]*node
	next   uint64
	linked map[uint64]uint64 // by inode of the host: names known to be of this view, when more than one
	pruned bool              // too many nodes: the kernel was asked to forget
	shared map[uint64]*node  // by inode of the host: the node of all of them
	shown  map[uint64]*node  // by number: the node that the kernel knows by it
	made   map[uint64]bool   // inodes of git directories that the sandbox made on the host

	files    *files
	listings *listings
	watch    *watcher // nil: not possible
	note     *notifier
}

// A node is a name that the kernel knows, with what it means.
type node struct {
	id  uint64
	typ uint32 // S_IFMT

	number uint64 // the inode number that is shown, always the same one: see tree.numberFor

	// Guarded by tree.mu.
	parent *node
	name   string
	more   []alias // further names of the same file, made here
	kids   map[string]*node
	refs   uint64
	ino    uint64
	gone   bool // removed inside: only the open data is left
	state  rules.State
	lower  bool        // a directory: the host's takes part
	seen   bool        // a directory: watched, or watching was tried
	blind  atomic.Bool // a directory: it cannot be watched; read without mu
	stale  bool        // a directory: its shape may have changed
	told   uint8

	changed atomic.Int64 // a directory: when names in it changed last, in nanoseconds; without mu

	data data
}

// alias is another name of a file.
type alias struct {
	parent *node
	name   string
}

func (n *node) isDir() bool { return n.typ == unix.S_IFDIR }

func newTree(lower int, up *shadow.View, r *rules.Rules) *tree {
	t := &tree{
		run: up.TmpName(), began: time.Now(),
		RawFileSystem: fuse.NewDefaultRawFileSystem(), lower: lower, upper: up, upTree: up.TreeDir(), rules: r,
		nodes: map[uint64]*node{}, linked: map[uint64]uint64{}, shared: map[uint64]*node{}, shown: map[uint64]*node{}, made: map[uint64]bool{}, next: fuse.FUSE_ROOT_ID + 1, listings: newListings(),
	}
	t.nodes[fuse.FUSE_ROOT_ID] = &node{
		id: fuse.FUSE_ROOT_ID, typ: unix.S_IFDIR, kids: map[string]*node{}, refs: 1, state: r.Root(), lower: true, stale: true,
	}
	return t
}

// String names the file system in debug output.
func (t *tree) String() string { return "belljar" }

func (t *tree) options() *fuse.MountOptions {
	return &fuse.MountOptions{
		MaxWrite: maxIO, MaxReadAhead: maxIO, MaxBackground: 64, FsName: "belljar", Name: "belljar",
		// Without this the kernel asks for security.capability before every write: host
		// and shadow take set-user-ID bits and capabilities away by themselves.
		ExtraCapabilities: fuse.CAP_HANDLE_KILLPRIV_V2,
		Logger:            log.New(io.Discard, "", 0),
	}
}

func (t *tree) node(id uint64) *node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.nodes[id]
}

// rel is the path of n below the root, "" for the root itself.
func (t *tree) rel(n *node) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return relLocked(n)
}

func relLocked(n *node) string {
	size := 0
	for m := n; m.parent != nil; m = m.parent {
		size += len(m.name) + 1
	}
	if size == 0 {
		return ""
	}
	b := make([]byte, size-1)
	for m := n; m.parent != nil; m = m.parent {
		size -= len(m.name) + 1
		copy(b[size:], m.name)
		if size > 0 {
			b[size-1] = '/'
		}
	}
	return string(b)
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// status turns an error into what the kernel is told.
func status(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	var e syscall.Errno
	if errors.As(err, &e) {
		return fuse.Status(e)
	}
	return fuse.EIO
}

const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// walk opens the directory rel below root without following any link; paths longer
// than the kernel takes are walked in steps.
func walk(root int, rel string) (int, error) {
	if rel == "" {
		rel = "."
	}
	at := root
	for {
		step := rel
		if len(step) > 4000 {
			cut := lastSlash(step[:4000])
			if cut <= 0 {
				return -1, unix.ENAMETOOLONG
			}
			step = step[:cut]
		}
		fd, err := unix.Openat2(at, step, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: resolve})
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if at != root {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		if len(step) == len(rel) {
			return fd, nil
		}
		at, rel = fd, rel[len(step)+1:]
	}
}

func lastSlash(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			return i
		}
	}
	return -1
}

func statAt(dir int, name string, st *unix.Stat_t) error {
	return unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW)
}

func procPath(fd int) string { return "/proc/self/fd/" + itoa(fd) }

func itoa(i int) string {
	var b [20]byte
	p := len(b)
	for {
		p--
		b[p] = byte('0' + i%10)
		if i /= 10; i == 0 {
			return string(b[p:])
		}
	}
}
