// Package gitindex looks for entries of a git index, and of a packed-refs file,
// by which a forged one would harm the host that uses it.
//
// git checks paths when it reads trees, not when it reads its index. An index
// made by hand with an entry .git/hooks/post-checkout makes the user's next
// "git checkout ." write and execute a hook. [Check] reads an index as git does
// and refuses it when an entry
//
//   - has a path that is absolute, leaves the work tree, or has a component that
//     some file system takes for .git;
//   - lies below another entry that is a symbolic link or a submodule;
//   - makes a symbolic link of a file that git reads as configuration;
//
// or when the file could be read in two ways: unsorted or overlong entries,
// offsets that disagree with the order of the bytes.
//
// It never allocates more than a small multiple of the file's size and reads it
// once, in order.
//
// # Limitations
//
// The package knows the versions 2, 3 and 4 of the format. Objects are not
// read: what a symbolic link points to is not known, nor whether the cached
// trees agree with the entries. The trailing checksum is not verified, because
// git does not verify it either.
package gitindex

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/belljar-dev/belljar/internal/glob"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// Format is the object format of a repository: it decides how long names of
// objects are.
type Format int

// The object formats.
const (
	SHA1   Format = 20
	SHA256 Format = 32
)

// The bounds of what is accepted.
const (
	maxSize = 1 << 30
	maxPath = 4096
)

// Check reads the index of a repository with the usual object format, [SHA1].
// The error says which entry is wrong; it is safe to print.
func Check(r io.ReaderAt, size int64) error { return CheckFormat(r, size, SHA1) }

// CheckFormat reads an index and says whether it is harmless. The format is the
// repository's, as [FormatOf] reads it from a configuration that the sandbox
// could not write: the index itself does not tell.
func CheckFormat(r io.ReaderAt, size int64, f Format) error {
	switch {
	case f != SHA1 && f != SHA256:
		return fmt.Errorf("unknown object format %d", f)
	case size > maxSize:
		return fmt.Errorf("the index is larger than %d bytes", maxSize)
	case size < 12+int64(f):
		return errors.New("the index is too short")
	}
	p := &parser{
		in:    bufio.NewReaderSize(io.NewSectionReader(r, 0, size-int64(f)), 64<<10),
		file:  r,
		end:   size - int64(f),
		hash:  int64(f),
		links: map[string]string{},
	}
	if err := p.header(); err != nil {
		return err
	}
	for i := range p.count {
		if err := p.entry(i); err != nil {
			return err
		}
	}
	return p.extensions()
}

// AssumedUnchanged names an entry of an index with names of [SHA1] that git is told to
// assume unchanged, empty without one.
func AssumedUnchanged(r io.ReaderAt, size int64) (string, error) {
	p := &parser{in: bufio.NewReaderSize(io.NewSectionReader(r, 0, size-int64(SHA1)), 64<<10), file: r, end: size - int64(SHA1), hash: int64(SHA1), links: map[string]string{}}
	if err := p.header(); err != nil {
		return "", err
	}
	for i := range p.count {
		if err := p.entry(i); err != nil || p.assumed != "" {
			return p.assumed, err
		}
	}
	return "", nil
}

// FormatOf is the object format that a repository's configuration states.
func FormatOf(config []byte) Format {
	for line := range strings.Lines(strings.ToLower(string(config))) {
		key, value, _ := strings.Cut(line, "=")
		if strings.HasSuffix(strings.TrimSpace(key), "objectformat") && strings.Contains(value, "sha256") {
			return SHA256
		}
	}
	return SHA1
}

// parser reads an index front to back.
type parser struct {
	in      *bufio.Reader
	file    io.ReaderAt
	pos     int64 // of in
	end     int64 // of what precedes the checksum
	hash    int64
	version uint32
	count   uint32

	prev      string // path of the entry before
	prevStage uint16
	assumed   string            // the first path with that flag
	empties   bool              // entries without a path: only a split index has them
	links     map[string]string // folded path of a link or submodule to its path
	// wanted are the offsets at which a table of the file says that entries begin;
	// starts are those where they really do, for the entries whose name is whole.
	starts    []int64
	whole     []bool
	entryEnds int64
}

func (p *parser) read(b []byte) error {
	n, err := io.ReadFull(p.in, b)
	p.pos += int64(n)
	if err != nil {
		return p.short(err)
	}
	return nil
}

func (p *parser) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the index ends too early")
	}
	return fmt.Errorf("read index: %w", err)
}

func (p *parser) header() error {
	var h [12]byte
	if err := p.read(h[:]); err != nil {
		return err
	}
	if string(h[:4]) != "DIRC" {
		return errors.New("the file is not an index")
	}
	p.version = binary.BigEndian.Uint32(h[4:])
	if p.version < 2 || p.version > 4 {
		return fmt.Errorf("the index has version %d, which is not known", p.version)
	}
	p.count = binary.BigEndian.Uint32(h[8:])
	if least := 40 + p.hash + 2 + 1; int64(p.count) > (p.end-12)/least {
		return fmt.Errorf("the index is too short for %d entries", p.count)
	}
	return nil
}

// The flags of an entry.
const (
	flagAssumed  = 0x8000
	flagExtended = 0x4000
	flagLength   = 0x0fff
	flagStage    = 0x3000
)

