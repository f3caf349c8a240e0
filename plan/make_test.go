package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/policy"
)

var update = flag.Bool("update", false, "write the golden files")

// fullCaps enforces everything.
func fullCaps() belljar.Capabilities {
	c := belljar.Capabilities{Tier: "test", Usable: true}
	for _, r := range append([]belljar.Requirement{belljar.ReqKernel, belljar.ReqExec}, required...) {
		c.Requirements = append(c.Requirements, belljar.Enforcement{Requirement: r, Level: belljar.Enforced, By: "the test"})
	}
	return c
}

func loadFacts(t testing.TB, file string) *Facts {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var f Facts
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return &f
}

func loadPolicy(t testing.TB, f *Facts, file, command string) *policy.Policy {
	t.Helper()
	p, err := policy.Load(policy.LoadOptions{
		PolicyFile: file, Command: command, Home: f.Home, Dir: f.Workspace.Dir, Workspace: f.Workspace.Dir,
		Tiers: []string{"test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each testdata/NAME.yaml is a policy; with facts.json (or NAME.facts.json) it
// gives NAME.plan.json and NAME.plan.txt.
func TestGolden(t *testing.T) {
	policies, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(policies) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range policies {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			facts := "testdata/" + name + ".facts.json"
			if !exists(facts) {
				facts = "testdata/facts.json"
			}
			f := loadFacts(t, facts)
			abs, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Make(loadPolicy(t, f, abs, f.Command.Argv[0]), f, fullCaps(), MakeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if err := Print(&text, p); err != nil {
				t.Fatal(err)
			}
			var j bytes.Buffer
			e := json.NewEncoder(&j)
			e.SetEscapeHTML(false)
			e.SetIndent("", "\t")
			if err := e.Encode(p); err != nil {
				t.Fatal(err)
			}
			here := filepath.Dir(abs) // the origin of rules names the file by its path
			golden(t, "testdata/"+name+".plan.json", strings.ReplaceAll(j.String(), here, "testdata"))
			golden(t, "testdata/"+name+".plan.txt", strings.ReplaceAll(text.String(), here, "testdata"))
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (go test ./plan -update writes it): -want +got\n%s", file, d)
	}
}

// Facts survive JSON: what Gather returns and what a golden file holds is the same.
func TestFactsRoundTrip(t *testing.T) {
	w := newWorld(t)
	w.file(".npmrc", "registry=https://npm.example/\n@a:registry=http://other.example:8081/x\n")
	w.file("bin/x", script)
	w.path("~/bin")
	w.o.Registries = []string{"npm"}
	w.o.Read = []string{w.mkdir("docs")}
	f := w.gather()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back Facts
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*f, back); d != "" {
		t.Error(d)
	}
}

// Make is pure: same arguments, same plan, arguments unchanged.
func TestMakeIsPure(t *testing.T) {
	f := loadFacts(t, "testdata/facts.json")
	abs, _ := filepath.Abs("testdata/wide.yaml")
	pol := loadPolicy(t, f, abs, "claude")
	a, err := Make(pol, f, fullCaps(), MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Make(pol, f, fullCaps(), MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a, b, cmp.Comparer(func(x, y belljar.NetRule) bool { return reflect.DeepEqual(x, y) })); d != "" {
		t.Error(d)
	}
	if Hash(a) != Hash(b) {
		t.Error("hashes differ")
	}
	if d := cmp.Diff(loadFacts(t, "testdata/facts.json"), f); d != "" {
		t.Errorf("Make changed the facts: %s", d)
	}
}

func TestEnforcement(t *testing.T) {
	f := loadFacts(t, "testdata/facts.json")
	abs, _ := filepath.Abs("testdata/plain.yaml")
	pol := loadPolicy(t, f, abs, "")
	set := func(r belljar.Requirement, l belljar.Level) belljar.Capabilities {
		c := fullCaps()
		c.Requirements = slices.Clone(c.Requirements)
		for i := range c.Requirements {
			if c.Requirements[i].Requirement == r {
				c.Requirements[i] = belljar.Enforcement{Requirement: r, Level: l, Gap: "no such thing here", Remedy: "install it"}
			}
		}
		return c
	}
	for _, r := range required {
		_, err := Make(pol, f, set(r, belljar.None), MakeOptions{})
		if belljar.KindOf(err) != belljar.KindRefused {
			t.Errorf("%s not enforced: error %v, want KindRefused", r, err)
			continue
		}
		for _, part := range []string{string(r), "test", "no such thing here"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %q", err, part)
			}
		}
		if !strings.Contains(belljar.HintOf(err), "install it") {
			t.Errorf("hint %q", belljar.HintOf(err))
		}
		p, err := Make(pol, f, set(r, belljar.None), MakeOptions{BestEffort: true})
		if err != nil || !p.BestEffort {
			t.Errorf("%s with best effort: %v", r, err)
		}
		if _, err := Make(pol, f, set(r, belljar.Approximate), MakeOptions{}); err != nil {
			t.Errorf("%s approximate: %v", r, err)
		}
	}
	for _, r := range []belljar.Requirement{belljar.ReqKernel, belljar.ReqExec} {
		if _, err := Make(pol, f, set(r, belljar.None), MakeOptions{}); err != nil {
			t.Errorf("%s is told, not required: %v", r, err)
		}
	}
	silent := fullCaps()
	silent.Requirements = silent.Requirements[3:]
	if _, err := Make(pol, f, silent, MakeOptions{}); belljar.KindOf(err) != belljar.KindRefused {
		t.Errorf("a tier that says nothing: %v", err)
	}
	_, err := Make(pol, f, belljar.Capabilities{Tier: "x", Reason: "no kernel", Remedy: "fix"}, MakeOptions{BestEffort: true})
	if belljar.KindOf(err) != belljar.KindNotHere || belljar.HintOf(err) != "fix" {
		t.Errorf("unusable tier: %v", err)
	}
}

func TestModeOnNetworkFileSystem(t *testing.T) {
	f := loadFacts(t, "testdata/facts.json")
	f.Workspace.FS, f.Workspace.Network = "nfs", true
	w := plainWishes()
	w.modeOrigin.Layer = "default"
	p, err := build(w, f, fullCaps())
	if err != nil || p.Workspace.Mode != belljar.ModeReview || len(p.Notes) == 0 {
		t.Errorf("default: mode %q, %v", p.Workspace.Mode, err)
	}
	w.modeOrigin.Layer = "flag"
	p, err = build(w, f, fullCaps())
	if err != nil || p.Workspace.Mode != belljar.ModeLive {
		t.Errorf("asked for: mode %q, %v", p.Workspace.Mode, err)
	}
}

func plainWishes() wishes {
	return wishes{
		mode:   belljar.ModeLive,
		limits: belljar.Limits{Memory: 1 << 30, CPUs: 1, Processes: 100, Disk: 1 << 30, Files: 1024, Time: time.Hour},
	}
}

func TestUnsetLimitIsRefused(t *testing.T) {
	f := loadFacts(t, "testdata/facts.json")
	for i := range 6 {
		w := plainWishes()
		v := reflect.ValueOf(&w.limits).Elem().Field(i)
		v.SetZero()
		if _, err := build(w, f, fullCaps()); err == nil {
			t.Errorf("a plan without a limit on %s", v.Type())
		}
	}
}

func TestEnvironment(t *testing.T) {
	f := loadFacts(t, "testdata/facts.json")
	f.Env = []string{
		"PATH=/usr/bin", "TERM=xterm", "LC_ALL=C", "AWS_SECRET_ACCESS_KEY=s3cret", "SSH_AUTH_SOCK=/run/x", "HTTPS_PROXY=http://p",
		"TMPDIR=/tmp/x", "FOO=1", "BAR=2", "GIT_CONFIG_COUNT=9", "LD_PRELOAD=/x.so", "HOME=/elsewhere", "JAVA_HOME=/usr/lib/jvm/x",
		"GOROOT=/secret/go", "FOO=again", "NOVALUE",
	}
	w := plainWishes()
	for _, n := range []string{"FOO", "SSH_AUTH_SOCK", "HTTPS_PROXY", "MISSING", "TERM", "LC_ALL"} {
		w.envPass = append(w.envPass, belljar.Pattern{Glob: n})
	}
	w.envSet = map[string]setVariable{"CI": {value: "1"}, "BAD": {value: "a\x00b"}, "HTTP_PROXY": {value: "mine"}}
	p, err := build(w, f, fullCaps())
	if err != nil {
		t.Fatal(err)
	}
	env := envMap(p.Env)
	for k, want := range map[string]string{
		"TERM": "xterm", "LC_ALL": "C", "FOO": "1", "CI": "1", "HOME": f.Identity.Home, "USER": f.Identity.User,
		"JAVA_HOME": "/usr/lib/jvm/x", "HTTP_PROXY": "mine", "GIT_CONFIG_COUNT": "2",
	} {
		if env[k] != want {
			t.Errorf("%s=%q, want %q", k, env[k], want)
		}
	}
	for _, k := range []string{"AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "HTTPS_PROXY", "TMPDIR", "LD_PRELOAD", "GOROOT", "BAR", "BAD", "MISSING", "NOVALUE"} {
		if v, ok := env[k]; ok {
			t.Errorf("%s=%q came in", k, v)
		}
	}
	if !slices.IsSorted(p.Env) {
		t.Error("the environment is not sorted")
	}
}

func TestPrintEscapes(t *testing.T) {
	f := loadFacts(t, "testdata/facts.json")
	w := plainWishes()
	w.hide = []belljar.Pattern{{Glob: "a\x1b]52;c;x\a"}}
	f.Env = append(f.Env, "TERM=\x1b[2J\u202e")
	f.Command.Argv = []string{"x", "\x9b31m", "two words"}
	p, err := build(w, f, fullCaps())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Print(&b, p); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if !printable(strings.TrimSuffix(line, "\n")) {
			t.Errorf("line %q", line)
		}
	}
	if !strings.Contains(b.String(), `"two words"`) {
		t.Error("arguments are not quoted")
	}
}

// A path that the caller may not read is named, with the remedy, before anything starts.
func TestClosedPathIsNamed(t *testing.T) {
	testenv.Need(t, "user") // root reads everything, and belljar is an ordinary identity when it gets here
	w := newWorld(t)
	w.file("closed/in/f", "x")
	w.file("file", "x")
	for path, mode := range map[string]os.FileMode{"closed": 0, "file": 0} {
		if err := os.Chmod(w.at(path), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(w.at("closed"), 0o700) })
	for path, want := range map[string]string{
		"closed":      "may not read it; let uid ",
		"closed/in/f": "may not read " + w.at("closed") + "; let uid ",
		"file":        "may not read it; let uid ",
	} {
		w.o.Read = []string{w.at(path)}
		wish := plainWishes()
		wish.read = []pathRule{{path: w.at(path)}}
		_, err := build(wish, w.gather(), fullCaps())
		if got := fmt.Sprint(err) + "; " + belljar.HintOf(err); !strings.Contains(got, want) || belljar.KindOf(err) != belljar.KindUsage {
			t.Errorf("%s: %s, want %q", path, got, want)
		}
	}
}
