package event

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
)

func FuzzLine(f *testing.F) {
	body, err := redactor{}.encode(execEvent(1))
	if err != nil {
		f.Fatal(err)
	}
	line, _ := appendLine(nil, 7, genesis("record", "x"), body)
	f.Add(bytes.TrimSuffix(line, []byte("\n")))
	f.Add([]byte(`{"seq":1,"kind":"exec","hash":"x"}`))
	f.Add([]byte(`{"seq":18446744073709551616,"prev":"`))
	f.Add([]byte(strings.Repeat(`{"plan":`, 5000)))
	f.Add([]byte(`{"kind":"end","end":{"reason":"\u202e\u001b]52;c;x\u0007"},"hash":"x"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if l, err := parseLink(line); err == nil {
			// Only what the writer would have written is a line.
			again, hash := appendLine(nil, l.seq, l.prev, l.body)
			if hash != l.hash || !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), line) {
				t.Errorf("accepted %q, but would write %q", line, again)
			}
		}
		e, err := parseEntry(line)
		if err != nil {
			return
		}
		var out strings.Builder
		if err := Print(&out, &e, PrintOptions{}); err != nil {
			t.Fatal(err)
		}
		s := strings.TrimSuffix(out.String(), "\n")
		if terminal.Escape(s) != s {
			t.Errorf("not safe for a terminal: %q", s)
		}
	})
}

// FuzzEvent checks that what is recorded is read again, whatever it contains.
func FuzzEvent(f *testing.F) {
	f.Add("git", "status", "a/b")
	f.Add("\xff\x1b[31m", "\u2028\u202e\n", "\U000e0041\x00")
	f.Fuzz(func(t *testing.T, path, arg, file string) {
		for _, e := range []belljar.Event{
			{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{Path: path, Argv: []string{arg, path}}},
			{Kind: belljar.EventFile, File: &belljar.FileEvent{Path: file, To: arg}},
			{Kind: belljar.EventRefuse, Net: &belljar.NetEvent{Host: path, Reason: arg, Fix: file}},
		} {
			body, err := redactor{}.encode(e)
			if err != nil {
				t.Fatal(err)
			}
			line, _ := appendLine(nil, 1, genesis("record", "x"), body)
			line = bytes.TrimSuffix(line, []byte("\n"))
			if s := string(line); terminal.Escape(s) != s {
				t.Errorf("the line is not safe for a terminal: %q", s)
			}
			if _, err := parseLink(line); err != nil {
				t.Fatal(err)
			}
			got, err := parseEntry(line)
			if err != nil {
				t.Fatal(err)
			}
			want := redactor{}.redact(clean(e))
			want.Time = got.Time
			if diff := cmp.Diff(want, got.Event); diff != "" {
				t.Error(diff)
			}
		}
	})
}

// FuzzReader checks that how the input is cut does not matter to the reader.
func FuzzReader(f *testing.F) {
	f.Add([]byte("a\nb\n\nlonger line\ntorn"), uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		var lines []string
		r := reader{in: newReader(&stepReader{in, int(step)%7 + 1}, Filter{}).in}
		for range len(in) + 2*len(in) + 3 {
			line, ok := r.nextLine()
			if ok {
				lines = append(lines, string(line)+"\n")
			}
		}
		want, _, _ := cutLast(string(in))
		if got := strings.Join(lines, ""); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func cutLast(s string) (string, string, bool) {
	i := strings.LastIndexByte(s, '\n')
	return s[:i+1], s[i+1:], i >= 0
}

// A stepReader says EOF between two steps, as a file does that grows.
type stepReader struct {
	rest []byte
	step int
}

func (s *stepReader) Read(p []byte) (int, error) {
	n := copy(p, s.rest[:min(s.step, len(s.rest))])
	s.rest = s.rest[n:]
	if n == 0 || s.step > 1 && n%2 == 0 {
		return n, io.EOF
	}
	return n, nil
}
