package policy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

const acme = "version: 1\nnetwork: {allow: [api.acme.dev, \"*.acme.dev\"]}\ncredentials:\n"

func credentialTexts(p *Policy) string {
	var l []string
	for _, i := range p.state.credentials {
		if len(i.value.Hosts) > 0 {
			l = append(l, i.value.text())
		}
		if len(i.value.withheld) > 0 {
			l = append(l, i.value.withheldText())
		}
	}
	return strings.Join(l, "\n")
}

func TestCredentialFaults(t *testing.T) {
	for _, c := range []struct{ entry, want string }{
		{`{from: {env: A}, hosts: [api.acme.dev]}`, "needs a name"},
		{`{name: "A B", hosts: [api.acme.dev]}`, "not the name of a variable"},
		{`{name: HOME, hosts: [api.acme.dev]}`, "no place for a credential"},
		{`{name: A, from: {login: gemini}, hosts: [api.acme.dev]}`, `no login "gemini" is known`},
		{`{name: A, from: {login: claude, env: A}, hosts: [api.acme.dev]}`, "one source"},
		{`{name: A, from: {env: A, file: /x}, hosts: [api.acme.dev]}`, "one source"},
		{`{name: A, from: {file: /src/p/key}, hosts: [api.acme.dev]}`, "lies in the workspace"},
		{`{name: A, from: {command: [/src/p/get]}, hosts: [api.acme.dev]}`, "lies in the workspace"},
		{`{name: A, from: {command: [sh, /src/p/get]}, hosts: [api.acme.dev]}`, "/src/p/get lies in the workspace"},
		{`{name: A, from: {command: [get, --config=src/p/c]}, hosts: [api.acme.dev]}`, "/src/p/c lies in the workspace"},
		{`{name: A, from: {command: [sh, -c, "cd / && . src/p/env"]}, hosts: [api.acme.dev]}`, "/src/p/env lies in the workspace"},
		{`{name: A, from: {command: []}, hosts: [api.acme.dev]}`, "empty command"},
		{`{name: A, from: {command: [./get]}, hosts: [api.acme.dev]}`, "is no program"},
		{`{name: A, hosts: [10.0.0.1]}`, "bound to names"},
		{`{name: A, hosts: []}`, "no hosts"},
		{`{name: A, hosts: [localhost]}`, "localhost:PORT"},
		{`{name: A, hosts: ["*.com"]}`, "public suffix"},
		{`{name: A, hosts: [api.acme.dev], header: "a b"}`, "not the name of a header"},
		{`{name: A, hosts: [api.acme.dev], header: Host}`, "carries no credential"},
		{`{name: A, hosts: [api.acme.dev], header: content-length}`, "carries no credential"},
		{`{name: A, hosts: [api.acme.dev], user: u}`, "header: basic as well"},
		{`{name: A, hosts: [api.acme.dev], header: basic, user: "a:b"}`, "no colon"},
		{`{name: A, hosts: [api.acme.dev], optional: true}`, "unknown key"},
		{`{name: A, hosts: [api.acme.dev], methods: [get]}`, "write GET"},
	} {
		var r report
		src := newSource(layerUser, "p.yaml", "/home/u", []byte(acme+"  - "+c.entry+"\n"))
		decode(src, &paths{home: "/home/u", works: []string{"/src/p"}}, &r)
		if !strings.Contains(r.all().Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.entry, r.all(), c.want)
		}
	}
}

