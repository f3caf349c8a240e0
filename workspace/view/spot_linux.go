package view

import (
	"time"

	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// dirs are the two directories behind one directory node, opened anew for one
// operation by a walk from the roots; -1 where there is none. Those of the root are
// the roots themselves, which stay open.
type dirs struct {
	lower, upper int
	root         bool
}

// noDirs are the directories of nothing.
func noDirs() dirs { return dirs{lower: -1, upper: -1} }

func (d dirs) close() {
	if d.root {
		return
	}
	if d.lower >= 0 {
		unix.Close(d.lower)
	}
	if d.upper >= 0 {
		unix.Close(d.upper)
	}
}

// open walks to the directories of p. The caller holds tree.shape.
func (t *tree) open(p *node) (dirs, error) {
	d := noDirs()
	t.mu.RLock()
	gone, lower, seen, root := p.gone, p.lower, p.seen, p.parent == nil
	rel := relLocked(p)
	t.mu.RUnlock()
	if gone {
		return d, unix.ENOENT
	}
	if root {
		d = dirs{lower: t.lower, upper: t.upTree, root: true}
		if !seen {
			t.look(p, d)
		}
		return d, nil
	}
	var err error
	if lower {
		if d.lower, err = walk(t.lower, rel); err != nil && err != unix.ENOENT && err != unix.ENOTDIR && err != unix.ELOOP {
			return d, err
		}
	}
	d.upper, _ = walk(t.upTree, rel)
	if d.lower < 0 && d.upper < 0 {
		return d, unix.ENOENT
	}
	if !seen {
		t.look(p, d)
	}
	return d, nil
}

// look begins to watch a directory that the kernel is about to remember things of.
func (t *tree) look(p *node, d dirs) {
	blind := t.watch == nil
	for _, fd := range []int{d.lower, d.upper} {
		if fd >= 0 && !blind {
			blind = t.watch.add(fd, p) != nil
		}
	}
	t.mu.Lock()
	p.seen = true
	p.blind.Store(blind)
	t.mu.Unlock()
}

// A spot is what one name is at this moment.
type spot struct {
	rel      string
	st       unix.Stat_t // of what the sandbox sees
	upper    bool        // it is in the shadow
	lower    bool        // the host has the name, visible or not
	whiteout bool        // the shadow says that it does not exist
	both     bool        // a directory that host and shadow share
	lowerSt  unix.Stat_t // of the host's, when lower
	state    rules.State
	verdict  rules.Verdict
	kept     bool // taking it away is private: the host keeps it
}

// dir is the descriptor of the directory that holds what the sandbox sees, or
// that part of it whose attributes are shown.
func (s *spot) dir(d dirs) int {
	if s.upper && (!s.both || s.verdict.Kind != rules.Pass) {
		return d.upper
	}
	return d.lower
}

func entryOf(mode uint32) rules.Entry {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return rules.Dir
	case unix.S_IFLNK:
		return rules.Link
	}
	return rules.File
}

// find says what (p, name) is now. The error is ENOENT when the sandbox sees
// nothing there; the spot is then still valid as far as lower, whiteout, state and
// verdict (of a name of unknown type) go.
func (t *tree) find(d dirs, p *node, name string) (spot, error) {
	s := spot{rel: join(t.rel(p), name)}
	state := t.stateOf(p, d)
	var up unix.Stat_t
	upErr := error(unix.ENOENT)
	if d.upper >= 0 {
		if upErr = statAt(d.upper, name, &up); upErr == nil && up.Mode&unix.S_IFMT == unix.S_IFLNK {
			if whiteout, void := t.removedBy(d.upper, name, &up); whiteout {
				s.whiteout, upErr = !void, unix.ENOENT
			}
		}
	}
	lowErr := error(unix.ENOENT)
	if d.lower >= 0 {
		lowErr = statAt(d.lower, name, &s.lowerSt)
		s.lower = lowErr == nil
	}
	switch {
	case upErr == nil:
		s.upper, s.st = true, up
		t.judge(&s, state, name, entryOf(up.Mode))
		if (s.verdict.Cache || s.verdict.Lasting && s.lower) && t.outdated(d, name, &up, &s) {
			return t.find(d, p, name)
		}
		t.merge(&s)
	case s.lower:
		s.st = s.lowerSt
		t.judge(&s, state, name, entryOf(s.st.Mode))
		if s.whiteout || s.verdict.Kind == rules.Hide {
			return s, unix.ENOENT
		}
	default:
		t.judge(&s, state, name, rules.Any)
		if upErr == unix.ENAMETOOLONG {
			return s, upErr
		}
		if s.whiteout || lowErr == nil {
			return s, unix.ENOENT
		}
		return s, lowErr
	}
	if s.st.Mode&unix.S_IFMT == unix.S_IFDIR && s.lower && !s.isOpaque() {
		t.shapeOf(&s, d.lower, name)
	}
	return s, nil
}

// judge judges name as what it is, or is about to be.
func (t *tree) judge(s *spot, p rules.State, name string, e rules.Entry) {
	if !s.lower {
		e |= rules.Fresh
	}
	s.state, s.verdict = p.Judge(name, e)
}

