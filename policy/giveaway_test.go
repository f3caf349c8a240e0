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
