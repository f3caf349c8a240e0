package plan

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
)

// TestSigning: git inside is told to sign where the policy says so and there is a key, whose
// private half is no part of the plan.
func TestSigning(t *testing.T) {
	testenv.Need(t, "git")
	made := func(sign bool, key string) (*belljar.Plan, string) {
		f := loadFacts(t, "testdata/credentials.facts.json")
		w := wishes{limits: belljar.Limits{Memory: 1, CPUs: 1, Processes: 1, Disk: 1, Files: 1, Time: 1}, mode: belljar.ModeLive}
		f.Signing, w.sign = key, sign
		p, err := build(w, f, fullCaps())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range p.Mounts {
			if m.Target == "/etc/gitconfig" {
				return p, m.Content
			}
		}
		t.Fatal("no configuration")
		return nil, ""
	}
	const key = "ssh-ed25519 AAAA belljar-x"
	p, config := made(true, key)
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"gpg.format": "ssh", "commit.gpgsign": "true", "tag.gpgsign": "true", "user.signingkey": "/etc/belljar-git/signing-key",
		"gpg.ssh.allowedsignersfile": "/etc/belljar-git/allowed_signers",
	} {
		out, err := exec.Command("git", "config", "--file", file, name).Output()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s is %s, %v", name, out, err)
		}
	}
	found := map[string]belljar.Mount{}
	for _, m := range p.Mounts {
		if strings.HasPrefix(m.Target, "/etc/belljar-git/") {
			found[filepath.Base(m.Target)] = m
		}
	}
	private := found[SigningKey]
	if private.Kind != belljar.MountBind || private.Content != "" || !private.ReadOnly || !strings.HasSuffix(private.Source, "/"+SigningKey) {
		t.Errorf("the key: %+v", private)
	}
	if got := found["allowed_signers"].Content; !strings.HasSuffix(got, ` namespaces="git" `+key+"\n") || found[SigningKey+".pub"].Content != key+"\n" {
		t.Errorf("%q, %q", got, found[SigningKey+".pub"].Content)
	}
	for _, c := range []struct {
		sign bool
		key  string
		note string
	}{{true, key, "with a key of the sandbox's own: " + key}, {true, "", "made when it starts"}, {false, "", ""}, {false, key, ""}} {
		p, config := made(c.sign, c.key)
		if notes := strings.Join(p.Notes, "; "); !strings.Contains(notes, c.note) || c.note == "" && strings.Contains(notes, "signs") {
			t.Errorf("%+v: %s", c, notes)
		}
		if strings.Contains(config, "gpgSign") != (c.sign && c.key != "") {
			t.Errorf("%+v: %s", c, config)
		}
	}
}
