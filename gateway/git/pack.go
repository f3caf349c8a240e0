package git

import (
	"bufio"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"slices"
)

const (
	// maxCommit bounds one commit; a longer one is not looked at.
	maxCommit = 1 << 20
	// packMemory is what reading a pack takes by itself.
	packMemory = 80 << 10
)

// Pack is what r has left of the push: the pack, to be sent as it is. Where the push
// updates references, reading fails with a *[NotForward] before the last bytes of the
// pack, unless the pack shows that every update is a fast-forward. The bytes arrive as
// they are read. It is called once, after [Push.Judge]. Looking at the commits stops
// when ctx ends or the push is closed.
func (p *Push) Pack(ctx context.Context, r *bufio.Reader) io.Reader {
	if len(p.updates()) > 0 {
		return &pack{ctx: ctx, push: p, src: &tee{r: r}}
	}
	return r
}

// Whole is head with the pack behind it, read from r to its end as by [Push.Pack]. It is
// for small ones: all of it is held.
func (p *Push) Whole(ctx context.Context, head []byte, r *bufio.Reader) ([]byte, error) {
	pack := p.Pack(ctx, r)
	for {
		n := cap(head) - len(head)
		if n == 0 {
			if err := p.hold(int64(len(head))); err != nil {
				return nil, err
			}
			head = slices.Grow(head, len(head))
			continue
		}
		n, err := pack.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		if errors.Is(err, io.EOF) {
			return head, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// NotForward is that a push is not shown to be a fast-forward, or its pack malformed.
type NotForward struct {
	Refusals []Refusal // empty when the pack cannot be read
	Why      string
}

// Error says why.
func (e *NotForward) Error() string { return e.Why }

// Refused is why the pack was not passed on to its end, nil when it was or is under way.
// Safe for concurrent use.
func (p *Push) Refused() *NotForward {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.no
}

func (p *Push) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = errors.As(err, &p.no)
}

// A tee reads bytes and keeps them to be passed on.
type tee struct {
	r    *bufio.Reader
	kept []byte
	at   int64 // bytes read
}

func (t *tee) ReadByte() (byte, error) {
	c, err := t.r.ReadByte()
	if err == nil {
		t.kept = append(t.kept, c)
		t.at++
	}
	return c, err
}

// Read never reads more than there is in the reader's buffer.
func (t *tee) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	t.kept = append(t.kept, b[:n]...)
	t.at += int64(n)
	return n, err
}

// The types of objects in a pack.
const (
	typeCommit   = 1
	typeTag      = 4
	typeOfsDelta = 6
	typeRefDelta = 7
)

// A pack is read while it is passed on.
type pack struct {
	ctx  context.Context
	push *Push
	src  *tee
	err  error // for good

	begun   bool
	left    uint32        // objects that are not begun
	object  *packObject   // that is being read
	inflate io.ReadCloser // reused
	scratch []byte

	byPlace map[int64]*commit
	byID    map[string]*commit
	steps   int // that it took to look at the commits
}

// A commit of the pack. Its text is kept: later ones may be told as differences to it.
type commit struct {
	text    []byte
	parents []string
	placed  bool   // a walk has it in order
	leads   uint64 // of the old commits that a walk looks for, those that it leads to
}

type packObject struct {
	at    int64 // place in the pack
	kind  byte
	size  uint64
	base  *commit // of a delta; nil where it is none of a commit
	data  []byte  // kept of a commit, or of a difference to one
	seen  uint64
	keeps bool
}

// Read implements [io.Reader].
func (k *pack) Read(b []byte) (int, error) {
	for len(k.src.kept) == 0 {
		if k.err != nil {
			return 0, k.err
		}
		if err := k.step(); err != nil {
			k.err = err
			if !errors.Is(err, io.EOF) {
				k.src.kept = nil
				k.push.refuse(err)
			}
		}
	}
	n := copy(b, k.src.kept)
	k.src.kept = k.src.kept[n:]
	if len(k.src.kept) == 0 {
		k.src.kept = nil
	}
	return n, nil
}

func malformed(what string) error { return &NotForward{Why: "a malformed pack: " + what} }

// broken words an error in the middle of the pack.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, zlib.ErrChecksum) || errors.Is(err, zlib.ErrHeader) || errors.Is(err, zlib.ErrDictionary) {
		return malformed(err.Error())
	}
	return err
}

