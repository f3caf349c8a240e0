package policy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/google/go-cmp/cmp"
)

func TestCeiling(t *testing.T) {
	b := newBench(t).ceiling(`version: 1
tier: strong
workspace: {mode: review}
files: {read: [~/lib], write: [], hide: ["*.corp"]}
network:
  allow: ["*.anthropic.com", {host: a.example.com, ports: [80, 443]}, {cidr: 10.0.0.0/8, ports: [22]}]
  registries: [npm]
  publish: [3000]
limits: {memory: 4GiB}
env: {pass: [EDITOR]}
`)
	b.opts.Command = "claude"
	p := b.must()
	mode, origin := p.Mode()
	if mode != belljar.ModeReview || origin.Layer != "ceiling" || origin.Line != 3 || p.Tier() != "strong" || p.Limits().Memory != 4<<30 {
		t.Errorf("%v %v %s", mode, origin, p.canonical())
	}
	if d := cmp.Diff([]string{"api.anthropic.com", `{host: "api.anthropic.com", ports: [443], paths: ["/api/**"]}`}, hosts(p)); d != "" {
		t.Error(d)
	}
	if e := hides(p, "*.corp"); e.Layer != "ceiling" {
		t.Errorf("%+v", e)
	}
	if !slices.Contains(p.EnvPass(), "TERM") || slices.Contains(p.EnvPass(), "ANTHROPIC_BASE_URL") {
		t.Errorf("%v", p.EnvPass())
	}
	if !slices.ContainsFunc(p.Cuts(), func(c Cut) bool { return c.What == "env.pass: ANTHROPIC_BASE_URL" && c.By.Line == 10 }) {
		t.Errorf("%v", p.Cuts())
	}
	for _, f := range []struct {
		flags Flags
		line  string
	}{
		{Flags{Allow: []string{"evil.example.com"}}, ":6"},
		{Flags{Allow: []string{"a.example.com:22"}}, ":6"},
		{Flags{Allow: []string{"11.0.0.1:22"}}, ":6"},
		{Flags{Allow: []string{"10.0.0.1:23"}}, ":6"},
		{Flags{Read: []string{"~/other"}}, ":4"},
		{Flags{Write: []string{"/srv/x"}}, ":4"},
		{Flags{Mode: "live"}, ":3"},
		{Flags{Tier: "weak"}, ":2"},
		{Flags{Memory: "5GiB"}, ":9"},
		{Flags{Env: []string{"HOMEBREW"}}, ":10"},
	} {
		b.opts.Flags = f.flags
		b.refused(belljar.KindUsage, b.opts.CeilingFile+f.line, "ceiling")
	}
	b.opts.Flags = Flags{
		Allow: []string{"a.example.com:80", "a.example.com", "10.1.2.3:22", "x.anthropic.com"}, Read: []string{"~/lib/a"}, Mode: "readonly", Tier: "strong",
		Memory: "1GiB", Env: []string{"EDITOR", "X=y"}, Hide: []string{"x"},
	}
	b.must()
	// Trust does not help against the ceiling.
	b.opts.Flags = Flags{}
	b.opts.Trusted = func(string) bool { return true }
	b.project("version: 1\nnetwork: {registries: [npm, go]}\n").refused(belljar.KindUsage, b.opts.ProjectFile+":2", b.opts.CeilingFile+":7")
}

// A rule that is wider than the ceiling is narrowed when only a preset says it.
func TestCeilingNarrowsPresets(t *testing.T) {
	b := newBench(t).ceiling("version: 1\nnetwork: {allow: [github.com:80, 'github.com:443', gitlab.com:22]}\n")
	b.opts.Presets = []string{"git"}
	p := b.must()
	if d := cmp.Diff([]string{"github.com"}, hosts(p)); d != "" {
		t.Error(d)
	}
	b.ceiling("version: 1\nenv: {set: {A: b}}\nextends: [git]\n").refused(belljar.KindUsage, "env.set", "extends")
}

func TestCeilingMustBeOutOfReach(t *testing.T) {
	b := newBench(t).ceiling("version: 1\n")
	b.must()
	if _, err := load(b.opts, os.Geteuid()+1); belljar.KindOf(err) != belljar.KindRefused {
		t.Errorf("somebody else's ceiling: %v", err)
	}
	for _, m := range []struct {
		path string
		mode os.FileMode
	}{{b.opts.CeilingFile, 0o620}, {b.opts.CeilingFile, 0o602}, {filepath.Dir(b.opts.CeilingFile), 0o770}, {filepath.Dir(b.opts.CeilingFile), 0o702}} {
		fi, err := os.Stat(m.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(m.path, m.mode); err != nil {
			t.Fatal(err)
		}
		b.refused(belljar.KindRefused, "written to by others")
		if err := os.Chmod(m.path, fi.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	b.must()
	link := filepath.Join(filepath.Dir(b.opts.CeilingFile), "link")
	if err := os.Symlink(b.opts.CeilingFile, link); err != nil {
		t.Fatal(err)
	}
	b.opts.CeilingFile = link
	b.refused(belljar.KindRefused, "symbolic link")
	b.opts.CeilingFile = filepath.Dir(link)
	b.refused(belljar.KindRefused, "regular file")
	b.opts.CeilingFile = filepath.Join(link, "x")
	b.refused(belljar.KindRefused)
}
