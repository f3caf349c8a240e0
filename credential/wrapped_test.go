package credential

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
)

// jsonASCII is text as a string of JSON without other characters than those of ASCII, so
// many times.
func jsonASCII(t *testing.T, text string, times int) string {
	t.Helper()
	for range times {
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var ascii strings.Builder
		for _, r := range string(b) {
			switch {
			case r > 0xffff:
				r -= 0x10000
				fmt.Fprintf(&ascii, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			case r > 126:
				fmt.Fprintf(&ascii, `\u%04x`, r)
			default:
				ascii.WriteRune(r)
			}
		}
		text = ascii.String()
	}
	return text
}

// TestScrubWrapped: forms that programs make by wrapping what is wrapped already, and of
// characters that are no ASCII.
func TestScrubWrapped(t *testing.T) {
	const rest = "3vqZ8mN2xK7rT5xYqw"
	twice := func(s string) string { return url.QueryEscape(url.QueryEscape(s)) }
	for _, tt := range []struct{ value, text string }{
		{"Pässwort-" + rest, jsonASCII(t, "Pässwort-"+rest, 1)},
		{"Pässwort-" + rest, strings.ReplaceAll(jsonASCII(t, "Pässwort-"+rest, 1), "00e4", "00E4")},
		{"Pässwort-" + rest, jsonASCII(t, "Pässwort-"+rest, 2)},
		{`ä"b\c🔑-` + rest, jsonASCII(t, `ä"b\c🔑-`+rest, 1)},
		{`ä"b\c🔑-` + rest, jsonASCII(t, `ä"b\c🔑-`+rest, 2)},
		{"it's-" + rest, `p = 'it\'s-` + rest + `'`},
		{"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "next=" + twice("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")},
		{"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "next=%254" + twice("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")},
		{"ab%41cd-" + rest, url.QueryEscape("ab%41cd-" + rest)},
		{`a"b\c-` + rest, jsonASCII(t, `a"b\c-`+rest, 1)},
		{`a"b\c-` + rest, jsonASCII(t, `a"b\c-`+rest, 2)},
		{`a"b\c-` + rest, jsonASCII(t, `a"b\c-`+rest, 3)},
	} {
		keys, _ := keysFor(t, tt.value)
		got := scrubbed(t, keys, strings.NewReader(tt.text))
		if strings.Contains(got, rest[3:]) || len(got) != len(tt.text) {
			t.Errorf("%q in %s became %s", tt.value, tt.text, got)
		}
		if again := scrubbed(t, keys, iotest.OneByteReader(strings.NewReader(tt.text))); again != got {
			t.Errorf("%q in %s: in pieces %s, at once %s", tt.value, tt.text, again, got)
		}
		if again := scrubbed(t, keys, strings.NewReader(got)); again != got {
			t.Errorf("%q in %s: twice %s, once %s", tt.value, tt.text, again, got)
		}
	}
}

// TestScrubWrappedShowsStandIn: the stand-in takes over the spelling.
func TestScrubWrappedShowsStandIn(t *testing.T) {
	keys, creds := keysFor(t, testKey)
	s := creds[0].StandIn
	if got, want := scrubbed(t, keys, strings.NewReader("%2573"+testKey[1:])), "%2573"+s[1:]; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
