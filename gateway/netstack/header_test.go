package netstack

import (
	"os"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
)

// TestHeader: a link whose packets follow an Ethernet header is read and written
// with it; the header names the packet's protocol.
func TestHeader(t *testing.T) {
	a, b := pair(t)
	a.Header = []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0, 0}
	l, err := newLink(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.File.Close()
	defer l.Close()
	defer b.File.Close()
	for first, kind := range map[byte]string{0x45: "\x08\x00", 0x60: "\x86\xdd"} {
		if err := l.write([]byte{first, 'r', 'e', 's', 't'}); err != nil {
			t.Fatal(err)
		}
		want := string(a.Header[:12]) + kind + string(first) + "rest"
		if got := read(t, b.File); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
	in := incoming{big: buffer.NewViewSize(1 << 16)}
	defer in.big.Release()
	for sent, want := range map[string]string{string(a.Header) + "packet": "packet", "short": "", string(a.Header): ""} {
		if _, err := b.File.WriteString(sent); err != nil {
			t.Fatal(err)
		}
		n, errno := l.receive(l.file.Fd(), &in)
		if got := in.big.AsSlice()[:max(n, 0)]; errno != 0 || n != len(want) || string(got) != want {
			t.Errorf("%q is read as %q, %d, %v", sent, got, n, errno)
		}
	}
}

func read(t *testing.T, f *os.File) string {
	t.Helper()
	buf := make([]byte, 100)
	n, err := syscall.Read(int(f.Fd()), buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}
