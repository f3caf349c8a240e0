package llm

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// clientFrame is a frame as a client sends it.
func clientFrame(op byte, last bool, payload string) []byte {
	b := appendFrame(nil, op, []byte(payload), true)
	if !last {
		b[0] &^= 0x80
	}
	return b
}

// messagesOf reads frames that a client sends, in pieces; what is sent on is read again.
func messagesOf(t *testing.T, b []byte, r *rand.Rand) (got, sent []string, err error) {
	t.Helper()
	c := Client{Message: func(m []byte) ([]byte, error) {
		got = append(got, string(m))
		if string(m) == "no" {
			return nil, errors.New("no")
		}
		return m, nil
	}}
	var out []byte
	for len(b) > 0 && err == nil {
		n := len(b)
		if r != nil {
			n = 1 + r.IntN(min(len(b), 20))
		}
		var o []byte
		o, err = c.Next(b[:n])
		out, b = append(out, o...), b[n:]
	}
	again := Client{Message: func(m []byte) ([]byte, error) {
		sent = append(sent, string(m))
		return m, nil
	}}
	if _, err := again.Next(out); err != nil {
		t.Fatalf("what is sent on is malformed: %v", err)
	}
	if again.open || again.in || len(again.head) > 0 {
		t.Fatal("half a message is sent on")
	}
	return got, sent, err
}

func TestClientFrames(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	all := slices.Concat(clientFrame(opText, true, "a"), clientFrame(9, true, "ping"), clientFrame(opText, false, "b"), clientFrame(10, true, ""),
		clientFrame(opMore, false, ""), clientFrame(opMore, true, "c"), clientFrame(opText, true, ""), clientFrame(opText, true, strings.Repeat("y", 200)),
		clientFrame(opText, true, long), clientFrame(opClose, true, ""))
	want := []string{"a", "bc", "", strings.Repeat("y", 200), long}
	for i := range 20 {
		var r *rand.Rand
		if i > 0 {
			r = rand.New(rand.NewPCG(uint64(i), 1))
		}
		got, sent, err := messagesOf(t, all, r)
		if err != nil || !slices.Equal(got, want) || !slices.Equal(sent, want) {
			t.Fatalf("%d messages, %d sent, %v", len(got), len(sent), err)
		}
	}
	compressed := clientFrame(opText, true, "a")
	compressed[0] |= 0x40
	unmasked := appendFrame(nil, opText, []byte("a"), false)
	huge := []byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
	for name, b := range map[string][]byte{
		"compressed": compressed, "no mask": unmasked, "binary": clientFrame(2, true, "a"), "unknown": clientFrame(3, true, "a"), "huge": huge,
		"more of nothing": clientFrame(opMore, true, "a"), "two at once": slices.Concat(clientFrame(opText, false, "a"), clientFrame(opText, true, "b")),
		"control in parts": clientFrame(9, false, "a"), "long control": clientFrame(9, true, strings.Repeat("a", 126)), "refused": clientFrame(opText, true, "no"),
	} {
		if _, sent, err := messagesOf(t, append(b, clientFrame(opText, true, "after")...), nil); err == nil || len(sent) > 0 {
			t.Errorf("%s: %v, sent %q", name, err, sent)
		}
	}
}

func TestServerFrames(t *testing.T) {
	var text []string
	part := ""
	s := Server{Text: func(b []byte) { part += string(b) }, End: func() { text = append(text, part); part = "" }}
	first := appendFrame(nil, opText, []byte("a"), false)
	first[0] &^= 0x80
	all := slices.Concat(first, appendFrame(nil, 9, []byte("ping"), false), appendFrame(nil, opMore, []byte("b"), false), appendFrame(nil, opText, nil, false),
		appendFrame(nil, opText, []byte(strings.Repeat("x", 300)), false))
	for _, c := range all {
		if _, err := s.Write([]byte{c}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(text, []string{"ab", "", strings.Repeat("x", 300)}) || !s.Between() {
		t.Errorf("%q", text)
	}
	masked := Server{Text: func([]byte) {}, End: func() {}}
	if _, err := masked.Write(clientFrame(opText, true, "a")); err == nil {
		t.Error("a masked frame passes")
	}
}

// FuzzClient: whatever a client sends, in whatever pieces: only messages that were judged
// are sent on, and those are, whole.
func FuzzClient(f *testing.F) {
	f.Add(clientFrame(opText, true, "a"), uint64(1))
	f.Add(slices.Concat(clientFrame(opText, false, "b"), clientFrame(9, true, "p"), clientFrame(opMore, true, "no")), uint64(2))
	f.Add([]byte{0x81, 0xfe, 0, 1, 1, 2, 3, 4, 5}, uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		got, sent, err := messagesOf(t, bytes.Clone(b), nil)
		pieces, again, perr := messagesOf(t, bytes.Clone(b), rand.New(rand.NewPCG(seed, 2)))
		if (err == nil) != (perr == nil) || !slices.Equal(got, pieces) || !slices.Equal(sent, again) {
			t.Fatalf("%q, %v at once, %q, %v in pieces", got, err, pieces, perr)
		}
		if n := len(got); n > 0 && got[n-1] == "no" && err != nil {
			got = got[:n-1]
		}
		if !slices.Equal(got, sent) {
			t.Fatalf("judged %q, sent %q", got, sent)
		}
		s := Server{Text: func([]byte) {}, End: func() {}}
		_, _ = s.Write(b)
	})
}
