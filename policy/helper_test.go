package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// A bench is a HOME with a workspace and policy files in it.
type bench struct {
	t    *testing.T
	home string
	opts LoadOptions
}

func newBench(t *testing.T) *bench {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, home: home}
	for _, d := range []string{"src/p", "src/shared", ".config/belljar", ".local/state/belljar", "run"} {
		if err := os.MkdirAll(filepath.Join(home, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.opts = LoadOptions{
		Home: home, Workspace: filepath.Join(home, "src/p"), Dir: filepath.Join(home, "src/p"),
		Dirs:  []string{filepath.Join(home, ".config/belljar"), filepath.Join(home, ".local/state/belljar"), filepath.Join(home, "run")},
		Tiers: []string{"strong", "weak"},
	}
	return b
}

func (b *bench) file(name, text string) string {
	b.t.Helper()
	p := filepath.Join(b.home, name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *bench) user(text string) *bench {
	b.opts.UserFile = b.file(".config/belljar/policy.yaml", text)
	return b
}

func (b *bench) project(text string) *bench {
	b.opts.ProjectFile = b.file("src/p/belljar.yaml", text)
	return b
}

// ceiling writes a ceiling that belongs to whoever runs the test.
func (b *bench) ceiling(text string) *bench {
	b.opts.CeilingFile = b.file("run/policy.yaml", text)
	return b
}

func (b *bench) load() (*Policy, error) { return load(b.opts, os.Geteuid()) }

func (b *bench) must() *Policy {
	b.t.Helper()
	p, err := b.load()
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// refused loads and wants an error of a kind that mentions every word.
func (b *bench) refused(kind belljar.Kind, words ...string) error {
	b.t.Helper()
	p, err := b.load()
	if err == nil {
		b.t.Fatalf("loaded %s", p.canonical())
	}
	if belljar.KindOf(err) != kind {
		b.t.Errorf("kind %v of %v", belljar.KindOf(err), err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.t.Errorf("%q is not in: %v", w, err)
		}
	}
	return err
}

func hosts(p *Policy) []string {
	var l []string
	for _, r := range p.Network().Rules {
		l = append(l, ruleText(r))
	}
	return l
}
