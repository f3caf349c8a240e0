package objects

import (
	"bytes"
	"compress/zlib"
	"testing"
)

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
