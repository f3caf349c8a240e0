package git

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// ended takes note of an object that is a commit.
func (k *pack) ended(o *packObject) error {
	if !o.keeps {
		return nil
	}
	text := o.data
	if o.base != nil {
		var err error
		if text, err = k.patch(o.base.text, o.data); err != nil {
			return err
		}
		k.push.release(int64(len(o.data)))
	}
	const own = 256 // a commit's place in both tables, about
	parents := parentsOf(text, k.push.idLen)
	if err := k.push.hold(own + int64(len(parents)*(k.push.idLen+24))); err != nil {
		return err
	}
	c := &commit{text: text, parents: parents}
	k.byPlace[o.at] = c
	k.byID[k.push.id("commit", text)] = c
	return nil
}

// id is the id of an object.
func (p *Push) id(kind string, text []byte) string {
	var h hash.Hash
	if p.idLen == 40 {
		h = sha1.New()
	} else {
		h = sha256.New()
	}
	fmt.Fprintf(h, "%s %d\x00", kind, len(text))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// parentsOf reads the parents at the head of a commit, as git does: right behind its
// tree.
func parentsOf(text []byte, idLen int) (parents []string) {
	line, rest, ok := strings.Cut(string(text[:min(len(text), maxCommit)]), "\n")
	if !ok || !strings.HasPrefix(line, "tree ") || !isID(line[len("tree "):], idLen) {
		return nil
	}
	for {
		line, rest, ok = strings.Cut(rest, "\n")
		id, is := strings.CutPrefix(line, "parent ")
		if !ok || !is || !isID(id, idLen) {
			return parents
		}
		parents = append(parents, strings.Clone(id))
	}
}

// patch makes a commit of another one and the difference to it.
func (k *pack) patch(base, delta []byte) ([]byte, error) {
	bad := malformed("a difference to a commit")
	from, n := varint(delta)
	to, m := varint(delta[max(n, 0):])
	if n <= 0 || m <= 0 || from != uint64(len(base)) || to > maxCommit {
		return nil, bad
	}
	if err := k.push.hold(int64(to)); err != nil {
		return nil, err
	}
	delta = delta[n+m:]
	out := make([]byte, 0, to)
	for len(delta) > 0 {
		op := delta[0]
		delta = delta[1:]
		piece := delta
		if op&0x80 == 0 {
			if op == 0 || int(op) > len(delta) {
				return nil, bad
			}
			piece, delta = delta[:op], delta[op:]
		} else {
			var at, size uint64
			for i := range 7 {
				if op&(1<<i) == 0 {
					continue
				}
				if len(delta) == 0 {
					return nil, bad
				}
				if i < 4 {
					at |= uint64(delta[0]) << (8 * i)
				} else {
					size |= uint64(delta[0]) << (8 * (i - 4))
				}
				delta = delta[1:]
			}
			if size == 0 {
				size = 1 << 16
			}
			if at+size > uint64(len(base)) {
				return nil, bad
			}
			piece = base[at : at+size]
		}
		if len(out)+len(piece) > int(to) {
			return nil, bad
		}
		out = append(out, piece...)
	}
	if len(out) != int(to) {
		return nil, bad
	}
	return out, nil
}

// varint reads a size of a difference: its value and its length, or 0.
func varint(b []byte) (v uint64, n int) {
	for i, c := range b {
		if i > 8 {
			return 0, 0
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			return v, i + 1
		}
	}
	return 0, 0
}
