package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway/urlpath"
	"github.com/belljar-dev/belljar/internal/testenv"
)

// everyPath lists all strings of up to n letters of the alphabet behind a slash.
func everyPath(alphabet []string, n int) []string {
	all := []string{"/"}
	for start := 0; n > 0; n-- {
		end := len(all)
		for _, p := range all[start:end] {
			for _, c := range alphabet {
				all = append(all, p+c)
			}
		}
		start = end
	}
	return all
}

// A pattern lies within others exactly when each path that matches it matches one of
// them, for every short path.
func TestPatternWithin(t *testing.T) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 5))
	paths := everyPath([]string{"a", "b", "/", "%2A"}, 5)
	pieces := []string{"/", "a", "b", "*", "**", "/a", "/*", "%2A"}
	random := func() string {
		s := "/"
		for range r.IntN(4) {
			s += pick(r, pieces)
		}
		return s
	}
	var within, without int
	for range rounds(3000, 100_000) {
		a := random()
		var bs []string
		for range 1 + r.IntN(3) {
			bs = append(bs, random())
		}
		got := newWork().patternWithin(a, bs)
		counter := slices.IndexFunc(paths, func(p string) bool {
			return belljar.MatchPath(a, p) && !slices.ContainsFunc(bs, func(b string) bool { return belljar.MatchPath(b, p) })
		})
		if got && counter >= 0 {
			t.Fatalf("%s within %v, but %s", a, bs, paths[counter])
		}
		if !got && counter < 0 && len(tokens(a)) <= 5 {
			t.Fatalf("%s not within %v, but no short path says so", a, bs)
		}
		if got {
			within++
		} else {
			without++
		}
	}
	if min(within, without) < 100 {
		t.Errorf("%d within, %d not", within, without)
	}
}

// What both patterns allow is allowed by their common part, where there is one that a
// pattern can name, and nothing else ever is.
func TestBothRequests(t *testing.T) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 6))
	for range rounds(5000, 100_000) {
		a, b := randomRequests(r), randomRequests(r)
		q, ok := newWork().both(a, b)
		for _, m := range askMethods[2:] {
			for _, p := range askRequests {
				of := func(q requests) bool {
					rule := belljar.NetRule{Host: "h", Ports: []uint16{80}, Methods: q.methods, Paths: q.paths}
					return matches(rule, belljar.NetRequest{Host: "h", Port: 80, Method: m, Path: p})
				}
				if ok && of(q) && !(of(a) && of(b)) {
					t.Fatalf("%s of %s and %s allows %s %s", q.text(), a.text(), b.text(), m, p)
				}
			}
		}
	}
}

// A hostile pattern takes no longer than its bound.
func TestPatternWithinIsBounded(t *testing.T) {
	a := "/" + strings.Repeat("*a", 250)
	var bs []string
	for i := range 64 {
		bs = append(bs, "/"+strings.Repeat("*a", 200+i%50))
	}
	if newWork().patternWithin(a, bs[:1]) && !newWork().patternWithin(a, bs) {
		t.Error("more patterns allow less")
	}
	if newWork().patternWithin("/**", []string{"/" + strings.Repeat("a", 500)}) {
		t.Error("everything lies in one path")
	}
	// Two files as large and as nasty as they may be.
	nasty := func(c string) *Policy {
		var b strings.Builder
		b.WriteString("version: 1\nnetwork:\n  allow:\n")
		for i := range 30 {
			b.WriteString("    - {host: a.test, paths: [")
			for j := range maxPaths {
				fmt.Fprintf(&b, "\n      \"/%s%d\",", strings.Repeat("*"+c, 240), i*maxPaths+j)
			}
			b.WriteString("]}\n")
		}
		d, faults := parse(b.String(), layerUser)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		return merged(d, nil, nil, nil, false)
	}
	changes, one, two := 0, nasty("a"), nasty("b")
	took := testenv.Work(t, func() { changes = len(Diff(one, two)) })
	if changes != 60 || took > 5*time.Minute {
		t.Errorf("%d changes after %v", changes, took)
	}
	t.Logf("compared in %v", took)
}

