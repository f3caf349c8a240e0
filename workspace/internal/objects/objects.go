// Package objects reads git objects, loose and packed, of a repository that may be
// hostile, and runs nothing: sizes, chains of deltas and the work of one store are
// bounded, links that leave a folder of objects are not followed, and what is no
// regular file is not read.
//
//	s, err := objects.Open(root)     // the folder "objects" of a git directory
//	t, data, err := s.Object(id, limit)
//
// # Limitations
//
// That an object has the name under which it was found is for the caller to check
// ([Sum]). Folders that others borrow from (alternates) are opened only when the
// caller names them.
package objects

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The bounds of one object, and of what is kept of them.
const (
	MaxCommit = 1 << 20
	MaxTree   = 16 << 20
	maxChain  = 500 // deltas on deltas
	maxPacks  = 200
	maxCached = 32 << 20
	maxMade   = 4 << 30  // bytes that the deltas of one object make
	maxWork   = 64 << 30 // bytes that one store unpacks and makes
)

// A Type is the type of an object, as packs number them.
type Type int

// The types.
const (
	Commit   Type = 1
	Tree     Type = 2
	Blob     Type = 3
	Tag      Type = 4
	offDelta Type = 6
	refDelta Type = 7
)

var words = []string{"", "commit", "tree", "blob", "tag"}

// String is git's word for it.
func (t Type) String() string {
	if t < Commit || t > Tag {
		return "object"
	}
	return words[t]
}

// What keeps an object from being read.
var (
	ErrMissing = errors.New("there is no such object")
	ErrDamaged = errors.New("damaged object")
	ErrTooMuch = errors.New("more than can be looked at")
)

// Sum is the raw name of an object; size is 20 (SHA-1) or 32 (SHA-256) bytes.
func Sum(t Type, data []byte, size int) string {
	h := sha1.New()
	if size == sha256.Size {
		h = sha256.New()
	}
	fmt.Fprintf(h, "%s %d\x00", t, len(data))
	h.Write(data)
	return string(h.Sum(nil))
}

// A Store reads objects of a repository. It is not safe for concurrent use.
type Store struct {
	ctx    context.Context
	work   int64 // bytes that were unpacked
	dirs   []*os.Root
	packs  []*pack
	cache  map[string]cached
	cached int
}

type cached struct {
	typ  Type
	data []byte
}

// Open opens folders of objects; the store owns them from then on.
func Open(dirs ...*os.Root) *Store {
	s := &Store{ctx: context.Background(), cache: map[string]cached{}}
	for _, r := range dirs {
		s.dirs = append(s.dirs, r)
		s.openPacks(r)
	}
	return s
}

// Within has the store read nothing any more when ctx has ended.
func (s *Store) Within(ctx context.Context) { s.ctx = ctx }

// Close gives up everything.
func (s *Store) Close() {
	for _, p := range s.packs {
		_ = p.idx.Close()
		_ = p.file.Close()
	}
	for _, r := range s.dirs {
		_ = r.Close()
	}
}

// OpenFile opens a regular file below r, whatever else has that name.
func OpenFile(r *os.Root, name string) (*os.File, int64, error) {
	f, err := r.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	i, err := f.Stat()
	if err != nil || !i.Mode().IsRegular() {
		_ = f.Close()
		return nil, 0, errors.Join(err, ErrMissing)
	}
	return f, i.Size(), nil
}

// Object reads the object id, in raw form, of at most limit bytes. The bytes are the
// store's: nobody changes them.
func (s *Store) Object(id string, limit int64) (typ Type, data []byte, err error) {
	if c, ok := s.cache[id]; ok {
		return c.typ, c.data, nil
	}
	typ, data, err = s.find(id, limit)
	if err != nil {
		return 0, nil, err
	}
	if len(data) > maxCached/8 {
		return typ, data, nil
	}
	if s.cached += len(data); s.cached > maxCached {
		s.cache, s.cached = map[string]cached{}, len(data)
	}
	s.cache[id] = cached{typ, data}
	return typ, data, nil
}