// step reads a piece: the header, the head of an object, some of its content, or the
// end, which is passed on only when everything is shown.
func (k *pack) step() error {
	switch {
	case !k.begun:
		return k.begin()
	case k.object != nil:
		return k.content()
	case k.left > 0:
		k.left--
		return k.next()
	}
	return k.end()
}

func (k *pack) begin() error {
	if err := k.push.hold(packMemory); err != nil {
		return err
	}
	var head [12]byte
	if _, err := io.ReadFull(k.src, head[:]); err != nil {
		return broken(err)
	}
	if v := binary.BigEndian.Uint32(head[4:]); string(head[:4]) != "PACK" || v != 2 && v != 3 {
		return malformed("no header")
	}
	k.begun, k.left = true, binary.BigEndian.Uint32(head[8:])
	k.byPlace, k.byID, k.scratch = map[int64]*commit{}, map[string]*commit{}, make([]byte, 16<<10)
	return nil
}

// next reads the head of an object.
func (k *pack) next() error {
	o := &packObject{at: k.src.at}
	c, err := k.src.ReadByte()
	if err != nil {
		return broken(err)
	}
	o.kind, o.size = c>>4&7, uint64(c&15)
	for shift := 4; c&0x80 != 0; shift += 7 {
		if shift > 56 {
			return malformed("an object's size")
		}
		if c, err = k.src.ReadByte(); err != nil {
			return broken(err)
		}
		o.size |= uint64(c&0x7f) << shift
	}
	switch {
	case o.kind == typeCommit:
		o.keeps = true
	case o.kind == typeOfsDelta:
		o.base, err = k.baseByPlace(o.at)
	case o.kind == typeRefDelta:
		id := make([]byte, k.push.idLen/2)
		if _, err = io.ReadFull(k.src, id); err == nil {
			o.base = k.byID[hex.EncodeToString(id)]
		}
	case o.kind == 0 || o.kind > typeTag:
		return malformed("an object's type")
	}
	if err != nil {
		return broken(err)
	}
	if o.keeps = (o.keeps || o.base != nil) && o.size <= maxCommit; o.keeps {
		if err := k.push.hold(int64(o.size)); err != nil {
			return err
		}
	}
	if k.inflate == nil {
		k.inflate, err = zlib.NewReader(k.src)
	} else {
		err = k.inflate.(zlib.Resetter).Reset(k.src, nil)
	}
	k.object = o
	return broken(err)
}

// baseByPlace reads how far back the base of a difference lies.
func (k *pack) baseByPlace(at int64) (*commit, error) {
	c, err := k.src.ReadByte()
	back := int64(c & 0x7f)
	for err == nil && c&0x80 != 0 {
		if back > 1<<48 {
			return nil, malformed("the place of a base")
		}
		c, err = k.src.ReadByte()
		back = (back+1)<<7 | int64(c&0x7f)
	}
	if err == nil && (back <= 0 || back > at) {
		err = malformed("the place of a base")
	}
	return k.byPlace[at-back], err
}

// content inflates a piece of the object.
func (k *pack) content() error {
	o := k.object
	n, err := k.inflate.Read(k.scratch)
	if perr := k.push.budget.inflate.take(k.ctx, n); perr != nil {
		return perr
	}
	if o.seen += uint64(n); o.seen > o.size {
		return malformed("an object is longer than it says")
	}
	if o.keeps {
		o.data = append(o.data, k.scratch[:n]...)
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, io.EOF) {
		return malformed(err.Error())
	}
	if o.seen != o.size {
		return malformed("an object is shorter than it says")
	}
	k.object = nil
	return k.ended(o)
}

// end reads the checksum of the pack. Nothing may follow.
func (k *pack) end() error {
	sum := make([]byte, k.push.idLen/2)
	if _, err := io.ReadFull(k.src, sum); err != nil {
		return broken(err)
	}
	if _, err := k.src.r.Peek(1); !errors.Is(err, io.EOF) {
		if err != nil {
			return err
		}
		return malformed("something follows it")
	}
	if no := k.shown(k.ctx); no != nil {
		return no
	}
	return io.EOF // with the checksum, which is passed on now
}