func (s *spot) isOpaque() bool {
	return s.upper && s.st.Mode&unix.S_ISUID != 0 && s.st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// merge decides whether a directory of the shadow lies over one of the host, and
// whose attributes are shown.
func (t *tree) merge(s *spot) {
	if s.st.Mode&unix.S_IFMT != unix.S_IFDIR || !s.lower || s.lowerSt.Mode&unix.S_IFMT != unix.S_IFDIR {
		return
	}
	if s.isOpaque() || s.verdict.Kind == rules.Hide {
		return
	}
	s.both = true
	up := s.st
	s.st = s.lowerSt
	if up.Mtim.Nano() > s.st.Mtim.Nano() {
		s.st.Mtim, s.st.Ctim = up.Mtim, up.Ctim
	}
	if s.verdict.Kind != rules.Pass {
		s.st.Mode = s.st.Mode&^0o777 | up.Mode&0o777
	}
}

// shapeOf adapts the state of a directory of the host to what is in it.
func (t *tree) shapeOf(s *spot, dir int, name string) {
	s.state = s.state.Shape(func(n string) bool {
		var st unix.Stat_t
		return statAt(dir, name+"/"+n, &st) == nil
	})
}

// stateOf is the state of p, judged again when its entries may have changed.
func (t *tree) stateOf(p *node, d dirs) rules.State {
	t.mu.RLock()
	state, stale := p.state, p.stale || p.blind.Load()
	t.mu.RUnlock()
	if !stale || d.lower < 0 {
		return state
	}
	var now rules.State
	t.mu.RLock()
	parent, name := p.parent, p.name
	t.mu.RUnlock()
	if parent == nil {
		now = t.rules.Root()
	} else {
		now, _ = t.stateOfLocked(parent).Judge(name, rules.Dir)
	}
	now = now.Shape(func(n string) bool {
		var st unix.Stat_t
		return statAt(d.lower, n, &st) == nil
	})
	t.mu.Lock()
	p.stale = false
	if now != p.state {
		p.state = now
		rejudge(p)
	}
	t.mu.Unlock()
	return now
}

func (t *tree) stateOfLocked(p *node) rules.State {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return p.state
}

// rejudge makes everything below p be judged again at its next use.
func rejudge(p *node) {
	for _, k := range p.kids {
		if k.isDir() {
			k.state, _ = p.state.Judge(k.name, rules.Dir)
			k.stale = true
			rejudge(k)
		}
	}
}

// attr shows s to the kernel: ids as seen inside, and the number of the node. A file with
// names that were not made here is shown as one of a single name, because a change
// separates it from the others: a kernel that took them for one file would go on to write
// to the one what it knows of the other.
func (t *tree) attr(n *node, s *spot, out *fuse.Attr) {
	st := &s.st
	*out = fuse.Attr{
		Ino: n.number, Size: uint64(st.Size), Blocks: uint64(st.Blocks),
		Atime: uint64(st.Atim.Sec), Mtime: uint64(st.Mtim.Sec), Ctime: uint64(st.Ctim.Sec),
		Atimensec: uint32(st.Atim.Nsec), Mtimensec: uint32(st.Mtim.Nsec), Ctimensec: uint32(st.Ctim.Nsec),
		Mode: st.Mode, Nlink: uint32(st.Nlink), Rdev: uint32(st.Rdev), Blksize: uint32(st.Blksize),
	}
	if s.upper && !s.both {
		out.Mode &^= unix.S_ISUID | unix.S_ISGID // marks of the shadow, no bits of the file
	}
	if n.typ == unix.S_IFREG && !s.upper && t.foreign(st) {
		out.Ino, out.Nlink = ownNumbers|n.id, 1
	}
	out.Uid, out.Gid = t.inside(st.Uid, st.Gid)
}

const nobody = 65534

// inside maps ids of the host to those that the sandbox sees. Only one group exists
// there, and every group of the host is shown as it: the kernel refuses all changes
// to what belongs to a group it cannot name, also to the owner. That the caller's
// supplementary groups may do more, and strangers less, is judged by the host, which
// sees every access as the caller's own.
func (t *tree) inside(uid, _ uint32) (uint32, uint32) {
	u := uint32(nobody)
	if int(uid) == t.ids.HostUID {
		u = uint32(t.ids.UID)
	}
	return u, uint32(t.ids.GID)
}

// patience is how many seconds the kernel may keep what it learned in the directory n.
func (n *node) patience() uint64 {
	if n.blind.Load() {
		return uint64(blindFor.Seconds())
	}
	return uint64(watchedFor.Seconds())
}

// patienceWith is how many seconds the kernel may keep st, found in the directory n: as long as
// the file has not changed, within limits, as NFS does. What changes without an event in n
// (through memory, or another name of the file) is seen at the end of it, so that a file
// with more names, or one that is at work, is not believed for long; nor is a directory,
// whose content decides on what is below.
func (n *node) patienceWith(st *unix.Stat_t, now time.Time) uint64 {
	least := n.patience()
	if n.blind.Load() || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 {
		return least
	}
	still := now.Sub(time.Unix(st.Ctim.Unix()))
	return uint64(min(max(still, watchedFor), steadyFor).Seconds())
}