func TestRequestsOfARule(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{`{host: a.test, methods: [get]}`, `write GET`},
		{`{host: a.test, methods: [DELET]}`, `did you mean "DELETE"?`},
		{`{host: a.test, methods: ["G T"]}`, `is not a method`},
		{`{host: a.test, methods: [CONNECT]}`, `tunnel`},
		{`{host: a.test, methods: []}`, `it would allow nothing`},
		{`{host: a.test, paths: []}`, `it would allow nothing`},
		{`{host: a.test, paths: [repos]}`, `write /repos`},
		{`{host: a.test, paths: ["/a/../b"]}`, `has a .. in it`},
		{`{host: a.test, paths: ["/a/."]}`, `has a . in it`},
		{`{host: a.test, paths: ["/a//b"]}`, `write /a/b`},
		{`{host: a.test, paths: ["/a%2Fb"]}`, `encoded slash`},
		{`{host: a.test, paths: ["/a%5cb"]}`, `encoded slash`},
		{`{host: a.test, paths: ["/%61"]}`, `write /a`},
		{`{host: a.test, paths: ["/%c3%a9"]}`, `write /%C3%A9`},
		{`{host: a.test, paths: ["/é"]}`, `write /%C3%A9`},
		{`{host: a.test, paths: ["/a b"]}`, `write /a%20b`},
		{`{host: a.test, paths: ["/a?b=c"]}`, `query says`},
		{`{host: a.test, paths: ["/100%"]}`, `write %25`},
		{`{cidr: 10.0.0.1, methods: [GET]}`, `not to addresses`},
		{`{host: a.test, paths: ["/` + strings.Repeat("a", 600) + `"]}`, `more than 512 bytes`},
		{`{host: a.test, methods: [GET, POST], paths: ["/repos/acme/**"]}`, ``},
		{`{host: localhost, ports: [80], methods: [BREW]}`, ``},
	} {
		_, faults := parse("version: 1\nnetwork:\n  allow:\n    - "+c.rule+"\n", layerUser)
		if (c.want == "") != (len(faults) == 0) || !strings.Contains(faults.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.rule, faults, c.want)
		}
	}
	for _, p := range []string{"/", "/a/b.c~d_e-f", "/a%20b", "/%C3%A9", "/a;b=c,d", "/@scope/x", "/a%3Bb", "/a:b", "/%5Bx%5D", "/!$&'()+"} {
		if s, err := parsePathPattern(p); err != nil {
			t.Errorf("%s: %v, %s", p, err, s)
		}
		if got, err := urlpath.Parse(p); err != nil || got.Path != p {
			t.Errorf("the gateway judges %s as %s, %v", p, got.Path, err)
		}
	}
	for _, p := range []string{"/[x]", "/{x}", "/a|b", "/é", "/%61", "/a%2fb", "/%c3%a9", "/x^y"} {
		if _, err := parsePathPattern(p); err == nil {
			t.Errorf("%s is taken", p)
		}
	}
	d, _ := parse("version: 1\nnetwork: {allow: [{host: a.test, methods: [POST, HEAD, GET, POST], paths: [/b, /a, /b]}]}\n", layerUser)
	if got := ruleText(d.allow.items[0].value); got != `{host: "a.test", ports: [443], methods: ["GET", "POST"], paths: ["/a", "/b"]}` {
		t.Error(got)
	}
}

// Diff names exactly the requests that changed.
func TestDiffOfRequests(t *testing.T) {
	of := func(rules string) *Policy {
		d, faults := parse("version: 1\nnetwork: {allow: ["+rules+"]}\n", layerUser)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		return merged(d, nil, nil, nil, false)
	}
	for _, c := range []struct{ old, new, want string }{
		{`{host: a.test, methods: [GET]}`, `{host: a.test, methods: [GET, HEAD]}`, ""},
		{`{host: a.test, paths: [/a/**, /b]}`, `{host: a.test, paths: [/b]}, {host: a.test, paths: [/a/**]}`, ""},
		{`{host: a.test, methods: [GET], paths: [/a/**]}`, `{host: a.test, methods: [GET], paths: [/a/b/*]}`,
			"- network.allow: a.test:443 GET /a/** (except a.test:443 GET /a/b/*)"},
		{`{host: a.test, methods: [GET]}`, `a.test`, "+ network.allow: a.test:443 (except a.test:443 GET)"},
		{`{host: "*.a.test", methods: [GET]}`, `{host: b.a.test, methods: [GET, POST]}`,
			"+ network.allow: b.a.test:443 GET|POST (except b.a.test:443 GET)\n- network.allow: *.a.test:443 GET (except b.a.test:443 GET|POST)"},
	} {
		var l []string
		for _, x := range Diff(of(c.old), of(c.new)) {
			l = append(l, x.String())
		}
		if got := strings.Join(l, "\n"); got != c.want {
			t.Errorf("%s to %s:\n%s", c.old, c.new, got)
		}
	}
}

func ExampleDiff() {
	of := func(text string) *Policy {
		d, _ := parse("version: 1\nnetwork: {allow: ["+text+"]}\n", layerUser)
		return merged(d, nil, nil, nil, false)
	}
	for _, c := range Diff(of(`{host: api.github.com, methods: [GET]}`), of(`{host: api.github.com, methods: [GET, POST]}`)) {
		fmt.Println(c)
	}
	// Output: + network.allow: api.github.com:443 GET|POST (except api.github.com:443 GET)
}
