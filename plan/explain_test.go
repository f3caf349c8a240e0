package plan

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
)

// reasoned plans a shell in the world, as a run would.
func (w *world) reasoned(text string, o policy.LoadOptions) Reasoned {
	w.t.Helper()
	work := w.at("src/app")
	o.UserFile = w.file("policy.yaml", text)
	o.Home, o.Dir, o.Workspace, o.Tiers = w.home, w.o.Dir, work, []string{"test"}
	o.Dirs = []string{w.o.StateDir, w.o.RuntimeDir, w.o.ConfigDir}
	p, err := policy.Load(o)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range p.Read() {
		w.o.Read = append(w.o.Read, r.Path)
	}
	for _, r := range p.Write() {
		w.o.Write = append(w.o.Write, r.Path)
	}
	w.o.Workspace = work
	f, err := Gather(context.Background(), w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	made, err := Make(p, f, fullCaps(), MakeOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return Reasoned{made, p, f}
}

// A question with the answer that is wanted; why and fix are parts of the text.
type question struct {
	kind, subject, verdict string
	layer                  string
	line                   int
	why, fix               string
}

func (r Reasoned) check(t *testing.T, qs []question) {
	t.Helper()
	for _, q := range qs {
		e, err := r.Explain(q.kind, q.subject)
		if err != nil {
			t.Errorf("%s %s: %v", q.kind, q.subject, err)
			continue
		}
		var rule belljar.Origin
		if e.Rule != nil {
			rule = *e.Rule
		}
		refused := slices.Contains([]string{"refuse", "hide", "private"}, e.Verdict)
		if e.Verdict != q.verdict || rule.Layer != q.layer || rule.Line != q.line || e.Allowed == refused || e.Reason == "" ||
			!strings.Contains(e.Reason, q.why) || !strings.Contains(e.Fix, q.fix) || q.fix == "" && e.Fix != "" {
			t.Errorf("%s %s: %s %v (rule %+v)\n\t%s\n\tfix %s", q.kind, q.subject, e.Verdict, e.Allowed, rule, e.Reason, e.Fix)
		}
	}
}

const explained = `version: 1
files:
  read: [~/lib, ~/key.txt]
  write: [~/out]
  hide: ["secret/**", "private"]
  hold: ["deploy/**"]
network:
  allow:
    - docs.example.com
    - {host: "*.acme.dev", ports: [443, 8443]}
    - {host: localhost, ports: [9000]}
    - {cidr: 10.20.0.0/16, ports: [5432]}
limits: {memory: 4GiB}
env: {pass: [EDITOR, UNSET], set: {CI: "1"}}
`

func explainWorld(t *testing.T) (*world, Reasoned) {
	w := newWorld(t)
	for _, p := range []string{"lib/a.txt", "out/b.txt", "key.txt", "other/x.txt", "other/x.pem", ".ssh/id_rsa", "src/app/.git/HEAD", "src/app/bare/HEAD", "src/app/main.go"} {
		w.file(p, "x")
	}
	w.mkdir("src/app/bare/objects")
	w.mkdir("src/app/bare/refs")
	w.link("/usr/bin/env", "src/app/env")
	w.link(w.at("other"), "src/app/away")
	w.link("lib", "alias")
	w.link("loop", "src/app/loop")
	w.o.Env = append(w.o.Env, "EDITOR=vi", "TERM=xterm", "JAVA_HOME=/usr/lib/jvm", "GOROOT="+w.at("other"), "AWS_SECRET_ACCESS_KEY=s", "TMUX=x")
	return w, w.reasoned(explained, policy.LoadOptions{Flags: policy.Flags{Allow: []string{"x.example.org:80"}}})
}

func TestExplainPath(t *testing.T) {
	w, r := explainWorld(t)
	r.check(t, []question{
		// the system
		{"path", "/usr/bin/env", "read", "default", 0, "of the system", ""},
		{"path", "/usr/no/such", "read", "default", 0, "no such file", ""},
		{"path", "/etc/passwd", "private", "default", 0, "only you", ""},
		{"path", "/etc/shadow", "refuse", "", 0, "no rule can show it", ""},
		{"path", "/tmp/x", "private", "default", 0, "counts as memory", ""},
		{"path", "/proc/1/environ", "private", "default", 0, "own processes", ""},
		{"path", "/run/docker.sock", "refuse", "", 0, "no rule can show it", ""},
		{"path", "/home", "private", "default", 0, "", ""},
		// HOME and what rules name
		{"path", "~/lib/a.txt", "read", "user", 3, "", ""},
		{"path", w.at("alias/a.txt"), "private", "default", 0, "", "--read " + w.at("alias/a.txt")},
		{"path", "~/key.txt", "read", "user", 3, "", ""},
		{"path", "~/out/b.txt", "write", "user", 4, "written through", ""},
		{"path", "~/out/.env", "hide", "default", 0, "credentials", "another name"},
		{"path", "~/other/x.txt", "private", "default", 0, "", "--read " + w.at("other/x.txt")},
		{"path", "~/other/x.pem", "private", "default", 0, "no rule can show it", ""},
		{"path", "~/.ssh/id_rsa", "private", "default", 0, "credentials are kept", ""},
		{"path", "~/nothing", "private", "default", 0, "no such file", ""},
		{"path", w.o.StateDir + "/x", "private", "default", 0, "belljar's own", ""},
		// the project
		{"path", ".", "pass", "default", 0, "ordinary", ""},
		{"path", "main.go", "pass", "default", 0, "ordinary", ""},
		{"path", "Makefile", "pass", "default", 0, "build", "review"},
		{"path", "secret/a/b", "hide", "user", 5, "", "drop the rule"},
		{"path", "private/deep/inside", "hide", "user", 5, "", "drop the rule"},
		{"path", "a/.env", "hide", "default", 0, "credentials", "another name"},
		{"path", "a/.env.example", "pass", "default", 0, "ordinary", ""},
		{"path", "deploy/x", "hold", "user", 6, "", "apply"},
		{"path", ".git/config", "hold", "default", 0, "git obeys", "apply"},
		{"path", "bare/hooks/pre-commit", "hold", "default", 0, "hooks", "apply"}, // by structure
		{"path", "bare2/hooks/pre-commit", "pass", "default", 0, "", ""},
		{"path", ".vscode/tasks.json", "hold", "default", 0, "editor", "apply"},
		// links
		{"path", "env", "read", "default", 0, "it leads to /usr/bin/", ""},
		{"path", "away/x.txt", "private", "default", 0, "it leads to " + w.at("other/x.txt"), "--read"},
		{"path", "loop", "refuse", "", 0, "circle", ""},
	})
}

func TestExplainPathInModes(t *testing.T) {
	for mode, qs := range map[string][]question{
		"review":   {{"path", "main.go", "hold", "flag", 0, "mode review", "apply"}, {"path", ".env", "hide", "default", 0, "", "another name"}},
		"readonly": {{"path", "main.go", "read", "flag", 0, "changed", "--mode"}, {"path", ".env", "hide", "default", 0, "", "another name"}},
	} {
		newWorld(t).reasoned("version: 1\n", policy.LoadOptions{Flags: policy.Flags{Mode: mode}}).check(t, qs)
	}
}

func TestExplainHostsEnvAndLimits(t *testing.T) {
	_, r := explainWorld(t)
	r.check(t, []question{
		{"host", "docs.example.com", "allow", "user", 9, "", ""},
		{"host", "DOCS.example.com.:443", "allow", "user", 9, "", ""},
		{"host", "docs.example.com:80", "refuse", "", 0, "not port 80", "--allow docs.example.com:80"},
		{"host", "a.b.acme.dev:8443", "allow", "user", 10, "", ""},
		{"host", "acme.dev", "refuse", "", 0, "not in the policy", "--allow acme.dev"},
		{"host", "notacme.dev", "refuse", "", 0, "", "--allow notacme.dev"},
		{"host", "localhost:9000", "allow", "user", 11, "loopback", ""},
		{"host", "10.20.1.2:5432", "allow", "user", 12, "", ""},
		{"host", "[::ffff:10.20.1.2]:5432", "allow", "user", 12, "", ""},
		{"host", "10.21.1.2:5432", "refuse", "", 0, "", "--allow 10.21.1.2:5432"},
		{"host", "169.254.169.254:80", "refuse", "", 0, "metadata", ""},
		{"host", "x.example.org:80", "allow", "flag", 0, "", ""},
		{"limit", "memory", "4GiB", "user", 13, "", ""},
		{"limit", "time", "24h", "default", 0, "", ""},
		{"env", "EDITOR", "pass", "user", 14, "env.pass", ""},
		{"env", "UNSET", "refuse", "user", 14, "not set here", ""},
		{"env", "CI", "set", "user", 14, "env.set", ""},
		{"env", "TERM", "pass", "default", 0, "", ""},
		{"env", "HOME", "set", "default", 0, "private", ""},
		{"env", "PATH", "set", "default", 0, "visible", ""},
		{"env", "JAVA_HOME", "pass", "default", 0, "visible inside", ""},
		{"env", "GOROOT", "refuse", "", 0, "not visible", "--env GOROOT"},
		{"env", "AWS_SECRET_ACCESS_KEY", "refuse", "", 0, "neither", "--env AWS_SECRET_ACCESS_KEY"},
		{"env", "TMUX", "refuse", "", 0, "never", "--env TMUX=VALUE"},
		{"env", "GIT_CONFIG_KEY_0", "set", "default", 0, "git", ""},
	})
	for _, q := range [][2]string{
		{"host", ""}, {"host", "a b"}, {"host", "a:x"}, {"host", "*.acme.dev"}, {"path", ""}, {"path", "a\x00b"}, {"limit", "x"},
		{"env", "A=b"}, {"env", ""}, {"env", "a\x1b"}, {"command", ""}, {"command", "a; b"}, {"credential", "A=b"}, {"x", "y"},
	} {
		if e, err := r.Explain(q[0], q[1]); belljar.KindOf(err) != belljar.KindUsage {
			t.Errorf("%q: %+v %v", q, e, err)
		}
	}
}

// Under a ceiling a fix is only named when it would help.
func TestExplainUnderACeiling(t *testing.T) {
	w := newWorld(t)
	w.file("lib/a", "x")
	ceiling := w.file("ceiling/policy.yaml", "version: 1\nfiles: {read: [/srv]}\nnetwork: {allow: [\"*.example.com\"]}\nenv: {pass: []}\n")
	if os.Geteuid() != 0 {
		t.Log("not root: the ceiling must be refused")
		if _, err := policy.Load(policy.LoadOptions{CeilingFile: ceiling}); belljar.KindOf(err) != belljar.KindRefused {
			t.Errorf("%v", err)
		}
		return
	}
	w.o.Env = append(w.o.Env, "EDITOR=vi")
	w.reasoned("version: 1\n", policy.LoadOptions{CeilingFile: ceiling}).check(t, []question{
		{"path", "~/lib/a", "private", "default", 0, "ceiling", ""},
		{"host", "example.org", "refuse", "", 0, "ceiling", ""},
		{"host", "a.example.com", "refuse", "", 0, "", "--allow a.example.com"},
		{"env", "EDITOR", "refuse", "", 0, "ceiling", ""},
	})
}

// Fifty milliseconds with ten thousand rules, a thousand of them paths.
func TestExplainIsFastWithManyRules(t *testing.T) {
	w := newWorld(t)
	w.mkdir("lib")
	var b strings.Builder
	b.WriteString("version: 1\nfiles:\n  hide:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "    - \"gen%d/**/*.x%d\"\n", i, i)
	}
	b.WriteString("network:\n  allow:\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "    - host%d.example.com\n    - \"*.d%d.example.org:8443\"\n    - 10.%d.%d.%d:5432\n", i, i, i>>16&255, i>>8&255, i&255)
	}
	r := w.reasoned(b.String(), policy.LoadOptions{})
	for _, q := range [][2]string{
		{"host", "host2999.example.com"}, {"host", "a.b.d2999.example.org:8443"}, {"host", "10.0.11.183:5432"}, {"host", "nothing.example.net"},
		{"host", "11.0.0.1"}, {"path", "gen999/a/b.x999"}, {"path", "a/b/c/d/e"}, {"path", "/usr/bin/env"}, {"env", "HOME"},
	} {
		took := time.Hour
		for range 5 { // the best of five: others use this machine too
			start := time.Now()
			if _, err := r.Explain(q[0], q[1]); err != nil {
				t.Error(err)
			}
			took = min(took, time.Since(start))
		}
		if took > slower*50*time.Millisecond {
			t.Errorf("%s took %v", q, took)
		}
	}
}
