package gitcommits

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The bounds of one object, and of what is kept of them.
const (
	maxCommit = 1 << 20
	maxTree   = 16 << 20
	maxChain  = 500 // deltas on deltas
	maxPacks  = 200
	maxCached = 32 << 20
	maxText   = 4 << 20 // packed-refs
)

// Types of objects, as packs number them.
const (
	typeCommit   = 1
	typeTree     = 2
	typeBlob     = 3
	typeTag      = 4
	typeOffDelta = 6
	typeRefDelta = 7
)

var (
	errNoObject = errors.New("there is no such object")
	errDamaged  = errors.New("damaged object")
)

// A store reads objects of a repository.
type store struct {
	dirs   []*os.Root
	packs  []*pack
	cache  map[string]cached
	cached int
}

type cached struct {
	typ  int
	data []byte
}

// openStore opens the objects of a git directory and of those that it borrows from.
func openStore(gitDir string) (*store, error) {
	s := &store{cache: map[string]cached{}}
	dir := filepath.Join(commonDir(gitDir), "objects")
	for _, d := range append([]string{dir}, alternates(dir)...) {
		r, err := os.OpenRoot(d)
		if err != nil {
			if len(s.dirs) == 0 {
				return nil, fmt.Errorf("open objects: %w", err)
			}
			continue
		}
		s.dirs = append(s.dirs, r)
		s.openPacks(r)
	}
	return s, nil
}

func (s *store) close() {
	for _, p := range s.packs {
		_ = p.idx.Close()
		_ = p.file.Close()
	}
	for _, r := range s.dirs {
		_ = r.Close()
	}
}

// commonDir is the directory that a linked work tree's git directory shares.
func commonDir(gitDir string) string {
	b, err := os.ReadFile(filepath.Join(gitDir, "commondir"))
	c := strings.TrimSpace(string(b))
	switch {
	case err != nil || c == "":
		return gitDir
	case filepath.IsAbs(c):
		return c
	}
	return filepath.Join(gitDir, c)
}

func alternates(objects string) []string {
	b, err := os.ReadFile(filepath.Join(objects, "info/alternates"))
	if err != nil || len(b) > maxText {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || len(out) > 10 {
			continue
		}
		if !filepath.IsAbs(line) {
			line = filepath.Join(objects, line)
		}
		out = append(out, line)
	}
	return out
}

// openFile opens a regular file below r.
func openFile(r *os.Root, name string) (*os.File, int64, error) {
	f, err := r.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	i, err := f.Stat()
	if err != nil || !i.Mode().IsRegular() {
		_ = f.Close()
		return nil, 0, errors.Join(err, errNoObject)
	}
	return f, i.Size(), nil
}

// object reads the object id, in raw form, of at most limit bytes.
func (s *store) object(id string, limit int64) (typ int, data []byte, err error) {
	if c, ok := s.cache[id]; ok {
		return c.typ, c.data, nil
	}
	typ, data, err = s.find(id, limit)
	if err != nil {
		return 0, nil, err
	}
	if s.cached += len(data); s.cached > maxCached {
		s.cache, s.cached = map[string]cached{}, len(data)
	}
	s.cache[id] = cached{typ, data}
	return typ, data, nil
}

func (s *store) find(id string, limit int64) (int, []byte, error) {
	name := hex.EncodeToString([]byte(id))
	if len(name) < 40 {
		return 0, nil, errNoObject
	}
	for _, p := range s.packs {
		if len(id) == p.hash {
			if off, ok := p.find(id); ok {
				return s.packed(p, off, limit, maxChain)
			}
		}
	}
	for _, r := range s.dirs {
		f, _, err := openFile(r, name[:2]+"/"+name[2:])
		if err != nil {
			continue
		}
		typ, data, err := readLoose(f, limit)
		_ = f.Close()
		return typ, data, err
	}
	return 0, nil, errNoObject
}