// Has says whether there is an object of that name, without reading it.
func (s *Store) Has(id string) bool {
	name := hex.EncodeToString([]byte(id))
	if len(name) < 40 {
		return false
	}
	for _, p := range s.packs {
		if len(id) == p.hash {
			if _, ok := p.find(id); ok {
				return true
			}
		}
	}
	for _, r := range s.dirs {
		if i, err := r.Lstat(name[:2] + "/" + name[2:]); err == nil && i.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// Type says what an object is, without its content.
func (s *Store) Type(id string) (Type, error) {
	name := hex.EncodeToString([]byte(id))
	if len(name) < 40 {
		return 0, ErrMissing
	}
	for _, p := range s.packs {
		if len(id) != p.hash {
			continue
		}
		if off, ok := p.find(id); ok {
			return p.typeAt(off)
		}
	}
	for _, r := range s.dirs {
		f, _, err := OpenFile(r, name[:2]+"/"+name[2:])
		if err != nil {
			continue
		}
		defer f.Close()
		z, err := zlib.NewReader(f)
		if err != nil {
			return 0, ErrDamaged
		}
		b := make([]byte, 7)
		if _, err := io.ReadFull(z, b); err != nil {
			return 0, ErrDamaged
		}
		word, _, _ := strings.Cut(string(b), " ")
		if t := Type(slices.Index(words, word)); t >= Commit {
			return t, nil
		}
		return 0, ErrDamaged
	}
	return 0, ErrMissing
}

// typeAt follows deltas to what they begin with.
func (p *pack) typeAt(off int64) (Type, error) {
	for range maxChain {
		t, _, base, _, err := p.head(off)
		switch {
		case err != nil:
			return 0, err
		case t == offDelta:
			off = base.off
		case t == refDelta:
			at, ok := p.find(base.id)
			if !ok {
				return 0, ErrMissing
			}
			off = at
		case t >= Commit && t <= Tag:
			return t, nil
		default:
			return 0, ErrDamaged
		}
	}
	return 0, ErrTooMuch
}

func (s *Store) find(id string, limit int64) (Type, []byte, error) {
	name := hex.EncodeToString([]byte(id))
	if len(name) < 40 {
		return 0, nil, ErrMissing
	}
	for _, p := range s.packs {
		if len(id) == p.hash {
			if off, ok := p.find(id); ok {
				room, made := 2*limit, int64(maxMade)
				return s.packed(p, off, limit, &chain{maxChain, &room, &made})
			}
		}
	}
	for _, r := range s.dirs {
		f, _, err := OpenFile(r, name[:2]+"/"+name[2:])
		if err != nil {
			continue
		}
		typ, data, err := readLoose(f, limit)
		_ = f.Close()
		return typ, data, err
	}
	return 0, nil, ErrMissing
}

func readLoose(r io.Reader, limit int64) (Type, []byte, error) {
	z, err := zlib.NewReader(r)
	if err != nil {
		return 0, nil, ErrDamaged
	}
	b, err := io.ReadAll(io.LimitReader(z, limit+64))
	if err != nil {
		return 0, nil, ErrDamaged
	}
	head, body, ok := bytes.Cut(b, []byte{0})
	word, num, ok2 := strings.Cut(string(head), " ")
	size, err := strconv.Atoi(num)
	typ := Type(slices.Index(words, word))
	if ok && ok2 && err == nil && int64(size) > limit {
		return 0, nil, ErrTooMuch
	}
	if !ok || !ok2 || err != nil || typ < Commit || size != len(body) {
		return 0, nil, ErrDamaged
	}
	return typ, body, nil
}

// A pack is a pack with its index.
type pack struct {
	idx, file *os.File
	hash      int
	count     uint32
	fan       [256]uint32
}

func (s *Store) openPacks(r *os.Root) {
	d, err := r.Open("pack")
	if err != nil {
		return
	}
	names, _ := d.Readdirnames(100_000)
	_ = d.Close()
	slices.Sort(names)
	for _, n := range names {
		base, ok := strings.CutSuffix(n, ".idx")
		if !ok || len(s.packs) >= maxPacks {
			continue
		}
		idx, size, err := OpenFile(r, "pack/"+n)
		if err != nil {
			continue
		}
		file, _, err := OpenFile(r, "pack/"+base+".pack")
		if err != nil {
			_ = idx.Close()
			continue
		}
		p := &pack{idx: idx, file: file, hash: 20}
		if len(base) >= len("pack-")+64 {
			p.hash = 32
		}
		if !p.open(size) {
			_ = idx.Close()
			_ = file.Close()
			continue
		}
		s.packs = append(s.packs, p)
	}
}

func (p *pack) open(size int64) bool {
	b := make([]byte, 8+1024)
	if _, err := p.idx.ReadAt(b, 0); err != nil || string(b[:8]) != "\xfftOc\x00\x00\x00\x02" {
		return false
	}
	for i := range 256 {
		p.fan[i] = binary.BigEndian.Uint32(b[8+4*i:])
		if i > 0 && p.fan[i] < p.fan[i-1] {
			return false
		}
	}
	p.count = p.fan[255]
	return size >= 8+1024+int64(p.count)*int64(p.hash+8)
}

// find gives the place of an object in the pack.
func (p *pack) find(id string) (int64, bool) {
	lo, hi := uint32(0), p.fan[id[0]]
	if id[0] > 0 {
		lo = p.fan[id[0]-1]
	}
	names := int64(8 + 1024)
	b := make([]byte, p.hash)
	for lo < hi {
		mid := lo + (hi-lo)/2
		if _, err := p.idx.ReadAt(b, names+int64(mid)*int64(p.hash)); err != nil {
			return 0, false
		}
		switch c := strings.Compare(string(b), id); {
		case c < 0:
			lo = mid + 1
		case c > 0:
			hi = mid
		default:
			return p.offset(names, mid)
		}
	}
	return 0, false
}

func (p *pack) offset(names int64, i uint32) (int64, bool) {
	n := int64(p.count)
	table := names + n*int64(p.hash) + 4*n
	b := make([]byte, 8)
	if _, err := p.idx.ReadAt(b[:4], table+4*int64(i)); err != nil {
		return 0, false
	}
	v := binary.BigEndian.Uint32(b)
	if v&(1<<31) == 0 {
		return int64(v), true
	}
	if _, err := p.idx.ReadAt(b, table+4*n+8*int64(v&^(1<<31))); err != nil {
		return 0, false
	}
	w := binary.BigEndian.Uint64(b)
	return int64(w), w < 1<<62
}

// A chain bounds a walk along deltas: their number, what they hold together, and what
// they make: a delta of a few bytes may make a large object.
type chain struct {
	deltas     int
	room, made *int64
}

func (c *chain) next() *chain { return &chain{c.deltas - 1, c.room, c.made} }

// packed reads the object at off, along a chain of deltas.
func (s *Store) packed(p *pack, off, limit int64, c *chain) (Type, []byte, error) {
	key := fmt.Sprintf("%p/%d", p, off)
	if k, ok := s.cache[key]; ok {
		return k.typ, k.data, nil
	}
	if err := s.ctx.Err(); err != nil {
		return 0, nil, err
	}
	typ, size, base, body, err := p.head(off)
	if err != nil {
		return 0, nil, err
	}
	s.work += size
	if *c.room -= size; size > limit || c.deltas == 0 || *c.room < 0 || s.work > maxWork {
		return 0, nil, ErrTooMuch
	}
	data, err := inflate(io.NewSectionReader(p.file, body, 1<<62-body), size)
	if err != nil {
		return 0, nil, err
	}
	var from []byte
	switch typ {
	case Commit, Tree, Blob, Tag:
		return typ, data, nil
	case offDelta:
		typ, from, err = s.packed(p, base.off, limit, c.next())
	case refDelta:
		at, ok := p.find(base.id)
		if !ok {
			return 0, nil, ErrMissing
		}
		typ, from, err = s.packed(p, at, limit, c.next())
	default:
		err = ErrDamaged
	}
	if err != nil {
		return 0, nil, err
	}
	if err := s.ctx.Err(); err != nil {
		return 0, nil, err
	}
	data, err = applyDelta(from, data, limit)
	s.work += int64(len(data))
	if *c.made -= int64(len(data)); *c.made < 0 || s.work > maxWork {
		return 0, nil, ErrTooMuch
	}
	if err == nil && s.cached+len(data) <= maxCached {
		s.cached += len(data)
		s.cache[key] = cached{typ, data}
	}
	return typ, data, err
}

// baseOf says on what a delta builds.
type baseOf struct {
	off int64
	id  string
}

// head reads what precedes the compressed data at off.
func (p *pack) head(off int64) (typ Type, size int64, base baseOf, body int64, err error) {
	b := make([]byte, 64)
	n, err := p.file.ReadAt(b, off)
	if err != nil && err != io.EOF || off < 12 {
		return 0, 0, base, 0, ErrDamaged
	}
	return parseHead(b[:n], off, p.hash)
}

func parseHead(b []byte, off int64, hash int) (typ Type, size int64, base baseOf, body int64, err error) {
	if len(b) == 0 {
		return 0, 0, base, 0, ErrDamaged
	}
	typ, size = Type(b[0]>>4&7), int64(b[0]&15)
	i := 1
	for shift := 4; b[i-1]&0x80 != 0; shift += 7 {
		if i >= len(b) || shift > 50 {
			return 0, 0, base, 0, ErrDamaged
		}
		size |= int64(b[i]&0x7f) << shift
		i++
	}
	switch typ {
	case offDelta:
		var back int64
		for k := 0; ; k++ {
			if i >= len(b) || k > 8 {
				return 0, 0, base, 0, ErrDamaged
			}
			c := b[i]
			i++
			back = back<<7 | int64(c&0x7f)
			if c&0x80 == 0 {
				break
			}
			back++
		}
		if base.off = off - back; back <= 0 || base.off < 12 {
			return 0, 0, base, 0, ErrDamaged
		}
	case refDelta:
		if len(b) < i+hash {
			return 0, 0, base, 0, ErrDamaged
		}
		base.id = string(b[i : i+hash])
		i += hash
	}
	return typ, size, base, off + int64(i), nil
}

func inflate(r io.Reader, size int64) ([]byte, error) {
	z, err := zlib.NewReader(r)
	if err != nil {
		return nil, ErrDamaged
	}
	// Not made at once: a damaged head may claim any size.
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(z, size+1))
	if err != nil || n != size {
		return nil, ErrDamaged
	}
	return b.Bytes(), nil
}

// applyDelta builds an object from its base.
func applyDelta(from, d []byte, limit int64) ([]byte, error) {
	want, n := binary.Uvarint(d)
	if n <= 0 || want != uint64(len(from)) {
		return nil, ErrDamaged
	}
	size, m := binary.Uvarint(d[n:])
	if m <= 0 || size > uint64(limit) {
		return nil, ErrDamaged
	}
	d = d[n+m:]
	var out []byte
	for len(d) > 0 {
		op := d[0]
		d = d[1:]
		if op&0x80 == 0 {
			if op == 0 || int(op) > len(d) {
				return nil, ErrDamaged
			}
			out, d = append(out, d[:op]...), d[op:]
		} else {
			var v [7]uint32
			for i := range 7 {
				if op&(1<<i) == 0 {
					continue
				}
				if len(d) == 0 {
					return nil, ErrDamaged
				}
				v[i], d = uint32(d[0]), d[1:]
			}
			off := uint64(v[0] | v[1]<<8 | v[2]<<16 | v[3]<<24)
			length := uint64(v[4] | v[5]<<8 | v[6]<<16)
			if length == 0 {
				length = 0x10000
			}
			if off+length > uint64(len(from)) {
				return nil, ErrDamaged
			}
			out = append(out, from[off:off+length]...)
		}
		if uint64(len(out)) > size {
			return nil, ErrDamaged
		}
	}
	if uint64(len(out)) != size {
		return nil, ErrDamaged
	}
	return out, nil
}
