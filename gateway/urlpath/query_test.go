package urlpath

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/belljar-dev/belljar"
)

func TestParseQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"":                          "|",
		"a=1":                       "a=1|a:1",
		"a=1&b=2&a=3":               "a=1&b=2&a=3|a:1,b:2,a:3",
		"&&a=1&&":                   "a=1|a:1",
		"flag":                      "flag|flag:",
		"flag=":                     "flag=|flag:",
		"a=b=c":                     "a=b=c|a:b=c",
		"a=b+c":                     "a=b%20c|a:b c",
		"a=b%2Bc":                   "a=b%2Bc|a:b+c",
		"a=b%2bc":                   "a=b%2Bc|a:b+c",
		"%61=%62":                   "a=b|a:b",
		"a%5B%5D=1":                 "a%5B%5D=1|a[]:1",
		"a[]=1":                     "a%5B%5D=1|a[]:1",
		"q=a%26b%3Dc":               "q=a%26b%3Dc|q:a&b=c",
		"q=%C3%A4":                  "q=%C3%A4|q:ä",
		"u=http://h/p?x":            "u=http://h/p?x|u:http://h/p?x",
		"u=http%3A%2F%2Fh%2F%2525a": "u=http%3A%2F%2Fh%2F%2525a|u:http://h/%25a",
		"p=100%25":                  "p=100%25|p:100%",
		"a%3Db=1":                   "a%3Db=1|a=b:1",
		"l=1%0A2":                   "l=1%0A2|l:1\n2",
	} {
		params, canonical, err := ParseQuery(raw)
		var s []string
		for _, p := range params {
			s = append(s, p.Name+":"+p.Value)
		}
		if got := canonical + "|" + strings.Join(s, ","); got != want || err != nil {
			t.Errorf("%q: %q %v, want %q", raw, got, err, want)
		}
	}
	for raw, want := range map[string]error{
		"a=1;b=2": ErrSemicolon, ";": ErrSemicolon,
		"=1": ErrNameless, "=": ErrNameless, "a=1&=2": ErrNameless,
		"a=%": ErrQueryCode, "a=%4": ErrQueryCode, "a=%zz": ErrQueryCode, "a=%u0041": ErrQueryCode,
		"a=%c0%af": ErrQueryUTF8, "%e0%80%a6=1": ErrQueryUTF8, "a=%ff": ErrQueryUTF8, "a=%ed%a0%80": ErrQueryUTF8,
		"a=%00": ErrQueryByte, "a%00=1": ErrQueryByte, "a=%7f": ErrQueryByte,
		"a=1%2526b%253D2": ErrNested, "a=%252526": ErrNested, "a%2526b=1": ErrNested, "a=%25252525252525252525": ErrNested, "a=%250a": ErrNested,
		"a=1#b=2": ErrByte, "a=ä": ErrByte, "a= ": ErrByte,
		strings.Repeat("a=1&", MaxParams+1):      ErrParams,
		strings.Repeat("a&", 10_000):             ErrParams,
		"a=" + strings.Repeat("x", MaxLen):       ErrLong,
		strings.Repeat("a=1&", MaxParams) + "b=": ErrParams,
	} {
		if params, _, err := ParseQuery(raw); !errors.Is(err, want) {
			t.Errorf("%.40q: %v %v, want %v", raw, params, err, want)
		}
	}
	if _, _, err := ParseQuery(strings.Repeat("a=1&", MaxParams)); err != nil {
		t.Error(err)
	}
}

// FuzzParseQuery: where Go's own reading takes a query, it is the same.
func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"a=1&b=2", "a+b=%2B&c", "&&=", "a%26b=1;c", "%u0041", "a=%c0%af", "a=%2526", "a[]=1&a[]=2", "q=%C3%A4#x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		params, canonical, err := ParseQuery(raw)
		if err != nil {
			if params != nil || canonical != "" {
				t.Fatal("something with an error")
			}
			return
		}
		again, same, err := ParseQuery(canonical)
		if err != nil || same != canonical || !slices.Equal(again, params) {
			t.Fatalf("%q is no fixed point: %q %q %v", raw, canonical, same, err)
		}
		theirs, err := url.ParseQuery(canonical)
		if err != nil {
			t.Fatalf("%q: %v", canonical, err)
		}
		want := map[string][]string{}
		for _, p := range params {
			if p.Name == "" || !utf8.ValidString(p.Name+p.Value) || strings.ContainsRune(p.Name+p.Value, 0) {
				t.Fatalf("%q: %q", raw, p)
			}
			want[p.Name] = append(want[p.Name], p.Value)
		}
		if fmt.Sprint(want) != fmt.Sprint(map[string][]string(theirs)) {
			t.Fatalf("%q: %v, and for others %v", raw, want, theirs)
		}
		if strings.ContainsAny(canonical, "; #+\"<>\\^`{|}") || len(params) > MaxParams {
			t.Fatalf("%q", canonical)
		}
		rule := belljar.NetRule{Host: "h", Ports: []uint16{443}, Constraint: belljar.Constraint{Query: &belljar.QueryRule{}}}
		n := belljar.Network{Rules: []belljar.NetRule{rule}}
		q := belljar.NetRequest{Host: "h", Port: 443, Method: "GET", Path: "/", Detail: &belljar.RequestDetail{Params: params}}
		if n.Decide(q).Allow != (len(params) == 0) {
			t.Fatalf("%q: a parameter that is not named passes", raw)
		}
	})
}
