package view

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A watcher tells the kernel that serves the sandbox when somebody else changes a
// directory that it has looked into. It uses fanotify without privilege: events
// caused by this process carry its id and are skipped, all others carry none.
type watcher struct {
	t   *tree
	fan int           // fanotify; open as long as the process
	gen atomic.Uint64 // counts what was done to names by others

	reading sync.Mutex // from the read of events until all that follows from them is done
	buf     []byte

	mu   sync.Mutex
	dirs map[string]uint64 // file handle → node
	keys map[uint64][]string
}

const watched = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO |
	unix.FAN_MODIFY | unix.FAN_ATTRIB | unix.FAN_EVENT_ON_CHILD | unix.FAN_ONDIR

const changesNames = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO

// newWatcher fails where the kernel is older than 5.13 or grants no marks.
func newWatcher(t *tree) (*watcher, error) {
	// By the runtime's poller a read takes four calls for each event, and every change
	// of the sandbox is one.
	fan, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_REPORT_DFID_NAME|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("start watching: %w", err)
	}
	return &watcher{t: t, fan: int(fan), buf: make([]byte, 256<<10), dirs: map[string]uint64{}, keys: map[uint64][]string{}}, nil
}

// add watches the directory that fd is, as node n.
func (w *watcher) add(fd int, n *node) error {
	h, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	key := string(h.Bytes())
	w.mu.Lock()
	if w.dirs[key] != n.id {
		w.dirs[key] = n.id
		w.keys[n.id] = append(w.keys[n.id], key)
	}
	w.mu.Unlock()
	return unix.FanotifyMark(w.fan, unix.FAN_MARK_ADD|unix.FAN_MARK_ONLYDIR, watched, unix.AT_FDCWD, procPath(fd))
}

// forget drops what is known of a node that the kernel has forgotten. The mark
// stays until the directory is gone; it is harmless.
func (w *watcher) forget(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.keys[n.id] {
		if w.dirs[k] == n.id {
			delete(w.dirs, k)
		}
	}
	delete(w.keys, n.id)
}

// restFor is how long the watcher looks away after it has read nothing but what this
// process did itself. Every change of the sandbox is an event of that kind: without the
// rest each of them wakes a thread for nothing, which takes as long as a request. What
// the host does meanwhile is seen that much later, at most.
const restFor = 3 * time.Millisecond

// run reads events until the process ends.
func (w *watcher) run() {
	for {
		switch n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fan), Events: unix.POLLIN}}, -1); {
		case err == unix.EINTR:
			continue
		case err != nil || n != 1:
			return
		}
		_, others, err := w.read()
		if err != nil {
			return
		}
		if others {
			// The notifier is next on this thread; the wait would keep it waiting until
			// another thread takes it from here.
			runtime.Gosched()
		} else {
			time.Sleep(restFor)
		}
	}
}

// settle acts on what the host has done so far. The caller does not hold tree.mu.
func (w *watcher) settle() {
	for range settleReads {
		if n, _, err := w.read(); n < len(w.buf)/2 || err != nil {
			return // there was no more
		}
	}
}

// settleReads bounds what a host that changes files without end can make a request wait.
const settleReads = 16

