package view

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/google/go-cmp/cmp"
)

func FuzzDecode(f *testing.F) {
	for _, p := range []packet{
		{kind: msgReady}, {kind: msgServe, view: 3}, {kind: msgFailed, text: "why"}, {kind: msgLimit, max: 10, used: 11},
		{kind: msgEvents, counts: counts{1, 2, 3, 4}, events: []belljar.FileEvent{{Path: "a\xff", Op: "write", Verdict: "pass"}, {Path: strings.Repeat("x", 4096)}}},
	} {
		f.Add(p.encode())
	}
	f.Add([]byte{msgEvents, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(p.encode())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p, again, cmp.AllowUnexported(packet{}, counts{})); d != "" {
			t.Fatal(d)
		}
	})
}

// fanBytes is one event as the kernel writes it.
func fanBytes(mask uint64, pid uint32, handle, name string) []byte {
	b := make([]byte, 44)
	binary.NativeEndian.PutUint16(b[6:], 24)
	binary.NativeEndian.PutUint64(b[8:], mask)
	binary.NativeEndian.PutUint32(b[20:], pid)
	binary.NativeEndian.PutUint32(b[36:], uint32(len(handle)))
	b = append(append(append(b, handle...), name...), 0)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[26:], uint16(len(b)-24))
	return b
}

func TestFanEvent(t *testing.T) {
	b := append(fanBytes(5, 7, "handle", "name"), fanBytes(1, 0, "h2", "")...)
	ev, rest, ok := nextEvent(b)
	if !ok || ev != (fanEvent{mask: 5, pid: 7, handle: "handle", name: "name"}) {
		t.Fatalf("%+v %v", ev, ok)
	}
	if ev, rest, ok = nextEvent(rest); !ok || ev.handle != "h2" || len(rest) != 0 {
		t.Fatalf("%+v %v", ev, ok)
	}
}

func FuzzFanEvent(f *testing.F) {
	f.Add(fanBytes(5, 7, "handle", "name"))
	f.Add(fanBytes(0x4000, 0, "", ""))
	f.Add([]byte{255, 255, 255, 255, 0, 0, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		for range 1000 {
			_, rest, ok := nextEvent(b)
			if !ok {
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("no progress")
			}
			b = rest
		}
	})
}

func TestFill(t *testing.T) {
	var q []belljar.FileEvent
	for range 500 {
		q = append(q, belljar.FileEvent{Path: strings.Repeat("p", 4000), To: strings.Repeat("q", 4000), Op: "rename"})
	}
	n := 0
	for len(q) > 0 {
		var now []belljar.FileEvent
		now, q = fill(q)
		if len(now) == 0 {
			t.Fatal("no progress")
		}
		n += len(now)
		if b := (&packet{kind: msgEvents, events: now}).encode(); len(b) > maxPacket {
			t.Fatalf("a packet of %d bytes", len(b))
		}
	}
	if n != 500 {
		t.Errorf("%d of 500 events", n)
	}
}
