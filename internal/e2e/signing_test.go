package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// TestSignedCommits: git inside signs with a key that is told outside, exists for one
// sandbox, and holds outside; the user's own key and its agent are not there.
func TestSignedCommits(t *testing.T) {
	testenv.Need(t, "git", "ssh-keygen")
	w := newWorld(t)
	w.host("git", "init", "-q", "-b", "main", w.proj)
	w.env = append(w.env, "SSH_AUTH_SOCK=/tmp/agent.sock")
	w.write("sign.yaml", "version: 1\ngit: {sign: ssh}\n")
	told := regexp.MustCompile(`git inside signs as this sandbox: (ssh-ed25519 [A-Za-z0-9+/=]+ belljar-[a-z0-9-]+)`)
	commit := func(name string, flags ...string) string {
		t.Helper()
		r := w.trySh(`set -e
git -c user.email=agent@work.test commit -q --allow-empty -m `+name+`
git tag -m signed tag-`+name+`
git log -1 --format='%G? %s'
ls -l /etc/belljar-git/signing-key
! test -w /etc/belljar-git/signing-key
! test -e /tmp/agent.sock && test -z "$SSH_AUTH_SOCK" && echo alone`, append([]string{"--policy", "sign.yaml"}, flags...)...)
		mustContain(t, "output", r.out, name+"\n", "-r--------", "alone\n")
		m := told.FindStringSubmatch(r.errout)
		if m == nil {
			t.Fatalf("the public half is not told:\n%s\n%s", r.out, r.errout)
		}
		return m[1]
	}
	verified := func(commit, key string) bool {
		allowed := filepath.Join(w.home, "allowed_signers")
		if err := os.WriteFile(allowed, []byte("agent@work.test "+key+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		c := exec.Command("git", "-C", w.proj, "-c", "safe.directory=*", "-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-commit", "--raw", commit)
		c.Env = testenv.Environ("HOME=" + w.home)
		out, err := c.CombinedOutput()
		t.Logf("%s: %s", commit, out)
		return err == nil && strings.Contains(string(out), `Good "git" signature for agent@work.test`)
	}
	first := commit("one")
	if !verified("main", first) || !verified("tag-one^{commit}", first) {
		t.Error("the signature does not hold outside")
	}
	log := w.belljar("log", "--json", "--kind", "plan")
	mustContain(t, "the record", log.out, strings.Fields(first)[1])
	second := commit("two")
	if second == first || verified("main", first) || !verified("main", second) {
		t.Error("another sandbox has the same key")
	}
	// A kept sandbox keeps its key, whatever it does in its HOME.
	third := commit("three", "--name", "keeper")
	if fourth := commit("four", "--name", "keeper"); third != fourth || !verified("main", third) || third == first {
		t.Errorf("%s, then %s", third, fourth)
	}
	shown := w.belljar("plan", "--policy", "sign.yaml", "--name", "keeper", "--", "true")
	mustContain(t, "the plan", shown.out, third)
	mustLack(t, "the plan", shown.out, "PRIVATE KEY")
	if r := w.belljar("plan", "--policy", "sign.yaml", "--", "true"); !strings.Contains(r.out, "which is made when it starts") {
		t.Error(r.out)
	}
}
