package urlpath

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		raw, path string
		err       error
	}{
		{"/", "/", nil},
		{"*", "*", nil},
		{"/v1/messages", "/v1/messages", nil},
		{"/v1/%6d%65ssages", "/v1/messages", nil},
		{"/a%2db%5F%7e", "/a-b_~", nil},
		{"/a%c3%a9", "/a%C3%A9", nil},
		{"/a*b", "/a%2Ab", nil},
		{"/a%2ab", "/a%2Ab", nil},
		{"/[x]{y}|^`<>\"", "/%5Bx%5D%7By%7D%7C%5E%60%3C%3E%22", nil},
		{"/a!$&'()+,;=:@", "/a!$&'()+,;=:@", nil},
		{"/a%21", "/a%21", nil},
		{"/@scope%2fname", "/@scope%2Fname", nil},
		{"//a//b", "//a//b", nil},
		{"/...", "/...", nil},
		{"/.git", "/.git", nil},
		{"/a%252e", "/a%252e", nil},
		{"/a%E0%A4%85", "/a%E0%A4%85", nil},
		{"", "", ErrForm},
		{"a", "", ErrForm},
		{"http://a/", "", ErrForm},
		{"*?x", "", ErrForm},
		{"/.", "", ErrDots},
		{"/..", "", ErrDots},
		{"/a/../b", "", ErrDots},
		{"/a/./b", "", ErrDots},
		{"/a/%2e%2E/b", "", ErrDots},
		{"/a/.%2e", "", ErrDots},
		{"/a/..;x=1/b", "", ErrDots},
		{"/a/..%3bx/b", "", ErrDots},
		{"/a/..%2fb", "", ErrDots},
		{"/a%2f..", "", ErrDots},
		{"/a%2f%2e%2e%2fb", "", ErrDots},
		{`/a\b`, "", ErrSlashes},
		{"/a%5cb", "", ErrSlashes},
		{"/a%00", "", ErrControl},
		{"/a%0d%0a", "", ErrControl},
		{"/a%7f", "", ErrControl},
		{"/a%", "", ErrEscape},
		{"/a%2", "", ErrEscape},
		{"/a%zz", "", ErrEscape},
		{"/a%u002e", "", ErrEscape},
		{"/%c0%ae%c0%ae/", "", ErrUTF8},
		{"/%e0%80%af", "", ErrUTF8},
		{"/%f0%80%80%af", "", ErrUTF8},
		{"/a b", "", ErrByte},
		{"/a\x00", "", ErrByte},
		{"/é", "", ErrByte},
		{"/a?q=\n", "", ErrByte},
		{"/a#b", "", ErrMark},
		{"/a/..%20/b", "", ErrDots},
		{"/a/..%20;x/b", "", ErrDots},
		{"/" + strings.Repeat("a", MaxPath), "", ErrLong},
		{"/?" + strings.Repeat("a", MaxLen), "", ErrLong},
	} {
		got, err := Parse(c.raw)
		if !errors.Is(err, c.err) || got.Path != c.path {
			t.Errorf("%.60q: %q, %v; want %q, %v", c.raw, got.Path, err, c.path, c.err)
		}
	}
}

func TestNested(t *testing.T) {
	for raw, want := range map[string]bool{
		"/a%25": false, "/a%2525": false, "/a%2541": false, "/100%25%20": false, "/a%20b": false,
		"/a%252e": false, "/%252e%252e/b": true, "/a/%25252e./b": true, "/a%252fb": true, "/a%255cb": true, "/a%2500": true, "/a/..%253bx/b": true, "/%" + strings.Repeat("25", 10) + "41": true,
	} {
		got, err := Parse(raw)
		if err != nil || got.Nested != want {
			t.Errorf("%s: nested %v, %v", raw, got.Nested, err)
		}
	}
}

func TestQueryIsUntouched(t *testing.T) {
	for _, raw := range []string{"/a?", "/a?b=%zz&c=../..&d=%2f?x", "/a"} {
		got, err := Parse(raw)
		if err != nil || got.String() != raw {
			t.Errorf("%q: %q, %v", raw, got.String(), err)
		}
	}
}

// TestLongSpelling: a target that is too long only in its one spelling is refused too.
func TestLongSpelling(t *testing.T) {
	for _, raw := range []string{"/" + strings.Repeat("^", MaxPath-1), "/" + strings.Repeat("^", MaxPath/3) + "?" + strings.Repeat("x", MaxLen-MaxPath/3-2)} {
		if got, err := Parse(raw); err != ErrLong || got.Path != "" {
			t.Errorf("%d bytes become %d, %v", len(raw), len(got.String()), err)
		}
	}
	if _, err := Parse("/" + strings.Repeat("^", MaxPath/3-1)); err != nil {
		t.Error(err)
	}
}

// FuzzParse: the form is a fixed point, means what was sent, has no segment that a
// server could read as another place, and no pattern matches it that does not match
// it decoded.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"/", "/a/b?c", "/%2e%2e/", "/a%2fb", "/*", "/a*%2A", "/%c0%ae", "//x;y", "/a/..;/b", "/%25%32%65"} {
		for _, p := range []string{"/**", "/a/*", "/a*b"} {
			f.Add(s, p)
		}
	}
	f.Fuzz(func(t *testing.T, raw, pattern string) {
		got, err := Parse(raw)
		if err != nil {
			if got.Path != "" {
				t.Errorf("%q: %q with an error", raw, got.Path)
			}
			return
		}
		again, err := Parse(got.String())
		if err != nil || again != got {
			t.Fatalf("%q: %q becomes %q, %v", raw, got, again, err)
		}
		if got.Path == "*" {
			return
		}
		sent, _, _ := strings.Cut(raw, "?")
		want, err := url.PathUnescape(sent)
		if err != nil || got.Unescape() != want {
			t.Fatalf("%q means %q, was sent as %q, %v", got.Path, got.Unescape(), want, err)
		}
		u := url.URL{Path: got.Unescape(), RawPath: got.Path, RawQuery: got.Query, ForceQuery: got.HasQuery}
		if u.RequestURI() != got.String() {
			t.Fatalf("%q is written as %q", got.String(), u.RequestURI())
		}
		for seg := range strings.SplitSeq(got.Unescape(), "/") {
			if seg == "." || seg == ".." || strings.ContainsAny(seg, "\\\x00\r\n") {
				t.Fatalf("%q: segment %q", raw, seg)
			}
		}
		if strings.Contains(pattern, "%") || strings.Contains(got.Unescape(), "%") || got.Slash {
			return // escapes of a pattern are not decoded here, and a decoded %25 would begin one
		}
		if belljar.MatchPath(pattern, got.Path) && !belljar.MatchPath(pattern, got.Unescape()) {
			t.Fatalf("%q matches %q, but not decoded", pattern, got.Path)
		}
	})
}