// A source is the user's to say: a project's file, trusted or not, and a ceiling have none.
func TestProjectNamesNoSource(t *testing.T) {
	b := newBench(t).user(acme + "  - {name: A, hosts: [api.acme.dev]}\n")
	b.opts.Trusted = func(string) bool { return true }
	b.project("version: 1\ncredentials: [{name: A, from: {file: /etc/passwd}}]\n")
	b.refused(belljar.KindUsage, "a project never says where a credential comes from")
	// Nor by leaving it out: a name alone would stand for a variable of the user.
	b.project("version: 1\ncredentials: [{name: AWS_SECRET_ACCESS_KEY, hosts: [api.acme.dev]}]\n")
	b.refused(belljar.KindUsage, "only use credentials that the user's policy has")
	b.opts.Trusted = nil
	b.refused(belljar.KindRefused, "uses a credential that the user's policy does not have")
	b.project("version: 1\n").ceiling("version: 1\ncredentials: [{name: A, from: {env: B}}]\n")
	b.refused(belljar.KindUsage, "a ceiling only limits")
}

// Nor is a source where the sandbox may write, or a file where it may read.
func TestSourcesAreNotWritable(t *testing.T) {
	for from, key := range map[string]string{"{file: ~/out/key}": "write", "{file: ~/link/key}": "write", "{command: [~/out/get]}": "write", "{command: [sh, \"~/out/get\"]}": "write",
		"{command: [get, --from=$HOME/link/x]}": "write", "{file: ~/./out/key}": "read",
		// by a link that what is inside can change, although both ends lie elsewhere
		"{file: ~/over}": "write", "{command: [cat, \"~/over\"]}": "write"} {
		b := newBench(t)
		if err := os.MkdirAll(filepath.Join(b.home, "out"), 0o700); err != nil {
			t.Fatal(err)
		}
		for link, to := range map[string]string{"link": "out", "over": "out/key", "out/key": "../elsewhere"} {
			if err := os.Symlink(to, filepath.Join(b.home, link)); err != nil {
				t.Fatal(err)
			}
		}
		from = strings.ReplaceAll(from, "[~", "["+b.home)
		b.user("version: 1\nfiles: {" + key + ": [~/out]}\nnetwork: {allow: [a.test]}\ncredentials: [{name: A, from: " + from + ", hosts: [a.test]}]\n")
		b.refused(belljar.KindUsage, "where the credential A comes from")
	}
}

