package sshkey

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// TestKeygenReadsIt: ssh-keygen finds the same public half, signs, and its signature holds.
func TestKeygenReadsIt(t *testing.T) {
	testenv.Need(t, "ssh-keygen")
	for _, comment := range []string{"belljar", "a", "belljar sandbox a-b"} {
		k := New()
		again, err := FromSeed(k.Seed())
		if err != nil || again.Public("") != k.Public("") {
			t.Fatalf("another key from its seed: %v", err)
		}
		dir := t.TempDir()
		key, text, allowed := filepath.Join(dir, "key"), filepath.Join(dir, "text"), filepath.Join(dir, "allowed")
		for name, content := range map[string]string{key: string(k.Private(comment)), text: "signed\n", allowed: "a@b.test " + k.Public(comment) + "\n"} {
			if err := os.WriteFile(name, []byte(content), 0o400); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.Command("ssh-keygen", "-y", "-f", key).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != k.Public(comment) {
			t.Fatalf("%v: %s, want %s", err, out, k.Public(comment))
		}
		if out, err := exec.Command("ssh-keygen", "-Y", "sign", "-n", "git", "-f", key, text).CombinedOutput(); err != nil {
			t.Fatalf("sign: %v: %s", err, out)
		}
		verify := exec.Command("ssh-keygen", "-Y", "verify", "-n", "git", "-f", allowed, "-I", "a@b.test", "-s", text+".sig")
		verify.Stdin = strings.NewReader("signed\n")
		if out, err := verify.CombinedOutput(); err != nil {
			t.Fatalf("verify: %v: %s", err, out)
		}
	}
	if _, err := FromSeed([]byte("short")); err == nil {
		t.Error("a seed of five bytes")
	}
}
