package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
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

func TestRules(t *testing.T) {
	w := newWorld(t)
	w.mkdir("docs/sub")
	w.file("docs/a.txt", "x")
	w.file("keys/server.pem", "x")
	w.mkdir(".npm")
	w.mkdir(".ssh")
	w.file(".config/gh/hosts.yml", "x")
	w.link("docs", "alias")
	l, err := net.Listen("unix", w.at("docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := []struct {
		path, says string
		write      bool
	}{
		{"docs", "", false},
		{"docs/a.txt", "", false},
		{"alias", "", false},
		{"docs", "", true},
		{"keys/server.pem", "hides it", false},
		{"missing", "does not exist", false},
		{"docker.sock", "a socket, a device or a pipe", false},
		{"docker.sock", "a socket, a device or a pipe", true},
		{".ssh", "credentials", false},
		{".config", "belljar's own", false},
		{".config/gh", "credentials", false},
		{".npm", "caches of their own", true},
		{".", "your home folder", false},
		{"../..", "", false},
		{".local/state/belljar", "belljar's own", false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.path, tt.write), func(t *testing.T) {
			o := w.o
			path := filepath.Join(w.home, tt.path)
			if tt.path == "../.." {
				path, tt.says = "/", "root of the file system"
			}
			wish := plainWishes()
			wish.hide = []belljar.Pattern{{Glob: "**/*.pem"}}
			if tt.write {
				o.Write, wish.write = []string{path}, []pathRule{{path: path}}
			} else {
				o.Read, wish.read = []string{path}, []pathRule{{path: path}}
			}
			w2 := *w
			w2.t, w2.o = t, o
			p, err := build(wish, w2.gather(), fullCaps())
			if tt.says != "" {
				if belljar.KindOf(err) != belljar.KindUsage || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("error %v, want KindUsage that says %q", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			real := realOrClean(path)
			view := slices.ContainsFunc(p.Workspace.Views, func(v belljar.View) bool { return v.Target == real && v.ReadOnly != tt.write })
			bind := slices.ContainsFunc(p.Mounts, func(m belljar.Mount) bool { return m.Target == real && m.ReadOnly != tt.write })
			if !view && !bind {
				t.Errorf("%s is not served", path)
			}
		})
	}
}

// checkMounts holds for every plan: parents first, no target twice, nothing of the
// host but what the facts name, nothing writable but what is private.
func checkMounts(t *testing.T, p *belljar.Plan, f *Facts) {
	t.Helper()
	seen := map[string]int{}
	named := map[string]bool{}
	for _, s := range f.System {
		named[s.Path] = true
	}
	for _, e := range f.Etc {
		named[e.Real] = true
	}
	for _, e := range f.Path {
		if e.Left == "" {
			for _, r := range e.Roots {
				named[r.Path] = true
			}
		}
	}
	for _, r := range f.Command.Roots {
		named[r.Path] = true
	}
	for _, r := range f.Rules {
		if r.Refused == "" {
			named[r.Real] = true
		}
	}
	for i, m := range p.Mounts {
		if _, dup := seen[m.Target]; dup {
			t.Errorf("%s is mounted twice", m.Target)
		}
		for other := range seen {
			if m.Target != other && under(other, m.Target) {
				t.Errorf("%s comes after %s, which lies in it", m.Target, other)
			}
		}
		seen[m.Target] = i
		for _, v := range p.Workspace.Views {
			if under(m.Target, v.Target) {
				t.Errorf("%s is mounted in the view %s", m.Target, v.Target)
			}
		}
		if !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) != m.Target || m.Why == "" {
			t.Errorf("bad mount %+v", m)
		}
		ours := under(m.Source, f.StateDir)
		if m.Kind == belljar.MountBind && !ours && !named[m.Source] {
			t.Errorf("%s of the host is mounted, but nothing names it", m.Source)
		}
		if m.Kind == belljar.MountBind && ours && !m.Private {
			t.Errorf("%s is ours but not private", m.Source)
		}
		if m.Kind == belljar.MountBind && !m.ReadOnly && !ours &&
			!slices.ContainsFunc(f.Rules, func(r RulePath) bool { return r.Write && r.Real == m.Source }) {
			t.Errorf("%s of the host is writable", m.Source)
		}
		if m.Kind == belljar.MountSymlink && slices.ContainsFunc(p.Mounts, func(x belljar.Mount) bool {
			return x.Target != m.Target && under(x.Target, m.Target)
		}) {
			t.Errorf("something is mounted below the link %s", m.Target)
		}
	}
}

// Random facts never give a plan that breaks the rules of checkMounts.
func TestMountProperties(t *testing.T) {
	base := loadFacts(t, "testdata/facts.json")
	rnd := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "bin", "lib", "x y", "home", "dev", "src", ".cache", "etc", "usr", "tmp", ".claude"}
	path := func() string {
		p := ""
		for range 1 + rnd.IntN(4) {
			p += "/" + parts[rnd.IntN(len(parts))]
		}
		if rnd.IntN(2) == 0 {
			return base.Home + p
		}
		return p
	}
	anyPath := path
	path = func() string { // the real path of something that is not the system's
		for {
			if p := anyPath(); !underAny(p, systemRoots) {
				return p
			}
		}
	}
	for range 3000 {
		f := *base
		f.Path, f.Links, f.Rules = nil, nil, nil
		for range rnd.IntN(6) {
			f.Path = append(f.Path, PathEntry{As: path(), Roots: []Root{{Path: path(), Why: "x"}, {Path: path(), Why: "y", Project: rnd.IntN(4) == 0}}})
		}
		for range rnd.IntN(4) {
			f.Links = append(f.Links, Link{anyPath(), anyPath()})
		}
		w := plainWishes()
		for range rnd.IntN(3) {
			r := RulePath{As: path(), Kind: RuleDir, Write: rnd.IntN(2) == 0}
			r.Real = r.As
			if rnd.IntN(2) == 0 {
				r.Kind = RuleFile
			}
			f.Rules = append(f.Rules, r)
			if r.Write {
				w.write = append(w.write, pathRule{path: r.As})
			} else {
				w.read = append(w.read, pathRule{path: r.As})
			}
		}
		w.sessions = []string{".claude/projects", "../escape", "/abs"}
		p, err := build(w, &f, fullCaps())
		if belljar.KindOf(err) == belljar.KindUsage && strings.Contains(err.Error(), "served read-only") {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		checkMounts(t, p, &f)
		if t.Failed() {
			b, _ := json.MarshalIndent(f, "", " ")
			t.Fatalf("facts: %s", b)
		}
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