// Nor behind a link of the project.
func TestSourcesAreNotBehindTheProject(t *testing.T) {
	b := newBench(t)
	for link, to := range map[string]string{"key": "src/p/key", "src/p/key": "../../elsewhere"} {
		if err := os.Symlink(to, filepath.Join(b.home, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, from := range []string{"{file: ~/key}", "{command: [cat, \"~/key\"]}"} {
		b.user("version: 1\nnetwork: {allow: [a.test]}\ncredentials: [{name: A, from: " + from + ", hosts: [a.test]}]\n")
		b.refused(belljar.KindUsage, "lies in the workspace")
	}
}

func TestProjectNarrowsCredentials(t *testing.T) {
	user := acme + "  - {name: A, hosts: [\"*.acme.dev\", api.acme.dev], methods: [GET, POST], header: x-key}\n"
	for _, c := range []struct{ entry, want string }{
		{`[]`, `withheld: A from *.acme.dev, api.acme.dev, where no other key passes either`},
		{`[{name: A}]`, `{name: A, from: {env: A}, hosts: ["*.acme.dev", "api.acme.dev"], methods: ["GET", "POST"], header: "X-Key"}`},
		{`[{name: A, hosts: [b.acme.dev], methods: [GET], paths: [/v1/**]}]`, `{name: A, from: {env: A}, hosts: ["b.acme.dev"], methods: ["GET"], paths: ["/v1/**"], header: "X-Key"}` +
			"\nwithheld: A from *.acme.dev, api.acme.dev, where no other key passes either"},
		{`[{name: A, hosts: ["*.acme.dev"]}]`, `{name: A, from: {env: A}, hosts: ["*.acme.dev", "api.acme.dev"], methods: ["GET", "POST"], header: "X-Key"}`},
		{`[{name: A, header: x-key}]`, `{name: A, from: {env: A}, hosts: ["*.acme.dev", "api.acme.dev"], methods: ["GET", "POST"], header: "X-Key"}`},
		{`[{name: A, hosts: [acme.dev]}]`, `refused: binds it to acme.dev`},
		{`[{name: A, hosts: ["api.acme.dev:80"]}]`, `refused: binds it to api.acme.dev:80`},
		{`[{name: A, methods: [DELETE]}]`, `refused: gives it to other requests`},
		{`[{name: A, header: bearer}]`, `refused: puts it into another header`},
	} {
		b := newBench(t).user(user).project("version: 1\ncredentials: " + c.entry + "\n")
		if why, ok := strings.CutPrefix(c.want, "refused: "); ok {
			b.refused(belljar.KindRefused, why)
			continue
		}
		if got := credentialTexts(b.must()); got != c.want {
			t.Errorf("%s:\n%s\n%s", c.entry, got, c.want)
		}
	}
}

// What a flag adds to a credential that the project took away is no more than it would
// be without the project.
func TestFlagAfterProjectCleared(t *testing.T) {
	b := newBench(t).user(acme + "  - {name: A, from: {command: [op, read, x]}, hosts: [api.acme.dev], paths: [/v1/**]}\n").project("version: 1\ncredentials: []\n")
	b.opts.Flags.Credential, b.opts.Flags.Allow = []string{"A=localhost:9000"}, []string{"localhost:9000"}
	if got := credentialTexts(b.must()); got != `{name: A, from: {command: ["op", "read", "x"]}, hosts: ["localhost:9000"], paths: ["/v1/**"], header: bearer}`+
		"\nwithheld: A from api.acme.dev, where no other key passes either" {
		t.Error(got)
	}
}

// A project that clears the rules leaves the registries: no other key goes to one that
// is the host of a credential.
func TestProjectLeavesRegistriesGuarded(t *testing.T) {
	b := newBench(t).user("version: 1\nnetwork: {allow: [registry.acme.dev], registries: [npm]}\ncredentials: [{name: A, hosts: [registry.acme.dev]}]\n")
	b.project("version: 1\nnetwork: {allow: []}\n")
	if c := b.must().Credentials(); len(c) != 1 || !c[0].Withheld || !c[0].Bound("registry.acme.dev", 443) {
		t.Errorf("%+v", c)
	}
	b.project("version: 1\nnetwork: {allow: [], registries: []}\n")
	if c := b.must().Credentials(); len(c) != 0 {
		t.Errorf("%+v", c)
	}
}

// A credential implies no rule, and says which is missing.
func TestCredentialNeedsARule(t *testing.T) {
	b := newBench(t)
	b.opts.Flags.Credential = []string{"ACME_TOKEN=api.acme.dev"}
	b.refused(belljar.KindUsage, "no rule allows api.acme.dev", "--allow api.acme.dev")
	b.opts.Flags.Allow = []string{"api.acme.dev"}
	if got := credentialTexts(b.must()); got != `{name: ACME_TOKEN, from: {env: ACME_TOKEN}, hosts: ["api.acme.dev"], header: bearer}` {
		t.Error(got)
	}
	// What the project or the ceiling takes away takes the credential with it.
	b.project("version: 1\nnetwork: {allow: []}\n")
	b.must()
	b.opts.Flags = Flags{}
	if got := b.user("version: 1\nnetwork: {allow: [a.test]}\ncredentials: [{name: T, hosts: [a.test]}]\n").must().Credentials(); len(got) != 0 {
		t.Error(got)
	}
}

func TestCredentialFlag(t *testing.T) {
	const secret = "sk-secret-0123456789"
	for _, v := range []string{secret, "A=" + secret, "A", "=h", "A B=h.test", "HOME=h.test", "A=https://" + secret + "/", "A=10.0.0.1"} {
		b := newBench(t)
		b.opts.Flags.Credential = []string{v}
		if err := b.refused(belljar.KindUsage); strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", v, err)
		}
	}
	for v, want := range map[string]string{
		"A=": "no host follows A=", "A=https://h.test/v1": "without http", "A=10.0.0.1": "goes to names only", "A=[::1]": "localhost:PORT",
		"A=localhost": "write localhost:PORT", "A=h.test": "--allow h.test allows it", "A": "write NAME=HOST[:PORT]",
	} {
		b := newBench(t)
		b.opts.Flags.Credential = []string{v}
		b.refused(belljar.KindUsage, want)
	}
	for flag, want := range map[string]string{
		"ANTHROPIC_API_KEY=localhost:8080":        `header: "X-Api-Key"`,
		"MY_KEY=api.anthropic.com":                `header: "X-Api-Key"`,
		"ANTHROPIC_AUTH_TOKEN=api.anthropic.com":  `header: bearer`,
		"GH=github.com":                           `header: basic, user: "x-access-token"`,
		"G=generativelanguage.googleapis.com":     `header: "X-Goog-Api-Key"`,
		"T=api.github.com":                        `header: bearer`,
		"GEMINI_API_KEY=gemini.corp.example:8443": `header: "X-Goog-Api-Key"`,
	} {
		b := newBench(t)
		_, host, _ := strings.Cut(flag, "=")
		b.opts.Flags.Credential, b.opts.Flags.Allow = []string{flag}, []string{host}
		if got := credentialTexts(b.must()); !strings.HasSuffix(got, want+"}") {
			t.Errorf("%s: %s", flag, got)
		}
	}
}

// The preset's credential for an agent, with a source of the user and one more host.
func TestPresetCredential(t *testing.T) {
	b := newBench(t)
	b.opts.Command = "claude"
	p := b.must()
	if got := credentialTexts(p); !strings.Contains(got, `{name: ANTHROPIC_API_KEY, from: {env: ANTHROPIC_API_KEY}, hosts: ["api.anthropic.com"], paths: ["/v1/**"], header: "X-Api-Key"}`) {
		t.Error(got)
	}
	for _, c := range p.Credentials() {
		if !c.Optional {
			t.Errorf("%s must be there", c.Name)
		}
	}
	b.user("version: 1\ncredentials: [{name: ANTHROPIC_API_KEY, from: {file: key}}]\n")
	b.opts.Flags.Credential, b.opts.Flags.Allow = []string{"ANTHROPIC_API_KEY=localhost:8080"}, []string{"localhost:8080"}
	p = b.must()
	i := slices.IndexFunc(p.Credentials(), func(c Credential) bool { return c.Name == "ANTHROPIC_API_KEY" })
	c := p.Credentials()[i]
	if c.Optional || c.From.File != filepath.Join(b.home, ".config/belljar/key") || len(c.Hosts) != 2 || c.Header != "X-Api-Key" || !slices.Equal(c.Paths, []string{"/v1/**"}) {
		t.Errorf("%+v", c)
	}
	if y, err := p.YAML(); err != nil || !strings.Contains(string(y), "localhost:8080") {
		t.Errorf("%s %v", y, err)
	}
}

func TestCeilingLimitsCredentials(t *testing.T) {
	b := newBench(t).user(acme + "  - {name: A, hosts: [api.acme.dev]}\n").ceiling("version: 1\ncredentials: [{name: A, hosts: [\"*.acme.dev\"]}]\n")
	if got := credentialTexts(b.must()); !strings.Contains(got, "name: A") {
		t.Error(got)
	}
	b.ceiling("version: 1\ncredentials: [{name: A, methods: [GET]}]\n")
	b.refused(belljar.KindUsage, "the organisation's ceiling")
	b.ceiling("version: 1\ncredentials: []\n")
	b.refused(belljar.KindUsage, "the organisation's ceiling")
	b.opts.Command, b.opts.UserFile = "claude", ""
	withheld := func(c Credential) bool {
		return c.Withheld && c.Origin.Layer == layerCeiling && c.Bound("api.anthropic.com", 443)
	}
	if p := b.must(); len(p.Credentials()) != 3 || !withheld(p.Credentials()[0]) || !withheld(p.Credentials()[1]) || !withheld(p.Credentials()[2]) || len(p.Cuts()) != 3 {
		t.Errorf("%v %v", p.Credentials(), p.Cuts())
	}
}

func TestDiffCredentials(t *testing.T) {
	of := func(text string) *Policy { return newBench(t).user(acme + text).must() }
	a, b := of("  - {name: A, hosts: [api.acme.dev], paths: [/v1/**]}\n"), of("  - {name: A, from: {file: /k}, hosts: [api.acme.dev], header: x-key}\n")
	var l []string
	for _, c := range Diff(a, b) {
		l = append(l, c.String())
	}
	want := "+ credentials: A to api.acme.dev:443 (except api.acme.dev:443 /v1/**)\n" +
		"+ credentials: A from: {env: A} -> {file: \"/k\"}\n+ credentials: A as: bearer -> header X-Key"
	if got := strings.Join(l, "\n"); got != want {
		t.Error(got)
	}
	if d := Diff(a, a); len(d) != 0 {
		t.Error(d)
	}
	// Without a credential, or where it no longer goes, any key passes.
	none := newBench(t).user("version: 1\nnetwork: {allow: [api.acme.dev, \"*.acme.dev\"]}\n").must()
	if d := Diff(a, none); len(d) != 2 || d[1].String() != "+ credentials: other keys to api.acme.dev:443" {
		t.Error(d)
	}
	if d := Diff(none, a); len(d) != 2 || d[1].String() != "- credentials: other keys to api.acme.dev:443" {
		t.Error(d)
	}
	unreached := newBench(t).user("version: 1\n").must()
	if d := Diff(a, unreached); slices.ContainsFunc(d, func(c Change) bool { return c.Possible }) {
		t.Error(d)
	}
	user := newBench(t).user(acme + "  - {name: A, hosts: [api.acme.dev], paths: [/v1/**]}\n")
	withheld := user.project("version: 1\ncredentials: []\n").must()
	if d := Diff(a, withheld); len(d) != 1 || d[0].String() != "- credentials: A to api.acme.dev:443 /v1/**" {
		t.Error(d)
	}
}

// TestCredentialPrograms: a project and the ceiling may only take programs away.
func TestCredentialPrograms(t *testing.T) {
	user := func(programs string) string {
		return "version: 1\nnetwork: {allow: [a.test]}\ncredentials: [{name: T, hosts: [a.test]" + programs + "}]\n"
	}
	project := func(programs string) string {
		return "version: 1\ncredentials: [{name: T, programs: " + programs + "}]\n"
	}
	b := newBench(t)
	b.user(user(", programs: [/usr/bin/b, /usr/bin/a, /usr/bin/b]"))
	if got := credentialTexts(b.must()); !strings.Contains(got, `programs: ["/usr/bin/a", "/usr/bin/b"]`) {
		t.Error(got)
	}
	b.project(project("[/usr/bin/b]"))
	if got := credentialTexts(b.must()); !strings.Contains(got, `programs: ["/usr/bin/b"]`) || strings.Contains(got, "/a") {
		t.Error(got)
	}
	b.project(project("[/usr/bin/c]"))
	b.refused(belljar.KindRefused, "gives it to other programs")
	b.project(project("[]"))
	b.refused(belljar.KindUsage, "leave it out to allow all")
	b = newBench(t)
	b.user(user(""))
	b.project(project("[/usr/bin/a]"))
	if got := credentialTexts(b.must()); !strings.Contains(got, `programs: ["/usr/bin/a"]`) {
		t.Error(got)
	}
	for path, want := range map[string]string{"gh": "no path", "/usr/*/gh": "no path", "/usr/bin/../bin/gh": "shortest", "\"/a\\nb\"": "no path"} {
		b := newBench(t)
		b.user(user(", programs: [" + path + "]"))
		b.refused(belljar.KindUsage, want)
	}
}
