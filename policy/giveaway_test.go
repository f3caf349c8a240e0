package policy

import (
	"os"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// What trust gives away of credentials is told in words that name the credential, the
// host and the header, and nothing else is told.
func TestGivenAway(t *testing.T) {
	b := newBench(t).user(acme + "  - {name: A, hosts: [api.acme.dev], methods: [GET]}\n")
	for _, c := range []struct{ project, want string }{
		{"network: {allow: [api.evil.test]}\nlimits: {memory: 64GiB}", ""},
		{"credentials: []", ""},
		{"credentials: [{name: A, paths: [/v1/**]}]", ""},
		{"credentials: [{name: A, hosts: [api.evil.test], header: x-evil}]",
			"sends A to api.evil.test in header x-evil, only GET (without trust: to api.acme.dev in header authorization (bearer), only GET)"},
		{"credentials: [{name: A, header: x-evil}]",
			"sends A to api.acme.dev in header x-evil, only GET (without trust: to api.acme.dev in header authorization (bearer), only GET)"},
		{"credentials: [{name: A, methods: [GET, POST]}]",
			"sends A to api.acme.dev in header authorization (bearer), only GET|POST (without trust: to api.acme.dev in header authorization (bearer), only GET)"},
		{"credentials: [{name: ANTHROPIC_API_KEY, hosts: [\"localhost:9000\"], paths: [\"/**\"]}]",
			"sends ANTHROPIC_API_KEY to localhost:9000 in header x-api-key, only /** (without trust: to api.anthropic.com in header x-api-key, only /v1/**)"},
		{"credentials: [{name: GITHUB_TOKEN, hosts: [api.evil.test]}]",
			"sends GITHUB_TOKEN to api.evil.test in header authorization (bearer), in runs where a flag gives that credential"},
		{"credentials: [{name: GITHUB_TOKEN, header: x-evil}]",
			"sends GITHUB_TOKEN to the hosts that the flag names in header x-evil, in runs where a flag gives that credential"},
		// A preset of the project's gives it in every run.
		{"extends: [git]\nnetwork: {allow: [api.evil.test]}\ncredentials: [{name: GITHUB_TOKEN, hosts: [api.evil.test]}, {name: GITLAB_TOKEN, paths: [/x]}]",
			"sends GITHUB_TOKEN to api.evil.test in header authorization (basic, user x-access-token), only /**/git-receive-pack|/**/git-upload-pack|/**/info/refs, where you have it\n" +
				"sends GITLAB_TOKEN to gitlab.com in header authorization (basic, user oauth2), only /x, where you have it"},
		{"extends: [git]", "sends GITHUB_TOKEN to github.com in header authorization (basic, user x-access-token), only /**/git-receive-pack|/**/git-upload-pack|/**/info/refs, where you have it\n" +
			"sends GITLAB_TOKEN to gitlab.com in header authorization (basic, user oauth2), only /**/git-receive-pack|/**/git-upload-pack|/**/info/refs, where you have it"},
		{"env: {pass: [A, LANG]}", "hands the sandbox the real value of your variable A"},
		{"env: {set: {A: x, CI: \"1\"}}", "sets A itself: your credential is not used then, and any key may go to api.acme.dev"},
		{"files: {read: [~/.aws, ~/lib], write: [~/reports]}", "shows the sandbox " + b.home + "/.aws, where credentials are kept: ~/.aws"},
	} {
		b.project("version: 1\n" + c.project + "\n")
		_, hash, err := ReadProject(b.opts.ProjectFile)
		if err != nil {
			t.Fatal(err)
		}
		got, err := GivenAway(b.opts, hash)
		if text := strings.Join(got, "\n"); err != nil || text != c.want {
			t.Errorf("%s: %v\n%s", c.project, err, text)
		}
	}
	// Nothing is said of a file that is not the one that was shown, or that has faults.
	b.project("version: 1\n")
	if _, err := GivenAway(b.opts, strings.Repeat("0", 64)); belljar.KindOf(err) != belljar.KindConflict {
		t.Error(err)
	}
	b.project("version: 1\ncredentials: [{name: A, from: {file: /k}}]\n")
	data, err := os.ReadFile(b.opts.ProjectFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := GivenAway(b.opts, hashOf(data)); belljar.KindOf(err) != belljar.KindUsage {
		t.Error(err)
	}
}

// A rule of the project's that lets a credential of the user into more requests is told,
// and one that does not is not.
func TestGivenAwayByRules(t *testing.T) {
	const bearer = " in header authorization (bearer)"
	for _, c := range []struct{ rules, bound, project, want string }{
		{"{host: api.acme.dev, methods: [GET], paths: [/v1/**]}", "api.acme.dev", "api.acme.dev",
			"sends A to api.acme.dev" + bearer + ", by a rule of its own (without trust: to api.acme.dev GET /v1/**)"},
		{"{host: api.acme.dev, methods: [GET]}", "\"*.acme.dev\"", "x.acme.dev",
			"sends A to x.acme.dev" + bearer + ", by a rule of its own (without trust: not there)"},
		{"api.acme.dev", "\"*.acme.dev\"", "\"*.acme.dev\"",
			"sends A to *.acme.dev" + bearer + ", by a rule of its own (without trust: to api.acme.dev)"},
		{"{host: api.acme.dev, methods: [GET]}", "api.acme.dev", "{host: api.acme.dev, methods: [POST], paths: [/v1/*]}",
			"sends A to api.acme.dev" + bearer + ", only POST /v1/*, by a rule of its own (without trust: to api.acme.dev GET)"},
		{"api.acme.dev", "api.acme.dev", "{host: api.acme.dev, private: true}",
			"sends A to api.acme.dev" + bearer + ", also at addresses of a private network, by a rule of its own (without trust: to api.acme.dev)"},
		{"api.acme.dev", "api.acme.dev", "\"*.acme.dev\"", ""},
		{"api.acme.dev", "api.acme.dev", "\"api.acme.dev:80\"", ""},
		{"{host: api.acme.dev, paths: [/v1/**]}", "api.acme.dev", "{host: api.acme.dev, methods: [GET], paths: [/v1/x]}", ""},
		{"{host: api.acme.dev, paths: [/v1/**]}", "api.acme.dev, methods: [GET], paths: [/v1/**]", "api.acme.dev", ""},
		{"{host: api.acme.dev, paths: [/v1/**]}", "api.acme.dev, paths: [/v1/**]", "{host: api.acme.dev, paths: [/v2/**]}", ""},
		{"{host: api.acme.dev, paths: [/v1/y/**]}", "api.acme.dev, paths: [/v1/*/x]", "{host: api.acme.dev, paths: [/v1/y/**]}", ""},
		// What both have no pattern can name: it is told as all of the credential's.
		{"{host: api.acme.dev, paths: [/v2]}", "api.acme.dev, paths: [/v1/*/x]", "{host: api.acme.dev, paths: [/v1/y/**]}",
			"sends A to api.acme.dev" + bearer + ", only /v1/*/x, by a rule of its own (without trust: not there)"},
	} {
		hosts, fields, _ := strings.Cut(c.bound, ", ")
		if fields != "" {
			fields = ", " + fields
		}
		b := newBench(t).user("version: 1\nnetwork: {allow: [" + c.rules + "]}\ncredentials: [{name: A, hosts: [" + hosts + "]" + fields + "}]\n")
		b.project("version: 1\nnetwork: {allow: [" + c.project + "]}\n")
		_, hash, err := ReadProject(b.opts.ProjectFile)
		if err != nil {
			t.Fatal(err)
		}
		got, err := GivenAway(b.opts, hash)
		if text := strings.Join(got, "\n"); err != nil || text != c.want {
			t.Errorf("%s, %s, then %s: %v\n%s\nwant\n%s", c.rules, c.bound, c.project, err, text, c.want)
		}
	}
}

// A folder that the command of a credential may obey is told; a known one no policy makes
// writable.
func TestGivenAwayOfCommands(t *testing.T) {
	b := newBench(t).user("version: 1\nnetwork: {allow: [a.test]}\nfiles: {write: [~/mine]}\ncredentials: [{name: A, from: {command: [mytool]}, hosts: [a.test]}]\n")
	for project, want := range map[string]string{
		"[~/.mytool]":      "lets the sandbox write " + b.home + "/.mytool: make sure that the command mytool, which gives A, keeps nothing there that it obeys",
		"[/srv/x, ~/mine]": "",
	} {
		b.project("version: 1\nfiles: {write: " + project + "}\n")
		_, hash, err := ReadProject(b.opts.ProjectFile)
		if err != nil {
			t.Fatal(err)
		}
		got, err := GivenAway(b.opts, hash)
		if text := strings.Join(got, "\n"); err != nil || text != want {
			t.Errorf("%s: %v\n%s", project, err, text)
		}
	}
	b.opts.Trusted = func(string) bool { return true }
	b.opts.Env = func(name string) (string, bool) { return b.home + "/gh", name == "GH_CONFIG_DIR" }
	for _, place := range []string{"~/.config/op", "~/.config/op/x", "~/.config/gh", "~/gh", "~/.password-store", "~/.vault", "~/.aws", "~/.config/Bitwarden CLI", "~/Library"} {
		b.project("version: 1\nfiles: {write: [\"" + place + "\"]}\n")
		b.refused(belljar.KindUsage, "execute or obey later")
	}
}

// What trust widens of a credential is always told.
func TestGivenAwayIsComplete(t *testing.T) {
	for _, name := range presetNames() {
		b := newBench(t).project("version: 1\nextends: [" + name + "]\n")
		_, hash, err := ReadProject(b.opts.ProjectFile)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := GivenAway(b.opts, hash)
		if err != nil {
			t.Fatal(err)
		}
		b.opts.Trusted = func(string) bool { return true }
		for _, c := range b.must().Credentials() {
			if !strings.Contains(strings.Join(lines, "\n"), "sends "+c.Name+" to "+c.Hosts[0].Host) {
				t.Errorf("%s: nothing is said of %s: %q", name, c.Name, lines)
			}
		}
	}
}
