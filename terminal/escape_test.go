package terminal

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"plain text, dots … and 日本語 ü 🙂", "plain text, dots … and 日本語 ü 🙂"},
		{`C:\new`, `C:\new`},
		{"a\nb\tc\rd", `a\nb\tc\rd`},
		{"\x1b]52;c;aGk=\x07", `\x1b]52;c;aGk=\x07`},
		{"\x00\x7f", `\x00\x7f`},
		{"\u009b31m", `\u009b31m`},
		{"\xff\xc3(", `\xff\xc3(`},
		{"a\u202eb\u2066c\u200fd\u061ce", `a\u202eb\u2066c\u200fd\u061ce`},
		{"\u200b\u200d\ufeff\u00ad\u2060", `\u200b\u200d\ufeff\u00ad\u2060`},
		{"\u2028\u2029", `\u2028\u2029`},
		{"\u3164\u115f\u2800\ufe0f", `\u3164\u115f\u2800\ufe0f`},
		{"\U000e0041\U000e0100", `\U000e0041\U000e0100`},
		{"\ue000\ufffe\U0010ffff", `\ue000\ufffe\U0010ffff`},
		{"\ufffd", "\ufffd"},
	}
	for _, tt := range tests {
		if got := Escape(tt.in); got != tt.want {
			t.Errorf("Escape(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := EscapeText("a\n\tb\r\x1b"); got != "a\n\tb\\r\\x1b" {
		t.Errorf("EscapeText: %q", got)
	}
}

// dangerous is written apart from the code that it judges.
func dangerous(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0xad, r == 0x61c, r == 0x180e, r == 0x2800, r == 0x3164:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff:
		return true
	case r >= 0xfe00 && r <= 0xfe0f, r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe0fff:
		return true
	}
	return unicode.Is(unicode.Bidi_Control, r)
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "a\x1b[31mb", "\xff\xfe", "\u202e\U000e0041", `\x1b`, "é\u0301\ufe0f", "\x7f", "plain\x7ftail", "é\u202eplain\U000e0041"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := Escape(s)
		if !utf8.ValidString(e) || strings.ContainsFunc(e, dangerous) {
			t.Errorf("Escape(%q) = %q", s, e)
		}
		if Escape(e) != e {
			t.Errorf("escaping %q twice changes it", s)
		}
		text := EscapeText(s)
		if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && dangerous(r) }) || !utf8.ValidString(text) {
			t.Errorf("EscapeText(%q) = %q", s, text)
		}
		js, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		safe := EscapeJSON(nil, js)
		if strings.ContainsFunc(string(safe), dangerous) {
			t.Errorf("EscapeJSON(%q) = %q", js, safe)
		}
		var a, b string
		if json.Unmarshal(js, &a) != nil || json.Unmarshal(safe, &b) != nil || a != b {
			t.Errorf("EscapeJSON changes the value: %q, %q", a, b)
		}
	})
}

func BenchmarkEscape(b *testing.B) {
	s := "node_modules/@types/node/index.d.ts"
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		Escape(s)
	}
}
