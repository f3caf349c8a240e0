package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/secrets"
	"github.com/google/go-cmp/cmp"
)

func TestDefaults(t *testing.T) {
	p, err := Load(LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := belljar.Limits{Memory: 8 << 30, CPUs: 2, Processes: 4096, Disk: 20 << 30, Files: 65536, Time: 24 * time.Hour, Log: 4 << 30}
	if d := cmp.Diff(want, p.Limits()); d != "" {
		t.Error(d)
	}
	mode, origin := p.Mode()
	if mode != belljar.ModeLive || origin.Layer != "default" || p.Tier() != "auto" {
		t.Errorf("mode %v of %v, tier %v", mode, origin, p.Tier())
	}
	n := p.Network()
	if len(n.Rules)+len(n.Publish)+len(p.Read())+len(p.Write())+len(p.Hold())+len(p.EnvSet())+len(p.Home())+len(p.RegistryKinds()) > 0 {
		t.Errorf("something is allowed by nobody: %s", p.canonical())
	}
	hidden := p.Hide()
	for i, g := range secrets.Patterns() {
		if i >= len(hidden) || hidden[i].Glob != g || hidden[i].Origin.Layer != layerDefault {
			t.Fatalf("the default secrets are not %v", hidden)
		}
	}
}

const whole = `# belljar.yaml
version: 1
extends: [claude, node]
tier: auto
workspace: {mode: live}
files:
  read:  [../shared, ~/lib]
  write: [/srv/out]
  hide:  ["**/*.tfstate"]
  hold:  ["deploy/**"]
network:
  registries: [npm, go]
  allow:
    - docs.example.com
    - {host: "*.internal.acme.dev", ports: [8443, 443], private: true}
    - {host: localhost, ports: [9000]}
    - {cidr: 10.20.0.5/32, ports: [5432]}
    - {host: EXAMPLE.org., ports: [80]}
  publish: [3000]
limits: {memory: 16GiB, cpus: 0.5, processes: 100, disk: 1.5GiB, time: 90m, files: 1024}
env: {pass: [EDITOR], set: {CI: "1"}}
`

func TestWholeFile(t *testing.T) {
	b := newBench(t)
	b.opts.PolicyFile = b.file("src/p/all.yaml", whole)
	p := b.must()
	want := []string{
		`{host: "*.internal.acme.dev", ports: [443, 8443], private: true}`,
		"api.anthropic.com", `{host: "api.anthropic.com", ports: [443], paths: ["/api/**"]}`, "docs.example.com", "localhost:9000", "10.20.0.5:5432", "example.org:80",
	}
	if d := cmp.Diff(want, hosts(p)); d != "" {
		t.Error(d)
	}
	if l := p.Limits(); l != (belljar.Limits{Memory: 16 << 30, CPUs: 0.5, Processes: 100, Disk: 3 << 29, Files: 1024, Time: 90 * time.Minute, Log: 4 << 30}) {
		t.Errorf("%+v", l)
	}
	read := p.Read()
	if len(read) != 2 || read[0].Path != filepath.Join(b.home, "src/shared") || read[1].Path != filepath.Join(b.home, "lib") {
		t.Errorf("%+v", read)
	}
	origin := belljar.Origin{Layer: "flag", File: b.opts.PolicyFile, Line: 14, Text: "- docs.example.com"}
	if d := cmp.Diff(origin, p.Network().Rules[3].Origin); d != "" {
		t.Error(d)
	}
	if p.EnvSet()["CI"] != "1" || p.EnvSet()["IS_SANDBOX"] != "1" || !slices.Contains(p.EnvPass(), "EDITOR") {
		t.Errorf("%v %v", p.EnvSet(), p.EnvPass())
	}
	if mode, o := p.Mode(); mode != belljar.ModeLive || o.Layer != "flag" {
		t.Errorf("%v %v", mode, o)
	}
}

// policy show prints a file that means the same again.
func TestYAMLRoundTrip(t *testing.T) {
	b := newBench(t)
	b.opts.PolicyFile = b.file("src/p/all.yaml", strings.Replace(whole, "claude, ", "", 1)+"# é \"quoted\"\n")
	b.opts.Flags = Flags{Hide: []string{`a"b`, `back\\slash`, "ünï"}, Mode: "review", Allow: []string{"[2a00::1]:80"}, Read: []string{"/opt/a b#c: d"}}
	p := b.must()
	text, err := p.YAML()
	if err != nil {
		t.Fatal(err)
	}
	c := newBench(t)
	c.opts.Home = b.opts.Home
	again := c.user(string(text)).must()
	if p.Hash() != again.Hash() {
		t.Errorf("%s\n%s\n%s", text, p.canonical(), again.canonical())
	}
	for _, want := range []string{"# preset node  # flag " + b.opts.PolicyFile + ":3", "- \"docs.example.com\"  # flag " + b.opts.PolicyFile + ":14", "mode: review  # flag --mode"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestLayers(t *testing.T) {
	b := newBench(t).user("version: 1\nextends: [git]\nlimits: {memory: 4GiB}\nnetwork: {allow: [a.example.com]}\nenv: {set: {X: user}}\n")
	b.opts.Command = "claude"
	b.opts.Flags = Flags{Memory: "2GiB", Allow: []string{"b.example.com"}, Env: []string{"X=flag", "GIT_TERMINAL_PROMPT"}}
	p := b.must()
	if got := hosts(p); got[0] != "api.anthropic.com" || got[len(got)-1] != "b.example.com" || !slices.Contains(got, "github.com") {
		t.Error(got)
	}
	if p.Limits().Memory != 2<<30 || p.LimitOrigin("memory").Text != "--memory 2GiB" {
		t.Errorf("%v %v", p.Limits(), p.LimitOrigin("memory"))
	}
	if _, set := p.EnvSet()["GIT_TERMINAL_PROMPT"]; set || p.EnvSet()["X"] != "flag" || !slices.Contains(p.EnvPass(), "GIT_TERMINAL_PROMPT") {
		t.Errorf("%v %v", p.EnvSet(), p.EnvPass())
	}
	// An empty list takes away what the layers below allow; later layers still add.
	b.user("version: 1\nnetwork: {allow: []}\n")
	if d := cmp.Diff([]string{"b.example.com"}, hosts(b.must())); d != "" {
		t.Error(d)
	}
}

func TestProjectTightens(t *testing.T) {
	b := newBench(t).user("version: 1\nnetwork: {allow: ['*.example.com', {host: db.example.net, ports: [80, 443]}], publish: [80]}\nfiles: {read: [~/lib]}\n")
	b.project(`version: 1
tier: strong
workspace: {mode: review}
files: {read: [~/lib/x], hide: ["*.a"], hold: ["*.b"]}
network: {allow: [a.example.com, db.example.net], publish: []}
limits: {memory: 1GiB, time: 1h}
`)
	p := b.must()
	mode, origin := p.Mode()
	if mode != belljar.ModeReview || origin.Layer != "project" || p.Tier() != "strong" || p.Limits().Memory != 1<<30 || len(p.Network().Publish) != 0 {
		t.Errorf("%s", p.canonical())
	}
	if e := hides(p, "*.a"); e.Layer != "project" || e.Line != 4 {
		t.Errorf("%+v", e)
	}
	if len(p.Read()) != 1 || p.Read()[0].Path != filepath.Join(b.home, "lib") {
		t.Errorf("%v", p.Read())
	}
	if p.ProjectHash() == "" {
		t.Error("no hash of the project's file")
	}
}

// Every key, in a way that widens: refused with the line and the remedy, accepted
// when the very bytes are trusted, and never beyond what flags allow anyway.
func TestProjectWidensOnlyWithTrust(t *testing.T) {
	for key, text := range map[string]string{
		"extends":               "extends: [node]",
		"tier":                  "tier: weak",
		"workspace.mode":        "workspace: {mode: live}",
		"files.read":            "files: {read: [../shared]}",
		"files.write":           "files: {write: [../shared]}",
		"network.registries":    "network: {registries: [npm]}",
		"network.allow":         "network: {allow: [evil.example.com]}",
		"network.allow: allows": "network: {allow: ['a.example.com:80']}",
		"network.allow: a":      "network: {allow: [{host: a.example.com, private: true}]}",
		"network.publish":       "network: {publish: [80]}",
		"setup.allow":           "setup: {allow: [b.example.com]}",
		"limits.memory":         "limits: {memory: 9GiB}",
		"limits.files":          "limits: {files: 65537}",
		"env.pass":              "env: {pass: [AWS_SECRET_ACCESS_KEY]}",
		"env.set.LD_PRELOAD":    "env: {set: {LD_PRELOAD: x}}",
		"env.set.CI":            "env: {set: {CI: '2'}}",
	} {
		b := newBench(t).user("version: 1\nworkspace: {mode: review}\ntier: strong\nnetwork: {allow: ['a.example.com']}\nenv: {set: {CI: '1'}}\n")
		b.project("version: 1\n" + text + "\n")
		err := b.refused(belljar.KindRefused, b.opts.ProjectFile+":2:", strings.SplitN(key, ":", 2)[0], "^")
		var u *Untrusted
		if !errors.As(err, &u) || belljar.HintOf(err) == "" || !strings.Contains(belljar.HintOf(err), "belljar trust") {
			t.Errorf("%s: %v, hint %q", key, err, belljar.HintOf(err))
			continue
		}
		without := b.opts.ProjectFile
		b.opts.ProjectFile = ""
		old := b.must()
		b.opts.ProjectFile = without
		b.opts.Trusted = func(hash string) bool { return hash == u.Hash }
		changes := Diff(old, b.must())
		if !slices.ContainsFunc(changes, func(c Change) bool { return c.Possible }) {
			t.Errorf("%s: trust allows nothing: %v", key, changes)
		}
		b.project("version: 1\n" + text + "\n#\n")
		b.refused(belljar.KindRefused)
	}
}

func TestFlagsAllowWhatTheProjectAsks(t *testing.T) {
	b := newBench(t).project("version: 1\nnetwork: {allow: [a.example.com]}\nlimits: {memory: 9GiB}\n")
	b.refused(belljar.KindRefused)
	b.opts.Flags = Flags{Allow: []string{"*.example.com"}, Memory: "10GiB"}
	p := b.must()
	if d := cmp.Diff([]string{"*.example.com"}, hosts(p)); d != "" || p.Limits().Memory != 10<<30 {
		t.Error(d, p.Limits())
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	b := newBench(t)
	b.opts.UserFile, b.opts.ProjectFile = filepath.Join(b.home, "none"), filepath.Join(b.home, "neither")
	b.must()
	b.opts.PolicyFile = filepath.Join(b.home, "none")
	b.refused(belljar.KindUsage, "none", "no such file")
	b.opts.PolicyFile = b.home
	b.refused(belljar.KindUsage, "regular file")
	b.opts.PolicyFile = ""
	secret := b.file("secret", "password: hunter2\n")
	link := filepath.Join(b.opts.Workspace, "belljar.yaml")
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	b.opts.ProjectFile = link
	if err := b.refused(belljar.KindUsage, "symbolic link"); strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	b.opts.ProjectFile = b.file("src/p/belljar.yaml", "version: 1\n#"+strings.Repeat("x\n#", maxSize/3+1))
	b.refused(belljar.KindUsage, "larger than")
}

func TestPathsThatAreRefused(t *testing.T) {
	b := newBench(t)
	for _, l := range [][2]string{{"src/link-home", "."}, {"src/link-state", ".local/state/belljar"}, {"src/link-work", "src/p"}, {"src/link-cache", ".cargo"}} {
		if err := os.MkdirAll(filepath.Join(b.home, l[1]), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(b.home, l[1]), filepath.Join(b.home, l[0])); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"GOCACHE": "/srv/gocache", "GOPATH": "/srv/go:/srv/go2"}
	b.opts.Env = func(n string) (string, bool) { v, ok := env[n]; return v, ok }
	both := []string{
		"", "/", "//", "~", "~/", "~/.", "~/src/..", b.home, filepath.Dir(b.home), "~root", "~/src/link-home", "~/src/link-home/..", "$HOME/x", "~/src/*",
		"~/.config/belljar", "~/.config/belljar/x", "~/.config", "~/.local/state/belljar/shadow", "~/.local", "~/run", "~/src/link-state", "~/src/link-state/x",
		"/proc", "/proc/self", "/sys", "/dev", "/dev/null", "/run/user", "/var/run/docker.sock", "/var", "/tmp", "/tmp/", "/tmp/.X11-unix/X0",
		".", "..", "./x", "../p", "~/src", "~/src/p/.git", "~/src/link-work", "~/src/link-work/x", "../../..",
	}
	for _, p := range both {
		b.opts.Flags = Flags{Read: []string{p}}
		b.refused(belljar.KindUsage, "--read")
		b.opts.Flags = Flags{Write: []string{p}}
		b.refused(belljar.KindUsage, "--write")
	}
	for _, p := range []string{
		"~/.cache", "~/.cache/go-build", "~/.cache/go-build/00", "~/.npm", "~/.cargo", "~/.cargo/registry", "~/.m2", "~/go", "~/go/pkg/mod", "~/.cache/pip", "~/.gradle",
		"~/.cache/yarn", "~/.local/share/pnpm", "~/.bashrc", "~/.ssh", "~/.gitconfig", "~/.local/bin/x", "~/src/link-cache", "~/src/link-cache/x",
		"/srv/gocache", "/srv/gocache/x", "/srv", "/srv/go", "/srv/go/pkg/mod", "/srv/go2/bin",
	} {
		b.opts.Flags = Flags{Write: []string{p}}
		b.refused(belljar.KindUsage, "--write")
	}
	b.opts.Flags = Flags{Read: []string{"~/.cache/go-build", "/srv/go", "~/lib", "../shared", "/usr/share/dict"}, Write: []string{"~/out", "/srv/out", "../shared/x", "~/go/src"}}
	b.must()
	// A user's file has no folder that relative paths could be below.
	b.opts.Flags = Flags{}
	b.user("version: 1\nfiles: {read: [lib]}\n").refused(belljar.KindUsage, "relative")
}

func TestFlagFaults(t *testing.T) {
	b := newBench(t)
	b.opts.Presets = []string{"nodee", "/etc/passwd"}
	b.opts.Flags = Flags{
		Tier: "stong", Mode: "worktre", Allow: []string{"https://x.example.com/a", "a b"}, Hide: []string{"["}, Env: []string{"=x", "A B", "A=\x00"},
		Memory: "8G", CPUs: "-1", Processes: "1e3", Disk: "NaN", Time: "2 days",
	}
	err := b.refused(belljar.KindUsage, `did you mean "node"?`, `did you mean "strong"?`, `did you mean "worktree"?`, "write x.example.com", "write 8GiB", "write 48h")
	var fs Faults
	if !errors.As(err, &fs) || len(fs) != 15 {
		t.Errorf("%d faults: %v", len(fs), err)
	}
}

// The value of --env is often a secret: it is in no message and no origin.
func TestEnvValuesAreNotShown(t *testing.T) {
	b := newBench(t)
	b.opts.Flags.Env = []string{"TOKEN=hunter2"}
	p := b.must()
	text, _ := p.YAML()
	o, named := p.EnvOrigin("TOKEN")
	shown, err := json.Marshal(p.Shown())
	if err != nil || !named || !strings.Contains(string(shown), NotShown) || strings.Contains(fmt.Sprint(string(text), o, string(shown)), "hunter2") {
		t.Errorf("%+v %v %s %s", o, err, text, shown)
	}
	b.opts.Flags.Env = []string{"TO KEN=hunter2"}
	if err := b.refused(belljar.KindUsage); strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

// hides is the origin of a pattern.
func hides(p *Policy, glob string) belljar.Origin {
	for _, h := range p.Hide() {
		if h.Glob == glob {
			return h.Origin
		}
	}
	return belljar.Origin{}
}