func readLoose(r io.Reader, limit int64) (int, []byte, error) {
	z, err := zlib.NewReader(r)
	if err != nil {
		return 0, nil, errDamaged
	}
	b, err := io.ReadAll(io.LimitReader(z, limit+64))
	if err != nil {
		return 0, nil, errDamaged
	}
	head, body, ok := bytes.Cut(b, []byte{0})
	word, num, ok2 := strings.Cut(string(head), " ")
	size, err := strconv.Atoi(num)
	typ := slices.Index([]string{"", "commit", "tree", "blob", "tag"}, word)
	if !ok || !ok2 || err != nil || typ < typeCommit || size != len(body) {
		return 0, nil, errDamaged
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

func (s *store) openPacks(r *os.Root) {
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
		idx, size, err := openFile(r, "pack/"+n)
		if err != nil {
			continue
		}
		file, _, err := openFile(r, "pack/"+base+".pack")
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

// packed reads the object at off; deltas follows at most so many steps.
func (s *store) packed(p *pack, off, limit int64, deltas int) (int, []byte, error) {
	key := fmt.Sprintf("%p/%d", p, off)
	if c, ok := s.cache[key]; ok {
		return c.typ, c.data, nil
	}
	typ, size, base, body, err := p.head(off)
	if err != nil {
		return 0, nil, err
	}
	if size > limit || deltas == 0 {
		return 0, nil, errIncomplete
	}
	data, err := inflate(io.NewSectionReader(p.file, body, 1<<62-body), size)
	if err != nil {
		return 0, nil, err
	}
	var from []byte
	switch typ {
	case typeCommit, typeTree, typeBlob, typeTag:
		return typ, data, nil
	case typeOffDelta:
		typ, from, err = s.packed(p, base.off, limit, deltas-1)
	case typeRefDelta:
		at, ok := p.find(base.id)
		if !ok {
			return 0, nil, errNoObject
		}
		typ, from, err = s.packed(p, at, limit, deltas-1)
	default:
		err = errDamaged
	}
	if err != nil {
		return 0, nil, err
	}
	data, err = applyDelta(from, data, limit)
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
func (p *pack) head(off int64) (typ int, size int64, base baseOf, body int64, err error) {
	b := make([]byte, 64)
	n, err := p.file.ReadAt(b, off)
	if err != nil && err != io.EOF || off < 12 {
		return 0, 0, base, 0, errDamaged
	}
	return parseHead(b[:n], off, p.hash)
}

func parseHead(b []byte, off int64, hash int) (typ int, size int64, base baseOf, body int64, err error) {
	if len(b) == 0 {
		return 0, 0, base, 0, errDamaged
	}
	typ, size = int(b[0]>>4&7), int64(b[0]&15)
	i := 1
	for shift := 4; b[i-1]&0x80 != 0; shift += 7 {
		if i >= len(b) || shift > 50 {
			return 0, 0, base, 0, errDamaged
		}
		size |= int64(b[i]&0x7f) << shift
		i++
	}
	switch typ {
	case typeOffDelta:
		var back int64
		for k := 0; ; k++ {
			if i >= len(b) || k > 8 {
				return 0, 0, base, 0, errDamaged
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
			return 0, 0, base, 0, errDamaged
		}
	case typeRefDelta:
		if len(b) < i+hash {
			return 0, 0, base, 0, errDamaged
		}
		base.id = string(b[i : i+hash])
		i += hash
	}
	return typ, size, base, off + int64(i), nil
}

func inflate(r io.Reader, size int64) ([]byte, error) {
	z, err := zlib.NewReader(r)
	if err != nil {
		return nil, errDamaged
	}
	// Not made at once: a damaged head may claim any size.
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(z, size+1))
	if err != nil || n != size {
		return nil, errDamaged
	}
	return b.Bytes(), nil
}

// applyDelta builds an object from its base.
func applyDelta(from, d []byte, limit int64) ([]byte, error) {
	want, n := binary.Uvarint(d)
	if n <= 0 || want != uint64(len(from)) {
		return nil, errDamaged
	}
	size, m := binary.Uvarint(d[n:])
	if m <= 0 || size > uint64(limit) {
		return nil, errDamaged
	}
	d = d[n+m:]
	var out []byte
	for len(d) > 0 {
		op := d[0]
		d = d[1:]
		if op&0x80 == 0 {
			if op == 0 || int(op) > len(d) {
				return nil, errDamaged
			}
			out, d = append(out, d[:op]...), d[op:]
		} else {
			var v [7]uint32
			for i := range 7 {
				if op&(1<<i) == 0 {
					continue
				}
				if len(d) == 0 {
					return nil, errDamaged
				}
				v[i], d = uint32(d[0]), d[1:]
			}
			off := uint64(v[0] | v[1]<<8 | v[2]<<16 | v[3]<<24)
			length := uint64(v[4] | v[5]<<8 | v[6]<<16)
			if length == 0 {
				length = 0x10000
			}
			if off+length > uint64(len(from)) {
				return nil, errDamaged
			}
			out = append(out, from[off:off+length]...)
		}
		if uint64(len(out)) > size {
			return nil, errDamaged
		}
	}
	if uint64(len(out)) != size {
		return nil, errDamaged
	}
	return out, nil
}

// Folders are those that a look at the repository of a git directory reads beside that:
// what it shares with others, and the object stores that it borrows from.
func Folders(gitDir string) []string {
	common := commonDir(gitDir)
	return append([]string{common}, alternates(filepath.Join(common, "objects"))...)
}
