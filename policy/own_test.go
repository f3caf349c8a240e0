package policy

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/belljar-dev/belljar"
)

// A policy that lies in the workspace, or is reached through it, is held there: what
// runs inside must not decide about the next run.
func TestOwnFilesAreHeld(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(b.opts.Workspace, "dot [x]")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(target, []byte("version: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.opts.UserFile = filepath.Join(b.home, "linked.yaml")
	if err := os.Symlink(target, b.opts.UserFile); err != nil {
		t.Fatal(err)
	}
	b.opts.PolicyFile = filepath.Join(b.opts.Workspace, "mine.yaml")
	if err := os.WriteFile(b.opts.PolicyFile, []byte("version: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	held := map[string]string{}
	for _, h := range b.must().Hold() {
		held[h.Glob] = h.Origin.Layer
	}
	if len(held) != 2 || held[`/dot \[x\]/policy.yaml`] != layerUser || held["/mine.yaml"] != layerFlag {
		t.Errorf("%v", held)
	}
}

// Nor may it lie in a folder that can be written.
func TestOwnFilesAreNotWritable(t *testing.T) {
	b := newBench(t)
	out := filepath.Join(b.home, "out")
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	b.opts.PolicyFile = filepath.Join(out, "p.yaml")
	if err := os.WriteFile(b.opts.PolicyFile, []byte("version: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(out, filepath.Join(b.home, "alias")); err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"~/out", "~/alias", "~/out/p.yaml"} {
		b.opts.Flags.Write = []string{w}
		if err := b.refused(belljar.KindUsage, "decides about the next run"); err == nil {
			t.Errorf("%s is accepted", w)
		}
	}
	b.opts.Flags.Write = []string{"~/other"}
	b.must()
}
