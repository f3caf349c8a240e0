package socks

import (
	"bufio"
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

func read(in string) (Request, string, error) {
	var out bytes.Buffer
	req, err := Read(bufio.NewReader(strings.NewReader(in)), &out)
	return req, out.String(), err
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Request
	}{
		{"name", "\x05\x01\x00\x05\x01\x00\x03\x0bexample.com\x01\xbb", Request{Version: 5, Name: "example.com", Port: 443}},
		{"name with control bytes", "\x05\x01\x00\x05\x01\x00\x03\x03a\x00b\x00\x50", Request{Version: 5, Name: "a\x00b", Port: 80}},
		{"second method", "\x05\x02\x02\x00\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50", Request{Version: 5, Addr: netip.MustParseAddr("1.2.3.4"), Port: 80}},
		{"mapped", "\x05\x01\x00\x05\x01\x00\x04" + strings.Repeat("\x00", 10) + "\xff\xff\x7f\x00\x00\x01\x00\x50", Request{Version: 5, Addr: netip.MustParseAddr("127.0.0.1"), Port: 80}},
		{"4", "\x04\x01\x00\x50\x01\x02\x03\x04me\x00", Request{Version: 4, Addr: netip.MustParseAddr("1.2.3.4"), Port: 80}},
		{"4a", "\x04\x01\x00\x50\x00\x00\x00\x01\x00example.com\x00", Request{Version: 4, Name: "example.com", Port: 80}},
	} {
		got, _, err := read(c.in)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, answer string }{
		{"udp associate", "\x05\x01\x00\x05\x03\x00\x01\x01\x02\x03\x04\x00\x50", "\x05\x00\x05\x07"},
		{"bind", "\x05\x01\x00\x05\x02\x00\x01\x01\x02\x03\x04\x00\x50", "\x05\x00\x05\x07"},
		{"password only", "\x05\x01\x02", "\x05\xff"},
		{"empty name", "\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", "\x05\x00\x05\x08"},
		{"type", "\x05\x01\x00\x05\x01\x00\x09\x00\x00\x50", "\x05\x00\x05\x08"},
		{"bind 4", "\x04\x02\x00\x50\x01\x02\x03\x04\x00", "\x00\x5b"},
		{"long user", "\x04\x01\x00\x50\x01\x02\x03\x04" + strings.Repeat("a", 300), ""},
		{"version", "\x06", ""},
		{"cut", "\x05\x01", ""},
	} {
		_, out, err := read(c.in)
		if err == nil || !strings.HasPrefix(out, c.answer) {
			t.Errorf("%s: %v, answered %q", c.name, err, out)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x03\x0bexample.com\x01\xbb"))
	f.Add([]byte("\x04\x01\x00\x50\x00\x00\x00\x01\x00example.com\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		req, err := Read(bufio.NewReader(bytes.NewReader(b)), &bytes.Buffer{})
		if err == nil && (req.Name == "") == !req.Addr.IsValid() {
			t.Fatalf("neither or both of name and address: %+v", req)
		}
		if len(req.Name) > maxString {
			t.Fatal("a name without end")
		}
	})
}
