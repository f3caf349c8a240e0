package plan

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/policy"
)

func names(creds []belljar.Credential) []string {
	var l []string
	for _, c := range creds {
		l = append(l, c.Name)
	}
	return l
}

// A credential is left out where its variable holds something else inside, and where
// the caller does not have it; a preset's without a word.
func TestCredentials(t *testing.T) {
	load := func(flags policy.Flags, command string) *policy.Policy {
		p, err := policy.Load(policy.LoadOptions{Command: command, Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	key := "ANTHROPIC_API_KEY=real"
	for _, c := range []struct {
		flags policy.Flags
		env   []string
		want  []string
		note  string
	}{
		{policy.Flags{}, []string{key}, []string{"ANTHROPIC_API_KEY"}, ""},
		{policy.Flags{}, nil, nil, ""},
		{policy.Flags{}, []string{"ANTHROPIC_API_KEY="}, nil, ""},
		{policy.Flags{Env: []string{"ANTHROPIC_API_KEY"}}, []string{key}, nil, "holds that value inside"},
		{policy.Flags{Env: []string{"ANTHROPIC_API_KEY=mine"}}, []string{key}, nil, "holds that value inside"},
		{policy.Flags{Env: []string{"ANTHROPIC_API_KEY"}}, nil, nil, ""},
		{policy.Flags{Credential: []string{"T=a.test"}, Allow: []string{"a.test"}}, nil, nil, "T is not set here"},
		{policy.Flags{Credential: []string{"T=a.test"}, Allow: []string{"a.test"}}, []string{"T=x"}, []string{"T"}, ""},
	} {
		creds, notes := Credentials(load(c.flags, "claude"), c.env, nil)
		if !slices.Equal(names(creds), c.want) || !strings.Contains(strings.Join(notes, "\n"), c.note) || c.note == "" && len(notes) > 0 {
			t.Errorf("%+v %q: %v %q", c.flags, c.env, names(creds), notes)
		}
	}
}

// Nothing of the trust in the gateway is there where it ends no TLS; everything is
// where it does, also for a rule without a credential.
func TestTrustOnlyWhereSeen(t *testing.T) {
	f := loadFacts(t, "testdata/credentials.facts.json")
	f.Credentials = nil
	plan := func(rule belljar.NetRule) *belljar.Plan {
		w := wishes{limits: belljar.Limits{Memory: 1, CPUs: 1, Processes: 1, Disk: 1, Files: 1, Time: 1}, mode: belljar.ModeLive}
		w.network.Rules = []belljar.NetRule{rule}
		p, err := build(w, f, fullCaps())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	trusts := func(p *belljar.Plan) bool {
		env := slices.ContainsFunc(p.Env, func(e string) bool { return strings.Contains(e, certsDir) })
		mounts := slices.ContainsFunc(p.Mounts, func(m belljar.Mount) bool { return strings.HasPrefix(m.Target, certsDir) || m.Target == f.Bundles[0] })
		if env != mounts {
			t.Errorf("variables %v, files %v", env, mounts)
		}
		return env
	}
	rule := belljar.NetRule{Host: "a.test", Ports: []uint16{443}}
	if trusts(plan(rule)) {
		t.Error("TLS is passed through, and the gateway is trusted")
	}
	rule.Methods = []string{"GET"}
	if !trusts(plan(rule)) {
		t.Error("TLS is ended, and the gateway is not trusted")
	}
	rule.Host = "*.a.test"
	if !trusts(plan(rule)) {
		t.Error("TLS is ended below a wildcard, and the gateway is not trusted")
	}
	f.CA = ""
	_, err := build(wishes{limits: belljar.Limits{Memory: 1, CPUs: 1, Processes: 1, Disk: 1, Files: 1, Time: 1}, network: belljar.Network{Rules: []belljar.NetRule{rule}}}, f, fullCaps())
	if belljar.KindOf(err) != belljar.KindInternal {
		t.Errorf("without a certificate: %v", err)
	}
}

// The bundle has the system's certificates, the caller's and the gateway's.
func TestTrustFiles(t *testing.T) {
	ours, _ := authority(t, "gateway")
	company, _ := authority(t, "company")
	system, _ := authority(t, "system")
	dir := t.TempDir()
	bundle := filepath.Join(dir, "bundle")
	if err := os.WriteFile(bundle, []byte(strings.TrimSpace(system)), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &Facts{CA: ours, Bundles: []string{bundle}, Certs: []Certs{{Name: "SSL_CERT_FILE", Value: "/x", Files: []CertFile{{PEM: company}}}}}
	files, err := TrustFiles(f)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(files[TrustBundle]); got != system+company+ours {
		t.Errorf("%s", got)
	}
	if len(ders(files[TrustBundle])) != 3 || len(files) != 2 {
		t.Errorf("%d certificates, %d files", len(ders(files[TrustBundle])), len(files))
	}
}

// Java reads its store with one certificate more, and one made anew.
func TestJavaStore(t *testing.T) {
	keytool, err := exec.LookPath("keytool")
	if err != nil {
		keytool = ""
	}
	system, _ := authority(t, "the-system")
	ours, _ := authority(t, "the-gateway")
	anew := javaStore([]byte("not a store of ours"), []byte(system+ours), ours)
	more := javaStore(anew, []byte(system), ours)
	for name, c := range map[string]struct {
		store []byte
		want  int
	}{"anew": {anew, 3}, "more": {more, 4}} {
		if got := int(c.store[11]); got != c.want {
			t.Errorf("%s: %d entries", name, got)
		}
		if keytool == "" {
			continue // only the count is checked where there is no Java
		}
		file := filepath.Join(t.TempDir(), "cacerts")
		if err := os.WriteFile(file, c.store, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(keytool, "-list", "-keystore", file, "-storepass", jksPassword).CombinedOutput()
		if err != nil || strings.Count(string(out), "trustedCertEntry") < 2 || !strings.Contains(string(out), "belljar-0") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestExplainCredential(t *testing.T) {
	f := loadFacts(t, "testdata/credentials.facts.json")
	abs, err := filepath.Abs("testdata/credentials.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pol := loadPolicy(t, f, abs, "claude")
	p, err := Make(pol, f, fullCaps(), MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := Reasoned{p, pol, f}
	for _, c := range []struct{ kind, subject, verdict, reason string }{
		{"credential", "GITHUB_TOKEN", "stand-in", "the value of the variable GITHUB_TOKEN goes as Authorization: Basic, user x-access-token to github.com"},
		{"credential", "ANTHROPIC_API_KEY", "stand-in", "the command op read key goes as X-Api-Key to api.anthropic.com, localhost:8080, in requests with /v1/**"},
		{"credential", "ANTHROPIC_AUTH_TOKEN", "refuse", "has no value here"},
		{"credential", "X", "refuse", "no layer has a credential of that name"},
		{"env", "GITHUB_TOKEN", "set", "a stand-in"},
		{"host", "github.com", "allow", "a credential is bound to it"},
		{"host", "api.github.com", "allow", "only these pass: GET of /repos/acme/**"},
	} {
		e, err := r.Explain(c.kind, c.subject)
		if err != nil || e.Verdict != c.verdict || !strings.Contains(e.Reason, c.reason) {
			t.Errorf("%s %s: %+v %v", c.kind, c.subject, e, err)
		}
	}
}

// The data base for browsers has a page with the schema and one with the certificate; a
// certificate that does not fit gives none, and no text makes it panic.
func TestNSSStore(t *testing.T) {
	ours, _ := authority(t, "the-gateway")
	db := nssStore(ours)
	if len(db) != 2*sqlitePage || !strings.HasPrefix(string(db), "SQLite format 3\x00") || strings.Count(string(db), nssLabel) != 1 ||
		!strings.Contains(string(db), string(ders([]byte(ours))[0])) || !strings.Contains(string(db), "CREATE TABLE nssPublic (id, a0,") {
		t.Errorf("%d bytes", len(db))
	}
	long, _ := authority(t, strings.Repeat("x", sqlitePage))
	for _, ca := range []string{long, "", "-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n"} {
		if db := nssStore(ca); db != nil {
			t.Errorf("%.40q: %d bytes", ca, len(db))
		}
	}
}

// A credential that a project takes away keeps its host seen and gives nothing inside:
// no source, no variable, no helper of git; plan and explain say who took it.
func TestWithheldCredentials(t *testing.T) {
	f := loadFacts(t, "testdata/credentials.facts.json")
	dir := t.TempDir()
	load := func(project string) *policy.Policy {
		for name, text := range map[string]string{
			"user.yaml": "version: 1\nnetwork: {allow: [github.com, other.test]}\ncredentials:\n" +
				"  - {name: GITHUB_TOKEN, hosts: [github.com, other.test], header: basic}\n  - {name: KEY, from: {command: [op, read, key]}, hosts: [other.test]}\n",
			"belljar.yaml": "version: 1\ncredentials: " + project + "\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, err := policy.Load(policy.LoadOptions{
			UserFile: filepath.Join(dir, "user.yaml"), ProjectFile: filepath.Join(dir, "belljar.yaml"), Home: f.Home, Dir: f.Workspace.Dir, Workspace: f.Workspace.Dir, Tiers: []string{"test"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	env := []string{"GITHUB_TOKEN=real"}
	pol := load("[]")
	creds, notes := Credentials(pol, env, nil)
	if !slices.Equal(names(creds), []string{"GITHUB_TOKEN", "KEY"}) || len(notes) != 2 || !strings.Contains(notes[0], "GITHUB_TOKEN is withheld from github.com, other.test") || !strings.Contains(notes[0], "belljar.yaml:2") {
		t.Errorf("%+v %q", creds, notes)
	}
	for _, c := range creds {
		if !c.Withheld || c.From.Env != "" || len(c.From.Command) > 0 || c.Takes("GET", "/") || !c.Bound("other.test", 443) {
			t.Errorf("%+v", c)
		}
	}
	if creds, _ := Credentials(pol, nil, nil); !slices.Equal(names(creds), []string{"KEY"}) {
		t.Errorf("a variable that is not set: %v", names(creds))
	}
	f.Credentials = creds
	p, err := Make(pol, f, fullCaps(), MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, "GITHUB_TOKEN=") }) || !p.Network.Sees("github.com", 443) {
		t.Errorf("%q", p.Env)
	}
	if slices.ContainsFunc(p.Mounts, func(m belljar.Mount) bool { return strings.Contains(m.Content, "GITHUB_TOKEN") }) {
		t.Error("git inside has a helper for it")
	}
	e, err := Reasoned{p, pol, f}.Explain("credential", "GITHUB_TOKEN")
	if err != nil || e.Allowed || !strings.Contains(e.Reason, "withheld from github.com") || e.Nearest == nil || e.Nearest.Layer != "project" || e.Fix == "" {
		t.Errorf("%+v %v", e, err)
	}
	// A part of it: what is left comes first.
	creds, _ = Credentials(load("[{name: GITHUB_TOKEN, hosts: [other.test]}]"), env, nil)
	if !slices.Equal(names(creds), []string{"GITHUB_TOKEN", "KEY", "GITHUB_TOKEN"}) || creds[0].Withheld || creds[0].Bound("github.com", 443) ||
		!creds[2].Withheld || !creds[2].Bound("github.com", 443) || creds[2].Bound("other.test", 443) {
		t.Errorf("%+v", creds)
	}
}