// read reads the events that are there, and acts on them: how many bytes, and whether
// anything was done by others.
func (w *watcher) read() (n int, others bool, err error) {
	w.reading.Lock()
	defer w.reading.Unlock()
	n, err = unix.Read(w.fan, w.buf)
	if err == unix.EAGAIN || err == unix.EINTR {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	me := int32(os.Getpid())
	for b := w.buf[:n]; len(b) > 0; {
		ev, rest, ok := nextEvent(b)
		if !ok {
			w.all()
			break
		}
		b = rest
		switch {
		case ev.pid == me:
		case ev.mask&unix.FAN_Q_OVERFLOW != 0:
			w.all()
		default:
			w.tell(ev)
			others = true
		}
	}
	return n, others, nil
}

// fanEvent is what matters of one event.
type fanEvent struct {
	mask   uint64
	pid    int32
	handle string
	name   string
}

const fanMetaLen = 24

// nextEvent parses the first event of b; false when b is damaged.
func nextEvent(b []byte) (ev fanEvent, rest []byte, ok bool) {
	if len(b) < fanMetaLen {
		return ev, nil, false
	}
	size := int(binary.NativeEndian.Uint32(b))
	meta := int(binary.NativeEndian.Uint16(b[6:]))
	if size < fanMetaLen || size > len(b) || meta < fanMetaLen || meta > size {
		return ev, nil, false
	}
	ev.mask = binary.NativeEndian.Uint64(b[8:])
	ev.pid = int32(binary.NativeEndian.Uint32(b[20:]))
	rest = b[size:]
	// struct fanotify_event_info_fid: type, pad, len; fsid; handle_bytes, handle_type, handle; name, NUL.
	info := b[meta:size]
	const fixed = 4 + 8 + 8
	if len(info) < fixed {
		return ev, rest, ev.mask&unix.FAN_Q_OVERFLOW != 0
	}
	end := int(binary.NativeEndian.Uint16(info[2:]))
	hl := int(binary.NativeEndian.Uint32(info[12:]))
	if end > len(info) || hl > end-fixed || hl < 0 {
		return ev, rest, false
	}
	ev.handle = string(info[fixed : fixed+hl])
	name := info[fixed+hl : end]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	ev.name = string(name)
	return ev, rest, true
}

// tell invalidates what one event is about.
func (w *watcher) tell(ev fanEvent) {
	names := ev.mask&changesNames != 0
	if names {
		w.gen.Add(1)
	}
	w.mu.Lock()
	id, ok := w.dirs[ev.handle]
	w.mu.Unlock()
	if !ok {
		return
	}
	w.t.mu.Lock()
	p := w.t.nodes[id]
	var kid uint64
	if p != nil {
		p.stale = p.stale || names
		if k := p.kids[ev.name]; k != nil {
			kid = k.id
		}
	}
	w.t.mu.Unlock()
	if p == nil {
		return
	}
	if w.t.before != nil && ev.mask&(changesNames|unix.FAN_MODIFY) != 0 {
		w.t.before.HostChanged(join(w.t.rel(p), ev.name))
	}
	if names {
		p.touch()
		w.t.note.entry(id, ev.name)
		w.t.note.inode(id)
	}
	switch {
	case kid != 0:
		w.t.note.inode(kid)
	case ev.name == "." || ev.name == "":
		w.t.note.inode(id)
	}
}

// all invalidates everything: events were lost.
func (w *watcher) all() {
	w.gen.Add(1)
	w.t.mu.Lock()
	type known struct {
		id, parent uint64
		name       string
	}
	list := make([]known, 0, len(w.t.nodes))
	for id, n := range w.t.nodes {
		k := known{id: id, name: n.name}
		if n.parent != nil {
			k.parent = n.parent.id
		}
		n.stale = n.isDir()
		list = append(list, k)
	}
	w.t.mu.Unlock()
	for _, k := range list {
		if k.parent != 0 {
			w.t.note.entry(k.parent, k.name)
		}
		w.t.note.inode(k.id)
	}
}

// Codes of fuse(4).
const (
	notifyInode = 2
	notifyEntry = 3
)

// A notifier sends invalidations, from a goroutine of its own: the kernel takes
// locks for them that a request under way may hold.
type notifier struct {
	dev  int
	mu   sync.Mutex
	q    [][]byte
	wake chan struct{}
}

func newNotifier(dev int) *notifier { return &notifier{dev: dev, wake: make(chan struct{}, 1)} }

func (o *notifier) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-o.wake:
		}
		o.mu.Lock()
		q := o.q
		o.q = nil
		o.mu.Unlock()
		for _, b := range q {
			// ENOENT says that the kernel does not know it: as good.
			_, _ = unix.Write(o.dev, b)
		}
	}
}

func (o *notifier) push(code int32, body []byte) {
	b := make([]byte, 16, 16+len(body))
	binary.NativeEndian.PutUint32(b, uint32(16+len(body)))
	binary.NativeEndian.PutUint32(b[4:], uint32(code))
	b = append(b, body...)
	o.mu.Lock()
	o.q = append(o.q, b)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// inodeNow is [notifier.inode] from within a request that holds no lock for which
// the kernel would wait: one that reads a directory.
func (o *notifier) inodeNow(id uint64) {
	b := make([]byte, 40)
	binary.NativeEndian.PutUint32(b, 40)
	binary.NativeEndian.PutUint32(b[4:], notifyInode)
	binary.NativeEndian.PutUint64(b[16:], id)
	_, _ = unix.Write(o.dev, b)
}

// inode drops the attributes and all pages or entries of a node.
func (o *notifier) inode(id uint64) {
	b := make([]byte, 24)
	binary.NativeEndian.PutUint64(b, id)
	o.push(notifyInode, b)
}

// entry drops a name, existing or not.
func (o *notifier) entry(parent uint64, name string) {
	b := make([]byte, 16, 17+len(name))
	binary.NativeEndian.PutUint64(b, parent)
	binary.NativeEndian.PutUint32(b[8:], uint32(len(name)))
	o.push(notifyEntry, append(append(b, name...), 0))
}
