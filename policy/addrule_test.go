package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestWithRule: the rule is added where it belongs, every other byte stays, and what
// belljar does not edit it leaves alone.
func TestWithRule(t *testing.T) {
	rule := belljar.NetRule{Host: "new.example.com", Ports: []uint16{443}, Methods: []string{"GET"}, Paths: []string{"/a%20b"}}
	const text = `{host: "new.example.com", ports: [443], methods: ["GET"], paths: ["/a%20b"]}`
	for _, c := range []struct{ old, want string }{
		{"", "version: 1\nnetwork:\n  allow:\n    - @  # why\n"},
		{"version: 1", "version: 1\nnetwork:\n  allow:\n    - @  # why\n"},
		{"version: 1\n# the end\n", "version: 1\n# the end\nnetwork:\n  allow:\n    - @  # why\n"},
		{"version: 1\r\ntier: auto\r\n", "version: 1\r\ntier: auto\r\nnetwork:\r\n  allow:\r\n    - @  # why\r\n"},
		{"version: 1\nnetwork:\n    # mine\n    publish: [1]\ntier: auto\n", "version: 1\nnetwork:\n    # mine\n    allow:\n      - @  # why\n    publish: [1]\ntier: auto\n"},
		{"version: 1\nnetwork:\n  allow:\n  # first\n  - a.example.com   # is it?\n\n  - {host: b.example.com}\n", "version: 1\nnetwork:\n  allow:\n  # first\n  - @  # why\n  - a.example.com   # is it?\n\n  - {host: b.example.com}\n"},
		{"version: 1\nnetwork: {allow: [a.example.com], publish: [1]} # x\n", "version: 1\nnetwork: {allow: [@, a.example.com], publish: [1]} # x\n"},
		{"version: 1\nnetwork: {publish: [1]}\n", "version: 1\nnetwork: {allow: [@], publish: [1]}\n"},
		{"version: 1\nnetwork:\n  allow: [\n    a.example.com,\n  ]\n", "version: 1\nnetwork:\n  allow: [@, \n    a.example.com,\n  ]\n"},
		{"version: 1\nnetwork:\n  allow:\n    - " + text + "\n", "="},
		{"version: 1\nnetwork: {allow: []}\n", ""}, // it would no longer take away
		{"version: 1\nnetwork:\n", ""},
		{"version: 1\nnetwork: {allow: a.example.com}\n", ""},
		{"{version: 1}\n", ""},
		{"version: 1\n...\n", ""},
		{"version: 1\n---\nversion: 1\n", ""},
		{"version: [", ""},
		{"tier: auto\n", ""},
	} {
		got, err := withRule([]byte(c.old), rule, " why\n")
		want := strings.ReplaceAll(c.want, "@", text)
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%q was edited: %q", c.old, got)
		case c.want == "=" && string(got) != c.old:
			t.Errorf("%q was there already: %q", c.old, got)
		case c.want != "" && c.want != "=" && (err != nil || string(got) != want):
			t.Errorf("%q: %v\n%q\nwant\n%q", c.old, err, got, want)
		}
	}
}

// TestAddRule: concurrent additions all arrive, through a link, and the file is a policy.
func TestAddRule(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "dotfiles", "policy.yaml"), filepath.Join(dir, "config", "policy.yaml")
	for _, d := range []string{filepath.Dir(real), filepath.Dir(link)} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(real, []byte("version: 1\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if added, err := AddRule(link, belljar.NetRule{Host: fmt.Sprintf("h%d.example.com", i), Ports: []uint16{443}}, "test"); err != nil || !added {
				t.Error(added, err)
			}
		})
	}
	wg.Wait()
	if fi, err := os.Lstat(link); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is gone")
	}
	if fi, err := os.Stat(real); err != nil || fi.Mode().Perm() != 0o640 {
		t.Error("the mode changed")
	}
	b := newBench(t)
	b.opts.UserFile = real
	if n := b.must().Network(); len(n.Rules) != 20 {
		t.Errorf("%d rules", len(n.Rules))
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	if hidden, _ := filepath.Glob(filepath.Join(dir, "*", ".*")); len(left) != 2 || len(hidden) != 0 {
		t.Errorf("left behind: %q %q", left, hidden)
	}
}
