package glob

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"*.pem", []string{"a.pem", "x/y/a.PEM", ".pem"}, []string{"a.pemx", "a.pem/x", "pem"}},
		{".env*", []string{".env", "a/.ENV.local", ".envrc"}, []string{"env", "a/env", ".en"}},
		{"/a", []string{"a", "A", "/a"}, []string{"b/a", "a/b"}},
		{"a/b", []string{"a/b"}, []string{"x/a/b", "a/x/b", "a", "b"}},
		{"deploy/**", []string{"deploy/x", "deploy/x/y"}, []string{"deploy", "x/deploy/y"}},
		{"**/x/**", []string{"x/a", "a/x/b/c"}, []string{"x", "a/x"}},
		{"**/*.tfstate", []string{"a.tfstate", "x/y/z.tfstate"}, []string{"a.tfstate.bak"}},
		{"a/**/b", []string{"a/b", "a/x/b", "a/x/y/b"}, []string{"a", "b", "x/a/b", "a/b/c"}},
		{"**", []string{"a", "a/b"}, []string{""}},
		{"{a,b{1,2}}.txt", []string{"a.txt", "x/b1.txt", "b2.txt"}, []string{"b.txt", "b3.txt"}},
		{"/secrets/{a,b/c}.json", []string{"secrets/a.json", "secrets/b/c.json"}, []string{"secrets/b.json"}},
		{"[a-c]?[!x]", []string{"bzy", "Q/czz", "Bzz"}, []string{"bzx", "bzX", "dzz", "bz"}},
		{`\*.\[`, []string{"*.["}, []string{"a.["}},
		{"[]]a", []string{"]a"}, []string{"a"}},
		{"dir/", []string{"dir", "x/dir"}, []string{"dir/x"}},
		{"*-service-account.json", []string{"x-service-account.json"}, []string{"service.json"}},
		{"café", []string{"CAFÉ", "cafe\u0301", "ca\u200dfé"}, []string{"cafe"}},
		{".ssh", []string{".SSH", ".\u017fſh", ".ßh", ".s\u200csh"}, []string{"ssh"}},
		{"a*b*c", []string{"abc", "aXbYc", "abbbc"}, []string{"ab", "abcd"}},
		{"{,a}x", []string{"x", "ax"}, []string{"bx"}},
		{"a,b", []string{"a,b"}, []string{"a"}},
	} {
		g, err := Compile(c.pattern)
		if err != nil {
			t.Errorf("Compile(%q): %v", c.pattern, err)
			continue
		}
		for _, p := range c.yes {
			if !g.Match(p) {
				t.Errorf("%q does not match %q", c.pattern, p)
			}
		}
		for _, p := range c.no {
			if g.Match(p) {
				t.Errorf("%q matches %q", c.pattern, p)
			}
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, p := range []string{
		"", "/", "//", "a//b", "a/../b", "./a", "[", "[a", "[z-a]", "{a", "a}", "a\\", "a\x00b", "\xff",
		"[a/b]", `a\/b`, strings.Repeat("a", MaxLength+1), strings.Repeat("{a,b}", 7),
		strings.Repeat("{", 9) + strings.Repeat("}", 9), strings.Repeat("a/", 70) + "b",
		"{" + strings.Repeat("a,", 65) + "}",
	} {
		if g, err := Compile(p); err == nil {
			t.Errorf("Compile(%q) = %v, want an error", p, g)
		}
	}
}

// A pattern made to backtrack costs no more than its bound.
func TestNoBlowUp(t *testing.T) {
	g, err := Compile(strings.Repeat("*a", 200) + "b")
	if err != nil {
		t.Fatal(err)
	}
	deep, err := Compile(strings.Repeat("**/a/", 25) + "b")
	if err != nil {
		t.Fatal(err)
	}
	matched := false
	d := testenv.Work(t, func() { matched = g.Match(strings.Repeat("a", 255)) || deep.Match(strings.Repeat("a/", 2000)+"c") })
	if matched {
		t.Error("matched")
	}
	if d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

// The incremental matcher and the matcher of whole paths agree.
func TestSetAgreesWithMatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "b", "*", "?", "**", "/", "/", ".e", "{a,b}", "[ab]", "A", "é"}
	names := []string{"a", "b", "ab", "A", ".e", "é", "ba", ".ea"}
	hits := 0
	for range 3000 {
		var globs []*Glob
		for len(globs) < 5 {
			var p strings.Builder
			for range 1 + r.IntN(7) {
				p.WriteString(pieces[r.IntN(len(pieces))])
			}
			if g, err := Compile(p.String()); err == nil {
				globs = append(globs, g)
			}
		}
		s := NewSet(globs...)
		st, path := s.Root(), ""
		for range 6 {
			n := names[r.IntN(len(names))]
			path += "/" + n
			var got int
			st, got = st.Child(n)
			if want := firstMatch(globs, path); got != want {
				t.Fatalf("%v on %q: Child says %d, Match %d", globs, path, got, want)
			} else if got >= 0 {
				hits++
			}
		}
	}
	if hits < 1000 {
		t.Errorf("only %d paths matched: the test tests nothing", hits)
	}
}

func firstMatch(globs []*Glob, path string) int {
	for i, g := range globs {
		if g.Match(path) {
			return i
		}
	}
	return -1
}

func TestStatesAreComparable(t *testing.T) {
	g, _ := Compile("deploy/**")
	s := NewSet(g)
	a, _ := s.Root().Child("src")
	b, _ := s.Root().Child("lib")
	c, _ := s.Root().Child("deploy")
	d, _ := c.Child("x")
	if a != b {
		t.Error("two plain directories have different states")
	}
	if a == c || s.Root() == c {
		t.Error("deploy has the state of a plain directory")
	}
	if c != d {
		t.Error("what is below deploy has another state than deploy")
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"abc": "abc", "ABC": "abc", ".G\u200cit": ".git", "\u212aey": "key", "\xffA\xfe": "\xffA\xfe",
		"É": "é", "\u200d": "\u200d", "E\u0301": "é", ".gi\ufefft": ".git", "": "",
	} {
		if in == "\xffA\xfe" {
			want = "\xffa\xfe"
		}
		if got := Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, p := range []string{"*.pem", "a/**/b", "{a,b}", "[a-z]", "/x", "**", `\*`, ".env*", "é[!ü]"} {
		f.Add(p, "a/b/c.pem")
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(path) > 4096 {
			t.Skip()
		}
		g, err := Compile(pattern)
		if err != nil {
			return
		}
		want := -1
		if g.Match(path) {
			want = 0
		}
		if got := NewSet(g).Match(path); got != want {
			t.Errorf("%q on %q: set %d, match %d", pattern, path, got, want)
		}
	})
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"a", "É", ".ßh", "\xff", "İ", "ǰ\u0323", "\u200d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1024 {
			t.Skip()
		}
		one := Fold(s)
		if two := Fold(one); two != one {
			t.Errorf("Fold(%q) = %q, folded again %q", s, one, two)
		}
		if up := Fold(strings.ToUpper(s)); isASCII(s) && up != one {
			t.Errorf("Fold(upper %q) = %q, want %q", s, up, one)
		}
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func BenchmarkChild(b *testing.B) {
	for _, n := range []int{50, 10000} {
		var globs []*Glob
		for i := range n {
			g, err := Compile(fmt.Sprintf([]string{"name%d", "*.ext%d", "**/*.x%d"}[i%3], i))
			if err != nil {
				b.Fatal(err)
			}
			globs = append(globs, g)
		}
		st := NewSet(globs...).Root()
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				st.Child("component.go")
			}
		})
	}
}
