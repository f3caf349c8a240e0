package plan

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
)

// covering is a tier that asks nobody about programs and covers files.
func covering() belljar.Capabilities {
	c := fullCaps()
	c.Requirements = append(c.Requirements, belljar.Enforcement{Requirement: belljar.ReqDenied, Level: belljar.Approximate, By: "the test", Gap: "x"},
		belljar.Enforcement{Requirement: belljar.ReqCommands, Level: belljar.None, Gap: "x", Remedy: "use another tier"})
	return c
}

// denying makes the plan of a shell under rules for commands.
func (w *world) denying(commands string, best bool) (*belljar.Plan, error) {
	w.t.Helper()
	p, err := policy.Load(policy.LoadOptions{
		UserFile: w.file("policy.yaml", "version: 1\ncommands:\n"+commands), Home: w.home, Dir: w.o.Dir, Workspace: w.o.Dir, Tiers: []string{"test"},
		Dirs: []string{w.o.StateDir, w.o.RuntimeDir, w.o.ConfigDir},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.o.Denied = DeniedPrograms(p.Commands())
	f, err := Gather(context.Background(), w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	return Make(p, f, covering(), MakeOptions{BestEffort: best})
}

// denyWorld has a folder of programs of every kind.
func denyWorld(t *testing.T) *world {
	w := newWorld(t)
	w.file("tools/bin/plain", "#!/bin/sh\n")
	w.file("tools/bin/lang3.1", "#!/bin/sh\n")
	w.link("lang3.1", "tools/bin/lang3")
	w.file("tools/bin/box", "#!/bin/sh\n")
	w.link("box", "tools/bin/get")
	w.link("box", "tools/bin/put")
	w.file("tools/lib/pack/cli.js", "#!/bin/sh\n")
	w.link("../lib/pack/cli.js", "tools/bin/cli")
	for from, to := range map[string]string{"bin/plain": "libexec/other-name", "bin/lang3.1": "bin/lang3.1.2"} {
		w.mkdir("tools/libexec")
		if err := os.Link(w.at("tools/"+from), w.at("tools/"+to)); err != nil {
			t.Fatal(err)
		}
	}
	w.path("~/tools/bin")
	return w
}

// TestDeniedFiles: a program is all its names, and one of several in one file its own name.
func TestDeniedFiles(t *testing.T) {
	for _, c := range []struct {
		rule, note string
		want       []string
	}{
		{"plain *", "", []string{"bin/plain", "libexec/other-name"}},
		{"lang3 *", "", []string{"bin/lang3", "bin/lang3.1", "bin/lang3.1.2"}},
		{"box *", "", []string{"bin/box"}},
		{"get *", "only the name get is denied", []string{"bin/get"}},
		{"cli *", "", []string{"bin/cli", "lib/pack/cli.js"}},
		{"HERE/bin/plain *", "", []string{"bin/plain", "libexec/other-name"}},
		{"absent *", "no program absent is visible inside", nil},
	} {
		w := denyWorld(t)
		p, err := w.denying("  deny: ["+strings.Replace(c.rule, "HERE", w.at("tools"), 1)+"]\n", false)
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		var got []string
		for _, f := range p.Denied[0].Files {
			got = append(got, strings.TrimPrefix(f, w.at("tools")+"/"))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.rule, d)
		}
		if c.note != "" && !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, c.note) }) {
			t.Errorf("%s: notes %q", c.rule, p.Notes)
		}
	}
}

// TestDeniedNotHeld: what files cannot hold is refused, or told with --best-effort.
func TestDeniedNotHeld(t *testing.T) {
	for _, c := range []struct{ rules, why string }{
		{"  deny: [plain --force *]\n", "does not look at arguments"},
		{"  deny: [plain]\n", "does not look at arguments"}, // without arguments only
		{"  deny: ['*']\n", "does not look at arguments"},
		{"  deny: [pl* *]\n", "does not look at arguments"},
		{"  deny: ['plain * x']\n", "does not look at arguments"},
		{"  ask: [plain *]\n", "asks nobody"},
		{"  deny: [bin/plain *]\n", "relative path"},
		{"  deny: [mine *]\n", "which is served to the sandbox"},
	} {
		w := denyWorld(t)
		w.file("src/app/bin/mine", "#!/bin/sh\n")
		w.path("~/tools/bin", "~/src/app/bin")
		_, err := w.denying(c.rules, false)
		if belljar.KindOf(err) != belljar.KindRefused || !strings.Contains(err.Error(), c.why) || !strings.Contains(belljar.HintOf(err), "use another tier; --best-effort") {
			t.Errorf("%q: %v (%s)", c.rules, err, belljar.HintOf(err))
		}
		p, err := w.denying(c.rules, true)
		if err != nil || len(p.Denied) != 1 || !strings.Contains(p.Denied[0].Gap, c.why) || p.Denied[0].Files != nil {
			t.Errorf("%q with --best-effort: %v %+v", c.rules, err, p)
		}
	}
}

// TestDeniedItself: a command that its own policy denies is told so, with --best-effort as well.
func TestDeniedItself(t *testing.T) {
	w := denyWorld(t)
	w.o.Command = []string{"plain"}
	if _, err := w.denying("  deny: [plain *]\n", true); belljar.KindOf(err) != belljar.KindRefused || !strings.Contains(err.Error(), "denies this program") {
		t.Errorf("%v", err)
	}
}

// TestDeniedInside: a file is met where the nearest mount over it says, and what is served or
// may be written is no place to deny anything.
func TestDeniedInside(t *testing.T) {
	m := &maker{p: &belljar.Plan{
		Workspace: belljar.Workspace{Views: []belljar.View{{Source: "/state/tree", Target: "/src/app"}}}, // a worktree
		Mounts: []belljar.Mount{
			{Kind: belljar.MountBind, Source: "/usr", Target: "/usr", ReadOnly: true},
			{Kind: belljar.MountBind, Source: "/usr/lib/x", Target: "/opt/x", ReadOnly: true},
			{Kind: belljar.MountTmpfs, Target: "/usr/cover"},
			{Kind: belljar.MountBind, Source: "/state/home", Target: "/home/u"},
			{Kind: belljar.MountSymlink, Target: "/etc/alternatives/vi", Content: "/usr/bin/vim"},
		},
	}}
	for file, want := range map[string]string{
		"/usr/bin/x": "/usr/bin/x", "/usr/lib/x/y": "/opt/x/y /usr/lib/x/y", "/usr/cover/y": "", "/var/x": "", "/etc/alternatives/vi": "/etc/alternatives/vi",
		"/src/app/bin/x": "served", "/state/tree/bin/x": "served", "/state/home/bin/x": "written inside",
	} {
		at, err := m.inside(file)
		slices.Sort(at)
		if got := strings.Join(at, " "); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) || err != nil && want == "" {
			t.Errorf("%s: %q %v", file, got, err)
		}
	}
}
