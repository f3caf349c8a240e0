package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

// TestDetachKeys: ctrl-p ctrl-q detaches however it is cut, and everything else passes.
func TestDetachKeys(t *testing.T) {
	for _, c := range []struct {
		reads []string
		pass  string
		leave bool
	}{
		{[]string{"abc"}, "abc", false},
		{[]string{"a\x10", "\x11b"}, "a", true},
		{[]string{"a\x10\x11b"}, "", true},
		{[]string{"a\x10", "\x10", "\x11"}, "a\x10", true},
		{[]string{"a\x10", "x\x11"}, "a\x10x\x11", false},
		{[]string{"\x11\x10"}, "\x11", false},
		{[]string{"\x1b[112;5u", "\x1b[113;5u"}, "", true},
	} {
		var out bytes.Buffer
		var in []io.Reader
		for _, r := range c.reads {
			in = append(in, strings.NewReader(r))
		}
		if leave := detachKeys(&out, io.MultiReader(in...)); leave != c.leave || out.String() != c.pass {
			t.Errorf("%q: passed %q, left %v", c.reads, out.String(), leave)
		}
	}
}

// TestDetachKeysBlocked: a command that reads nothing keeps nobody from detaching.
func TestDetachKeysBlocked(t *testing.T) {
	_, out := io.Pipe()
	in := io.MultiReader(strings.NewReader(strings.Repeat("x", keysRead*(keysQueued+8))), strings.NewReader("\x10"), strings.NewReader("\x11"))
	left := make(chan bool, 1)
	go func() { left <- detachKeys(out, in) }()
	select {
	case ok := <-left:
		if !ok {
			t.Error("the keys to detach were not found")
		}
	case <-time.After(2 * time.Minute):
		t.Error("it waits for the command")
	}
	_ = out.Close()
}

func TestLineEnds(t *testing.T) {
	for _, c := range [][2]string{{"a\r\nb\r\n", "a\nb\n"}, {"a\rb", "a\rb"}, {"\r\r\n", "\r\n"}, {"x\r", "x\r"}} {
		for cut := range len(c[0]) {
			var b bytes.Buffer
			l := &lineEnds{w: &b}
			_, _ = l.Write([]byte(c[0][:cut]))
			_, _ = l.Write([]byte(c[0][cut:]))
			l.flush()
			if b.String() != c[1] {
				t.Errorf("%q cut at %d: %q", c[0], cut, b.String())
			}
		}
	}
}
