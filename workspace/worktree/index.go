package worktree

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// Flags of an entry of an index.
const (
	flagExtended = 0x4000
	flagStage    = 0x3000
	flagName     = 0x0fff
	extSkip      = 0x4000 // skip-worktree: the file is meant to be absent
)

// An indexEntry is one file in git's index.
type indexEntry struct {
	stat  [40]byte // times, device, inode, mode, owner, size, as they are on disk
	id    string
	flags uint16 // without the length of the name
	ext   uint16
	path  string
}

func (e *indexEntry) mode() uint32 { return binary.BigEndian.Uint32(e.stat[24:]) }

// side is what the entry stands for.
func (e *indexEntry) side() side { return side{e.mode(), e.id} }

// An index is git's index: what is staged, and how the files looked then.
type index struct {
	hash    int
	entries []indexEntry
}

var errIndex = errors.New("a damaged index")

// parseIndex reads versions 2 to 4. What git may forget is dropped; what it may not
// (a split or sparse index) is refused.
func parseIndex(b []byte, hash int) (*index, error) {
	if len(b) < 12+hash || string(b[:4]) != "DIRC" {
		return nil, errIndex
	}
	version, count := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if version < 2 || version > 4 || int64(count)*int64(42+hash) > int64(len(b))*2 && version != 4 {
		return nil, errIndex
	}
	x := &index{hash: hash}
	rest, last := b[12:len(b)-hash], ""
	for range count {
		e, n, err := parseEntry(rest, hash, version, last)
		if err != nil {
			return nil, err
		}
		if len(x.entries) > 0 && before(&e, &x.entries[len(x.entries)-1]) {
			return nil, errIndex
		}
		x.entries, rest, last = append(x.entries, e), rest[n:], e.path
	}
	for len(rest) >= 8 {
		size := int64(binary.BigEndian.Uint32(rest[4:]))
		if rest[0] < 'A' || rest[0] > 'Z' {
			return nil, errors.New("a split or sparse index")
		}
		if size > int64(len(rest)-8) {
			return nil, errIndex
		}
		rest = rest[8+size:]
	}
	return x, nil
}

// before is the order of an index.
func before(a, b *indexEntry) bool {
	if c := strings.Compare(a.path, b.path); c != 0 {
		return c < 0
	}
	return a.flags&flagStage <= b.flags&flagStage
}

// parseEntry reads one entry; n is its length.
func parseEntry(b []byte, hash int, version uint32, last string) (e indexEntry, n int, err error) {
	if len(b) < 42+hash {
		return e, 0, errIndex
	}
	copy(e.stat[:], b)
	e.id = string(b[40 : 40+hash])
	e.flags = binary.BigEndian.Uint16(b[40+hash:]) &^ flagName
	n = 42 + hash
	if e.flags&flagExtended != 0 {
		if version < 3 || len(b) < n+2 {
			return e, 0, errIndex
		}
		e.ext = binary.BigEndian.Uint16(b[n:])
		n += 2
	}
	prefix := ""
	if version == 4 {
		strip, k := offset(b[n:])
		if k == 0 || strip > uint64(len(last)) {
			return e, 0, errIndex
		}
		prefix, n = last[:uint64(len(last))-strip], n+k
	}
	end := bytes.IndexByte(b[n:], 0)
	if end < 0 {
		return e, 0, errIndex
	}
	e.path, n = prefix+string(b[n:n+end]), n+end+1
	if version < 4 {
		n = (n - 1 + 8) &^ 7
	}
	if n > len(b) || e.path == "" {
		return e, 0, errIndex
	}
	return e, n, nil
}

// offset reads a number as git writes how far back something lies.
func offset(b []byte) (v uint64, n int) {
	for n < len(b) && n < 9 {
		c := b[n]
		n++
		v = v<<7 | uint64(c&0x7f)
		if c&0x80 == 0 {
			return v, n
		}
		v++
	}
	return 0, 0
}

// encode is the index as a file, of version 2 or 3.
func (x *index) encode() []byte {
	version := uint32(2)
	for i := range x.entries {
		if x.entries[i].ext != 0 {
			version = 3
		}
	}
	b := make([]byte, 0, 12+len(x.entries)*100)
	b = append(b, "DIRC"...)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(x.entries)))
	for i := range x.entries {
		b = x.entries[i].append(b)
	}
	h := sha1.New()
	if x.hash == sha256.Size {
		h = sha256.New()
	}
	h.Write(b)
	return h.Sum(b)
}

func (e *indexEntry) append(b []byte) []byte {
	start := len(b)
	b = append(b, e.stat[:]...)
	b = append(b, e.id...)
	flags := e.flags&^(flagExtended|flagName) | uint16(min(len(e.path), flagName))
	if e.ext != 0 {
		flags |= flagExtended
	}
	b = binary.BigEndian.AppendUint16(b, flags)
	if e.ext != 0 {
		b = binary.BigEndian.AppendUint16(b, e.ext)
	}
	b = append(b, e.path...)
	for n := 8 - (len(b)-start)%8; n > 0; n-- {
		b = append(b, 0)
	}
	return b
}

// find gives the place of path, or where it belongs.
func (x *index) find(path string) (int, bool) {
	return slices.BinarySearchFunc(x.entries, path, func(e indexEntry, p string) int { return strings.Compare(e.path, p) })
}

// unmerged says whether a merge is under way.
func (x *index) unmerged() bool {
	return slices.ContainsFunc(x.entries, func(e indexEntry) bool { return e.flags&flagStage != 0 })
}

// put sets what the index has at e.path.
func (x *index) put(e indexEntry) {
	i, ok := x.find(e.path)
	if ok {
		x.entries[i] = e
		return
	}
	x.entries = slices.Insert(x.entries, i, e)
}

func (x *index) remove(path string) {
	if i, ok := x.find(path); ok {
		x.entries = slices.Delete(x.entries, i, i+1)
	}
}
