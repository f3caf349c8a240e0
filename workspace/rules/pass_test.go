package rules

import (
	"testing"

	"github.com/belljar-dev/belljar"
)

func passRules(t testing.TB, pass ...string) *Rules {
	t.Helper()
	o := Options{Mode: belljar.ModeReview, Hold: []belljar.Pattern{{Glob: "src/held/**"}}}
	for _, p := range pass {
		o.Pass = append(o.Pass, belljar.Pattern{Glob: p, Origin: belljar.Origin{Layer: "user", Line: 3}})
	}
	return mustRules(t, o)
}

// What passes in mode review is what a pattern names and nothing holds, hides or denies.
func TestPass(t *testing.T) {
	for _, c := range []struct {
		pattern string
		kind    Kind
		entry   Entry
		path    string
	}{
		{"src/**", Pass, File, "src/a.go"},
		{"src/**", Pass, Dir, "src/a/b"},
		{"src/**", Pass, File, "SRC/a.go"}, // names are folded, as everywhere
		{"src/**", Hold, File, "lib/a.go"},
		{"src/**", Hold, File, "a/src/a.go"},
		{"src/**", Hold, File, "src.go"},
		{"src/**", Hold, File, "src/.vscode/tasks.json"},
		{"src/**", Hold, File, "src/.VSCode/tasks.json"},
		{"src/**", Hold, File, "src/held/x"},
		{"src/**", Hold, File, "src/HEAD"},
		{"src/**", Hold, File, "src/.git"},
		{"src/**", Hold, File, "src/sub/.git/config"},
		{"src/**", Hold, File, "src/sub/.git/hooks/pre-commit"},
		{"src/**", Pass, File, "src/sub/.git/logs/HEAD"},
		{"src/**", Hide, File, "src/.env"},
		{"src/**", Hide, File, "src/.env~"},
		{"src/**", Hold, File, ".git/logs/HEAD"},
		{"src", Pass, File, "src/a/b/c"}, // a folder stands for all below
		{"*.md", Pass, File, "a/b/README.md"},
		{"*.md", Hold, File, "a/b/README.txt"},
		{".vscode/**", Hold, File, ".vscode/tasks.json"},
		{".env", Hide, File, ".env"},
		{".git/**", Hold, File, ".git/config"},
		{".git/hooks/**", Hold, File, ".git/hooks/pre-commit"},
		{"belljar.yaml", Hold, File, "belljar.yaml"},
		{"**", Hold, File, "belljar.yaml"},
	} {
		if _, v := walk(passRules(t, c.pattern), c.path, c.entry); v.Kind != c.kind {
			t.Errorf("pass %s: %s is %v (%s), want %v", c.pattern, c.path, v.Kind, v.Reason, c.kind)
		}
	}
}

// The pattern ** is mode live.
func TestPassAll(t *testing.T) {
	all, live := passRules(t, "**"), mustRules(t, Options{Hold: []belljar.Pattern{{Glob: "src/held/**"}}})
	for _, p := range []string{"a", "a/b", "Makefile", ".env", ".vscode/x", "src/held/x", ".git/config", ".git/index", ".git/HEAD", ".git/objects/ab/cd", ".git/refs/heads/x", ".git/logs/HEAD", "HEAD", "a/HEAD", ".git/modules/m/HEAD"} {
		for _, e := range []Entry{Any, File, Dir, Link, File | Fresh, Dir | Fresh, Link | Fresh} {
			_, v := walk(all, p, e)
			_, w := walk(live, p, e)
			if v.Kind != w.Kind || v.Class != w.Class || v.LockOnly != w.LockOnly || v.Lasting != w.Lasting || v.Guard != w.Guard {
				t.Errorf("%s %d: %+v, live %+v", p, e, v, w)
			}
		}
	}
	for _, p := range []string{".git", ".git/HEAD", ".git/objects", "a/.git"} {
		dir, name := splitTest(p)
		s, w := all.Root(), live.Root()
		for _, c := range dir {
			s, _ = s.Judge(c, Dir)
			w, _ = w.Judge(c, Dir)
		}
		if a, b := s.Remove(name, Dir), w.Remove(name, Dir); a.Kind != b.Kind {
			t.Errorf("removing %s: %v, live %v", p, a.Kind, b.Kind)
		}
	}
}

func splitTest(p string) (dir []string, name string) {
	for i := 0; i < len(p); i++ {
		if p[i] == '/' {
			dir, p, i = append(dir, p[:i]), p[i+1:], -1
		}
	}
	return dir, p
}

// A folder that a rename would take across the border has another state; one that
// stays on its side has not.
func TestPassBorder(t *testing.T) {
	r := passRules(t, "src/**", "*.md")
	state := func(p string) State { s, _ := walk(r, p, Dir); return s }
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"src/a", "src/b", true}, {"src/a/c", "src/b", true}, {"lib/a", "lib/b", true}, {"lib/a", "doc/x/y", true},
		{"src/a", "lib/a", false}, {"src", "lib", false}, {"src/a", "src/a.md", true}, {"lib/a", "lib/a.md", false},
	} {
		if same := state(c.a) == state(c.b); same != c.same {
			t.Errorf("%s and %s: same state %v, want %v", c.a, c.b, same, c.same)
		}
	}
}
