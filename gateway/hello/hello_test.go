package hello

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// capture is what Go's client sends first for a configuration.
func capture(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	go func() {
		_ = tls.Client(a, cfg).Handshake()
	}()
	_, raw, err := Read(b)
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	b.Close()
	return raw
}

func TestReadsWhatClientsSend(t *testing.T) {
	for _, name := range []string{"example.com", "a.b.example", ""} {
		cfg := &tls.Config{ServerName: name, InsecureSkipVerify: true}
		raw := capture(t, cfg)
		for _, r := range []io.Reader{bytes.NewReader(raw), iotest.OneByteReader(bytes.NewReader(raw))} {
			h, got, err := Read(r)
			if err != nil || h.ServerName != name || h.ECH || !bytes.Equal(got, raw) {
				t.Errorf("%q: got %+v, %v", name, h, err)
			}
		}
	}
}

// split puts the message of one record into records of n bytes.
func split(raw []byte, n int) []byte {
	var out []byte
	for msg := raw[5:]; len(msg) > 0; {
		k := min(n, len(msg))
		out = append(out, 22, 3, 1, byte(k>>8), byte(k))
		out = append(out, msg[:k]...)
		msg = msg[k:]
	}
	return out
}

func TestSpreadOverRecords(t *testing.T) {
	raw := capture(t, &tls.Config{ServerName: "example.com"})
	for _, n := range []int{1, 2, 3, 7, 100} {
		in := append(split(raw, n), "rest"...)
		h, got, err := Read(bytes.NewReader(in))
		if err != nil || h.ServerName != "example.com" || len(got) != len(in)-4 {
			t.Errorf("%d: got %+v, %v", n, h, err)
		}
	}
}

func record(body []byte) []byte {
	msg := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	return append([]byte{22, 3, 1, byte(len(msg) >> 8), byte(len(msg))}, msg...)
}

func helloWith(exts []byte) []byte {
	b := append([]byte{3, 3}, make([]byte, 32)...)
	b = append(b, 0, 0, 2, 0x13, 1, 1, 0, byte(len(exts)>>8), byte(len(exts)))
	return record(append(b, exts...))
}

func sni(names ...string) []byte {
	var list []byte
	for _, n := range names {
		list = append(list, 0, byte(len(n)>>8), byte(len(n)))
		list = append(list, n...)
	}
	data := append([]byte{byte(len(list) >> 8), byte(len(list))}, list...)
	return append([]byte{0, 0, byte(len(data) >> 8), byte(len(data))}, data...)
}

func TestRefusesTwoReadings(t *testing.T) {
	for _, c := range []struct {
		name, err string
		b         []byte
	}{
		{"two names", "more than one", helloWith(sni("a.example", "b.example"))},
		{"two extensions", "appears twice", helloWith(append(sni("a.example"), sni("b.example")...))},
		{"empty name", "empty", helloWith(sni(""))},
		{"no list", "does not fit", helloWith([]byte{0, 0, 0, 0})},
		{"longer than the message", "does not fit", helloWith([]byte{0, 0, 9, 9})},
		{"trailing bytes", "bytes follow", func() []byte {
			b := append(helloWith(sni("a.example")), 1)
			b[4]++
			return b
		}()},
		{"http", "not a TLS", []byte("GET / HTTP/1.1\r\n")},
		{"server hello", "not a TLS", []byte{22, 3, 1, 0, 4, 2, 0, 0, 0}},
		{"empty record", "empty", []byte{22, 3, 1, 0, 0}},
		{"huge", "too large", []byte{22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff}},
		{"cut", "EOF", helloWith(sni("a.example"))[:20]},
	} {
		_, _, err := Read(bytes.NewReader(c.b))
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.err)
		}
	}
}

func TestEncryptedHelloIsSeen(t *testing.T) {
	h, _, err := Read(bytes.NewReader(helloWith(append(sni("a.example"), 0xfe, 0x0d, 0, 1, 0))))
	if err != nil || !h.ECH || h.ServerName != "a.example" {
		t.Errorf("got %+v, %v", h, err)
	}
}

// FuzzRead compares with crypto/tls: what both understand is the same name.
func FuzzRead(f *testing.F) {
	f.Add(capture(f, &tls.Config{ServerName: "example.com"}))
	f.Add(helloWith(sni("a.example", "b.example")))
	f.Add(split(helloWith(sni("a.example")), 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, raw, err := Read(bytes.NewReader(b))
		if !bytes.HasPrefix(b, raw) {
			t.Fatal("returned bytes that were not sent")
		}
		if err != nil {
			return
		}
		other, ok := stdName(raw)
		if ok && other != strings.TrimSuffix(h.ServerName, ".") && other != h.ServerName {
			t.Fatalf("read %q, crypto/tls reads %q", h.ServerName, other)
		}
	})
}

var errSeen = errors.New("seen")

func stdName(raw []byte) (name string, ok bool) {
	cfg := &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		name, ok = i.ServerName, true
		return nil, errSeen
	}}
	_ = tls.Server(oneWay{bytes.NewReader(raw)}, cfg).Handshake()
	return name, ok
}

// oneWay is a connection on which only reading means anything.
type oneWay struct{ r io.Reader }

func (o oneWay) Read(b []byte) (int, error)     { return o.r.Read(b) }
func (oneWay) Write(b []byte) (int, error)      { return len(b), nil }
func (oneWay) Close() error                     { return nil }
func (oneWay) LocalAddr() net.Addr              { return nil }
func (oneWay) RemoteAddr() net.Addr             { return nil }
func (oneWay) SetDeadline(time.Time) error      { return nil }
func (oneWay) SetReadDeadline(time.Time) error  { return nil }
func (oneWay) SetWriteDeadline(time.Time) error { return nil }
