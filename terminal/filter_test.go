package terminal

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func filtered(t testing.TB, o FilterOptions, in string, step int) (string, map[string]int) {
	t.Helper()
	var out bytes.Buffer
	f := NewFilter(&out, o)
	for rest := in; rest != ""; {
		n := min(step, len(rest))
		if _, err := io.WriteString(f, rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	f.Close()
	return out.String(), f.Dropped()
}

func TestFilterPasses(t *testing.T) {
	for _, s := range []string{
		"plain text\r\n", "日本語 ü 🙂", "bell \a, back \b, tab \t",
		"\x1b[31;1mred\x1b[0m\x1b[38;2;1;2;3m\x1b[4:3m",
		"\x1b[H\x1b[2J\x1b[10;20H\x1b[K\x1b[3A\x1b[1;24r\x1b[5S\x1b[4@\x1b[2P",
		"\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?1000;1006h\x1b[?1049l",
		"\x1b7\x1b8\x1b(0lqqk\x1b(B\x0e\x0f\x1b=\x1b>\x1bM\x1bc",
		"\x1b[6n\x1b[5n\x1b[c\x1b[>c\x1b[>0c\x1b[?2026$p\x1b[18t",
		"\x1b[22;0;0t\x1b[23;0;0t", // what vim and less send with the alternate screen
		"\x1b[>1u\x1b[?u\x1b[<u\x1b[>4;2m\x1b[2 q\x1b[!p",
		"\x1b]0;title\a\x1b]2;other\x1b\\",
		"\x1b]11;?\x1b\\\x1b]10;rgb:ff/00/00\a\x1b]4;1;#ff0000\a\x1b]104\a\x1b]111\x1b\\",
		"\x1b]8;id=1;https://example.com/a?b#c\x1b\\link\x1b]8;;\x1b\\",
		"\x1b]133;A\a\x1b]9;4;1;50\a",
		"\x1b[?2026h\x1b[?2026l\x1b[?996n",
	} {
		for _, step := range []int{1, 3, 1000} {
			got, dropped := filtered(t, FilterOptions{}, s, step)
			if got != s || len(dropped) > 0 {
				t.Errorf("in pieces of %d: %q became %q, dropped %v", step, s, got, dropped)
			}
		}
	}
}

func TestFilterDrops(t *testing.T) {
	tests := []struct{ in, want, what string }{
		{"a\x1b]52;c;aGVsbG8=\ab", "ab", "clipboard (OSC 52)"},
		{"a\x1b]52;c;?\x1b\\b", "ab", "clipboard (OSC 52)"},
		{"a\x1b[21tb", "ab", "window operation"},
		{"a\x1b[20tb", "ab", "window operation"},
		{"\x1b[8;50;100t", "", "window operation"},
		{"a\x05b", "ab", "answer-back (ENQ)"},
		{"a\x1bP$q\"p\x1b\\b", "ab", "device control string (DCS)"},
		{"a\x1bP+q544e\x1b\\b", "ab", "device control string (DCS)"},
		{"a\x1bP1;1|17/68656c6c6f\x1b\\b", "ab", "device control string (DCS)"}, // DECUDK: keys that type
		{"a\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\b", "ab", "device control string (DCS)"},
		{"a\x1b_Gf=24;QUFB\x1b\\b", "ab", "application command (APC)"},
		{"a\x1b^x\x1b\\b\x1bXy\x1b\\c", "abc", "string (SOS)"},
		{"a\x1bkname\x1b\\b", "ab", "window name (ESC k)"},
		{"\x1b[5i\x1b[?5i\x1b[4i", "", "printing (media copy)"},
		{"a\x1b]1337;File=name=eA==:AAAA\ab", "ab", "terminal command (OSC 1337)"},
		{"a\x1b]9;hello\ab", "ab", "notification (OSC 9)"},
		{"a\x1b]9;4;1;50;sh\ab", "ab", "notification (OSC 9)"},
		{"a\x1b]777;notify;x;y\ab", "ab", "notification (OSC 777)"},
		{"a\x1b]50;#1\ab", "ab", "OSC 50"},
		{"a\x1b]7;file://host/tmp\ab", "ab", "OSC 7"},
		{"a\x1b]633;E;rm -rf x\ab", "ab", "OSC 633"},
		{"\x1b]8;;file:///etc/passwd\ax\x1b]8;;\a", "x\x1b]8;;\a", "hyperlink that is not http"},
		{"\x1b]8;;https://github.com@evil.example/\ax", "x", "hyperlink that is not http"},
		{"\x1b[>q\x1b[=c\x1b[xa", "a", "question to the terminal"},
		{"\x1b[1;1;1;1;1;1*ya", "a", "reading the screen back"},
		{"\x1b]10;red;blue;green\aa", "a", "OSC 10"},
		{"\x1b]4;1\a\x1b]4;x;red\aa", "a", "OSC 4"},
		{"\x1b%@a\x1b%G", "a\x1b%G", "leaving UTF-8 (ESC % @)"},
		{"\x1b Ga", "a", "8-bit answers (S8C1T)"},
		{"a\u009b21tb\u009d52;c;x\u009cc", "a21tb52;c;xc", "C1 control"},
		{"a\x9b21tb", "a\ufffd21tb", ""},
		{"\x1b[?3h\x1b[?1001h\x1b[?25;3h", "\x1b[?25h", "mode ?3"},
		{"\x1b[2ha\x1b[12ha", "aa", "mode 2"},
		{"\x1b[99999999999999Ha", "a", "malformed sequence"},
		{"\x1b[999999999ba", "a", "malformed sequence"},
		{"\x1b[" + strings.Repeat("1;", 1000) + "ma", "a", "malformed sequence"},
		{"\x1b]0;" + strings.Repeat("x", 100_000) + "\aa", "a", "OSC 0"},
		{"\x1b]0;a\nb\aa", "a", "OSC 0"},
		{"\x1b]0;a\x1b[31mb", "\x1b[31mb", "malformed sequence"},
		{"a\x1b[3\x1b[31mb", "a\x1b[31mb", "malformed sequence"},
		{"a\x1b[3\x18b", "ab", ""},
		{"a\x1b[3\r1mb", "a\r\x1b[31mb", ""},
		{"a\x1b[3\x051mb", "a\x1b[31mb", "answer-back (ENQ)"},
		{"a\x1b[3ümb", "aümb", "malformed sequence"},
		{"a\x1b", "a", "unfinished sequence"},
		{"a\xe6\x97", "a", "unfinished sequence"},
		{"a\xe6\x97\x1b[0mb", "a\ufffd\ufffd\x1b[0mb", ""},
		{"\x1b]2;a\u202eb\a", "\x1b]2;a\\u202eb\a", ""},
	}
	for _, tt := range tests {
		for _, step := range []int{1, 2, 5, 1 << 20} {
			got, dropped := filtered(t, FilterOptions{}, tt.in, step)
			if got != tt.want {
				t.Errorf("in pieces of %d: %.60q became %q, want %q", step, tt.in, got, tt.want)
			}
			if tt.what != "" && dropped[tt.what] == 0 {
				t.Errorf("%.60q: dropped %v, want %q", tt.in, dropped, tt.what)
			}
		}
	}
}

func TestFilterOptions(t *testing.T) {
	clip := "\x1b]52;c;" + strings.Repeat("QUFB", 5000) + "\a"
	if got, _ := filtered(t, FilterOptions{Clipboard: true}, clip, 1000); got != clip {
		t.Error("an allowed clipboard text did not pass")
	}
	for _, s := range []string{"\x1b]52;c;?\a", "\x1b]52;c;\x1b[0m\a", "\x1b]52;x;AA\a", "\x1b]52;c;" + strings.Repeat("A", 1<<20) + "\a"} {
		if got, _ := filtered(t, FilterOptions{Clipboard: true}, s, 1000); strings.Contains(got, "52;") {
			t.Errorf("%.40q passed as %.40q", s, got)
		}
	}
	note := "\x1b]9;done\a\x1b]777;notify;a;b\a"
	if got, _ := filtered(t, FilterOptions{Notify: true}, note, 1000); got != note {
		t.Errorf("allowed notifications became %q", got)
	}
	for _, s := range []string{"\x1b]9;7;cmd\a", "\x1b]777;precmd\a"} {
		if got, _ := filtered(t, FilterOptions{Notify: true}, s, 1000); got != "" {
			t.Errorf("%q passed as %q", s, got)
		}
	}
	ask := "\x1b[6n\x1b[c\x1b[>c\x1b]11;?\a\x1b]4;1;?\a\x1b[?2026$p\x1b[?u\x1b[18t\x1b[?996n"
	if got, _ := filtered(t, FilterOptions{NoQueries: true}, ask, 1000); got != "" {
		t.Errorf("questions passed: %q", got)
	}
}

func TestReset(t *testing.T) {
	tests := []struct{ in, want string }{
		{"text\n\x1b[31mred\x1b[0m", ""},
		{"\x1b[?1049h\x1b[?1049l\x1b[?25l\x1b[?25h\x1b[?2004h\x1b[?2004l", ""},
		{"\x1b[31m", "\x1b[0m"},
		{"\x1b[?1049h\x1b[?25l\x1b[?1000;1006h\x1b[?2004h", "\x1b[?25h\x1b[?1000l\x1b[?1006l\x1b[?2004l\x1b[?1049l"},
		{"\x1b[?7l\x1b=\x1b[4h", "\x1b[?7h\x1b[4l\x1b>"},
		{"\x1b(0\x0e", "\x1b(B\x1b)B\x0f"},
		{"\x1b[5;10r", "\x1b7\x1b[r\x1b8"},
		{"\x1b[>1u", "\x1b[<99u\x1b[=0u"},
		{"\x1b[6 q\x1b[>4;2m", "\x1b[>4m\x1b[0 q"},
		{"\x1b]11;#000\a\x1b]4;1;#fff\a\x1b]10;?\a", "\x1b]111\x1b\\\x1b]104\x1b\\"},
		{"\x1b]8;;http://x\aa", "\x1b]8;;\x1b\\"},
		{"\x1b[?2026h", "\x1b[?2026l"},
		{"\x1b[?1000h\x1bc", "\x1b[?1000l"},
		{"\x1b]9;4;1;3\a", "\x1b]9;4;0\x1b\\"},
	}
	for _, tt := range tests {
		f := NewFilter(io.Discard, FilterOptions{})
		io.WriteString(f, tt.in)
		if got := string(f.Reset()); got != tt.want {
			t.Errorf("after %q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestFilterMemoryIsBounded(t *testing.T) {
	for _, start := range []string{"\x1b]52;", "\x1bP", "\x1b[", "\x1b_", "\x1b("} {
		f := NewFilter(io.Discard, FilterOptions{Clipboard: true})
		io.WriteString(f, start)
		chunk := bytes.Repeat([]byte("1"), 1<<20)
		for range 20 {
			f.Write(chunk)
		}
		if n := cap(f.seq) + cap(f.part); n > 2*maxClipboard {
			t.Errorf("%q and 20 MiB: %d bytes kept", start, n)
		}
	}
}

func TestFilterTellsErrors(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	if _, err := io.WriteString(NewFilter(w, FilterOptions{}), "x"); err != io.ErrClosedPipe {
		t.Errorf("error %v", err)
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"a\x1b[31mb\x1b]0;x\a", "\x1b]52;c;aGk=\x1b\\", "\x1bP$qm\x1b\\z", "\u009b21t\x9b", "\x1b[?1049;3h\x1b[\x1b[",
		"\x1b]2;\u202e\x07\x1b[4\n0m", "\x1b]8;id=a;http://x/\x1b\\", "\xe6\x97\xa5\xe6", "\x1b\x1b\x1b]\x1b]\x1b\\\\",
	} {
		f.Add([]byte(s), uint8(1), false)
		f.Add([]byte(s), uint8(3), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8, relax bool) {
		o := FilterOptions{Clipboard: relax, Notify: relax, NoQueries: !relax && step%2 == 0}
		whole, dropped := filtered(t, o, string(in), len(in)+1)
		cut, cutDropped := filtered(t, o, string(in), int(step)%9+1)
		if whole != cut {
			t.Fatalf("cut into pieces: %q, whole: %q", cut, whole)
		}
		if diff := cmp.Diff(dropped, cutDropped); diff != "" {
			t.Errorf("counts: %s", diff)
		}
		if again, d := filtered(t, o, whole, len(whole)+1); again != whole || len(d) > 0 {
			t.Errorf("filtered again: %q became %q, dropped %v", whole, again, d)
		}
		if !utf8.ValidString(whole) {
			t.Errorf("not UTF-8: %q", whole)
		}
		for _, bad := range []string{"\x05", "\x1bP", "\x1b_", "\x1bX", "\x1b^", "\x1b[21t", "\x1b%@", "\x1b]1337", "\x1b]50"} {
			if strings.Contains(whole, bad) {
				t.Errorf("%q has passed: %q", bad, whole)
			}
		}
		if !relax && strings.Contains(whole, "\x1b]52") {
			t.Errorf("a clipboard sequence has passed: %q", whole)
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	for name, s := range map[string]string{
		"text":   strings.Repeat("src/main.go:17: some ordinary line of a build\r\n", 1000),
		"colour": strings.Repeat("\x1b[32m✓\x1b[0m test \x1b[1;34mname\x1b[0m passed\r\n", 1000),
	} {
		b.Run(name, func(b *testing.B) {
			f := NewFilter(io.Discard, FilterOptions{})
			p := []byte(s)
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				f.Write(p)
			}
		})
	}
}

// The table in docs/record.md is not to be forgotten: every name in the tables
// has a verdict, and no sequence that passes is also named as dropped.
func TestTables(t *testing.T) {
	for name, r := range maps.All(csiRules) {
		if r.drop != "" && (r.query || r.only != nil) {
			t.Errorf("CSI %s is dropped and has conditions", name)
		}
		if r.only != nil && r.otherwise == "" {
			t.Errorf("CSI %s does not say what the rest is counted as", name)
		}
	}
	for p := range privateModes {
		seq := fmt.Sprintf("\x1b[?%dh", p)
		if got, _ := filtered(t, FilterOptions{}, seq, 100); got != seq {
			t.Errorf("mode %d: %q", p, got)
		}
	}
}
