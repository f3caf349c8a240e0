package hello

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

var errName = errors.New("another name")

func only(name string) func(Hello) error {
	return func(h Hello) error {
		if h.ServerName != name {
			return errName
		}
		return nil
	}
}

func TestFollow(t *testing.T) {
	cipher := []byte{20, 3, 3, 0, 1, 1}
	finished := append([]byte{22, 3, 3, 0, 40}, bytes.Repeat([]byte{1}, 40)...) // begins like a ClientHello, by chance
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	ok, evil := helloWith(sni("a.example")), helloWith(sni("evil.example"))
	data := []byte{23, 3, 3, 0, 2, 'h', 'i', 'x'}
	for _, c := range []struct {
		name string
		in   []byte
		err  error
	}{
		{"TLS 1.3", join(cipher, data), nil},
		{"TLS 1.2", join([]byte{22, 3, 3, 0, 4, 16, 0, 0, 0}, cipher, finished, data), nil},
		{"TLS 1.2, resumed", join(cipher, finished, data), nil},
		{"asked again", join(cipher, ok, data), nil},
		{"asked again, in pieces", join(split(ok, 3), data), nil},
		{"another name", join(ok[:0], evil, data), errName},
		{"another name after a change of cipher", join(cipher, evil, data), errName},
		{"another name in pieces", join(cipher, split(evil, 1), data), errName},
		{"another name, third", join(ok, evil, data), errName},
		{"no name", join(cipher, helloWith(nil), data), errName},
		{"nothing", nil, nil},
		{"cut", ok[:9], nil},
	} {
		for _, r := range []io.Reader{bytes.NewReader(c.in), iotest.OneByteReader(bytes.NewReader(c.in))} {
			got, err := io.ReadAll(Follow(r, only("a.example")))
			switch {
			case !errors.Is(err, c.err):
				t.Errorf("%s: %v", c.name, err)
			case c.err == nil && c.name != "cut" && !bytes.Equal(got, c.in):
				t.Errorf("%s: changed", c.name)
			case bytes.Contains(got, []byte("evil.example")):
				t.Errorf("%s: the name passed", c.name)
			}
		}
	}
	if _, err := io.ReadAll(Follow(bytes.NewReader(join(ok[:5], []byte{1, 0, 0, 1}, make([]byte, 99))), only(""))); err == nil {
		t.Error("a malformed second ClientHello passed")
	}
}

// FuzzFollow: nothing is added, and what passes whole is what was sent.
func FuzzFollow(f *testing.F) {
	f.Add(helloWith(sni("a.example")))
	f.Add(append([]byte{20, 3, 3, 0, 1, 1}, split(helloWith(sni("b.example")), 5)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, _ := io.ReadAll(Follow(bytes.NewReader(in), only("a.example")))
		if !bytes.HasPrefix(in, got) {
			t.Fatal("bytes that were not sent")
		}
	})
}
