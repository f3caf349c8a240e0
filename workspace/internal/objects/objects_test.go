package objects

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"testing"
)

// A bomb is a pack of a file and n deltas, each of which makes the whole file again from
// a few bytes; the last is the object id.
func bomb(t *testing.T, id string, size, n int) *Store {
	t.Helper()
	squeeze := func(b []byte) []byte {
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		w.Write(b)
		w.Close()
		return z.Bytes()
	}
	head := func(typ Type, n int) []byte {
		b := []byte{byte(typ)<<4 | byte(n&15)}
		for n >>= 4; n > 0; n >>= 7 {
			b[len(b)-1] |= 0x80
			b = append(b, byte(n&0x7f))
		}
		return b
	}
	const most = 0xff0000
	delta := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(size)), uint64(size))
	for left := size; left > 0; left -= most {
		k := min(left, most)
		delta = append(delta, 0xf0, byte(k), byte(k>>8), byte(k>>16))
	}
	pack := append([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x09"), head(Blob, size)...)
	pack = append(pack, squeeze(make([]byte, size))...)
	at := 12
	for range n {
		back := len(pack) - at
		at = len(pack)
		far := []byte{byte(back & 0x7f)}
		for back >>= 7; back > 0; back >>= 7 {
			back--
			far = append([]byte{0x80 | byte(back&0x7f)}, far...)
		}
		pack = append(append(append(pack, head(offDelta, len(delta))...), far...), squeeze(delta)...)
	}
	idx := []byte("\xfftOc\x00\x00\x00\x02")
	for i := range 256 {
		k := uint32(0)
		if i >= int(id[0]) {
			k = 1
		}
		idx = binary.BigEndian.AppendUint32(idx, k)
	}
	idx = binary.BigEndian.AppendUint32(append(append(idx, id...), 0, 0, 0, 0), uint32(at))
	dir := t.TempDir()
	err := errors.Join(os.Mkdir(dir+"/pack", 0o700), os.WriteFile(dir+"/pack/pack-1.pack", pack, 0o600), os.WriteFile(dir+"/pack/pack-1.idx", append(idx, make([]byte, 40)...), 0o600))
	r, err2 := os.OpenRoot(dir)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	s := Open(r)
	t.Cleanup(s.Close)
	return s
}

// TestBomb: what deltas make is charged, to the object and to the store, and ends with
// the context.
func TestBomb(t *testing.T) {
	const size, limit = 1 << 20, 256 << 20
	id := Sum(Blob, make([]byte, size), 20)
	if _, b, err := bomb(t, id, size, 100).Object(id, limit); err != nil || Sum(Blob, b, 20) != id {
		t.Fatalf("a long chain of a small file: %v", err)
	}
	s := bomb(t, id, size, 100)
	s.work = maxWork - 90*size
	if _, _, err := s.Object(id, limit); !errors.Is(err, ErrTooMuch) {
		t.Errorf("more work than a store does: %v", err)
	}
	s = bomb(t, id, size, 100)
	room, made := int64(2*limit), int64(90*size)
	off, _ := s.packs[0].find(id)
	if _, _, err := s.packed(s.packs[0], off, limit, &chain{maxChain, &room, &made}); !errors.Is(err, ErrTooMuch) {
		t.Errorf("more than one object may make: %v", err)
	}
	s = bomb(t, id, size, 100)
	ctx, cancel := context.WithCancel(t.Context())
	s.Within(ctx)
	cancel()
	if _, _, err := s.Object(id, limit); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func FuzzObjects(f *testing.F) {
	f.Add([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nx"), []byte("base text"))
	f.Add([]byte("100644 a\x00aaaaaaaaaaaaaaaaaaaa40000 d\x00bbbbbbbbbbbbbbbbbbbb"), []byte{9, 4, 0x91, 1, 3, 1, 'x'})
	f.Add([]byte("\x95\x0a\x80\x01"), []byte("\xe5\x7f\x00"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if out, err := applyDelta(a, b, 1<<16); err == nil && len(out) > 1<<16 {
			t.Error("a delta grew beyond its bound")
		}
		if typ, size, base, body, err := parseHead(a, 1000, 20); err == nil {
			if typ > 7 || size < 0 || body < 1000 || typ == offDelta && (base.off < 12 || base.off >= 1000) {
				t.Error(typ, size, base, body)
			}
		}
		_, _, _ = readLoose(bytes.NewReader(a), 1<<16)
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		w.Write(a)
		w.Close()
		if _, data, err := readLoose(&z, 1<<16); err == nil && len(data) > 1<<16+64 {
			t.Error("an object grew beyond its bound")
		}
	})
}