func (p *parser) entry(i uint32) error {
	start := p.pos
	var fixed [40 + 32 + 2]byte
	b := fixed[:40+p.hash+2]
	if err := p.read(b); err != nil {
		return err
	}
	mode := binary.BigEndian.Uint32(b[24:])
	flags := binary.BigEndian.Uint16(b[40+p.hash:])
	if flags&flagExtended != 0 {
		var ext [2]byte
		if p.version < 3 {
			return fmt.Errorf("entry %d has flags that its version does not know", i)
		}
		if err := p.read(ext[:]); err != nil {
			return err
		}
	}
	path, whole, err := p.path(start)
	if err != nil {
		return fmt.Errorf("entry %d: %w", i, err)
	}
	if n := min(len(path), flagLength); int(flags&flagLength) != n {
		return fmt.Errorf("entry %q states another length than it has", path)
	}
	p.starts, p.whole = append(p.starts, start), append(p.whole, whole)
	if flags&flagAssumed != 0 && p.assumed == "" {
		p.assumed = path
	}
	stage := flags & flagStage
	if path < p.prev || path == p.prev && path != "" && stage <= p.prevStage {
		return fmt.Errorf("entry %q is out of order", path)
	}
	p.prev, p.prevStage = path, stage
	if path == "" {
		p.empties = true
		return nil
	}
	return p.judge(path, mode)
}

// path reads the name of an entry. whole says that it does not lean on the one before.
func (p *parser) path(start int64) (path string, whole bool, err error) {
	keep := 0
	if p.version == 4 {
		strip, err := p.varint()
		if err != nil {
			return "", false, err
		}
		if strip > uint64(len(p.prev)) {
			return "", false, errors.New("it strips more from the path before than there is")
		}
		keep = len(p.prev) - int(strip)
	}
	var tail []byte
	for {
		c, err := p.in.ReadByte()
		if err != nil {
			return "", false, p.short(err)
		}
		p.pos++
		if c == 0 {
			break
		}
		if tail = append(tail, c); keep+len(tail) > maxPath {
			return "", false, fmt.Errorf("its path is longer than %d bytes", maxPath)
		}
	}
	if p.version < 4 {
		if err := p.padding(start); err != nil {
			return "", false, err
		}
	}
	return p.prev[:keep] + string(tail), keep == 0, nil
}

func (p *parser) padding(start int64) error {
	for (p.pos-start)%8 != 0 {
		c, err := p.in.ReadByte()
		if err != nil {
			return p.short(err)
		}
		p.pos++
		if c != 0 {
			return errors.New("its padding is not empty")
		}
	}
	return nil
}

// varint reads the offset encoding of pack files.
func (p *parser) varint() (uint64, error) {
	var v uint64
	for i := range 5 {
		c, err := p.in.ReadByte()
		if err != nil {
			return 0, p.short(err)
		}
		p.pos++
		if i > 0 {
			v++
		}
		v = v<<7 | uint64(c&0x7f)
		if c&0x80 == 0 {
			return v, nil
		}
	}
	return 0, errors.New("it strips an impossible length")
}

// The types of entries.
const (
	modeType    = 0o170000
	modeFile    = 0o100000
	modeLink    = 0o120000
	modeModule  = 0o160000
	modeSparse  = 0o040000
	readByGit   = " .gitmodules .gitattributes .gitignore .mailmap "
	twoReadings = "the file can be read in two ways"
)

func (p *parser) judge(path string, mode uint32) error {
	kind := mode & modeType
	if kind == modeSparse {
		path = strings.TrimSuffix(path, "/")
	}
	switch kind {
	case modeFile, modeLink, modeModule, modeSparse:
	default:
		return fmt.Errorf("entry %q has the impossible mode %o", path, mode)
	}
	if why := badPath(path); why != "" {
		return fmt.Errorf("entry %q %s", path, why)
	}
	folded := foldPath(path)
	for i := range len(folded) {
		if folded[i] != '/' {
			continue
		}
		if l, ok := p.links[folded[:i]]; ok {
			return fmt.Errorf("entry %q lies below %q, which is a symbolic link or a submodule", path, l)
		}
	}
	if kind == modeLink || kind == modeModule {
		p.links[folded] = path
	}
	if base := folded[strings.LastIndexByte(folded, '/')+1:]; kind == modeLink && strings.Contains(readByGit, " "+base+" ") {
		return fmt.Errorf("entry %q is a symbolic link in place of a file that git obeys", path)
	}
	return nil
}

// foldPath folds each component.
func foldPath(path string) string {
	parts := strings.Split(path, "/")
	for i, s := range parts {
		parts[i] = glob.Fold(s)
	}
	return strings.Join(parts, "/")
}

// badPath says what is wrong with a path, or nothing. Backslashes separate too:
// on some systems they do.
func badPath(path string) string {
	for c := range strings.SplitSeq(path, "/") {
		switch c {
		case "":
			return "has an empty component"
		case ".", "..":
			return "leaves its place"
		}
		for d := range strings.SplitSeq(c, `\`) {
			if rules.IsDotGit(d) {
				return "lies in a git directory"
			}
			if d == ".." {
				return "leaves its place"
			}
		}
	}
	return ""
}
