package plan

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// The facts of this very host, as a run of an agent gathers them.
func BenchmarkGather(b *testing.B) {
	home, err := os.UserHomeDir()
	if err != nil {
		b.Fatal(err)
	}
	top := b.TempDir()
	o := GatherOptions{
		Command: []string{"sh"}, Env: os.Environ(), Home: home, Dir: top, StateDir: filepath.Join(top, "s"),
		RuntimeDir: filepath.Join(top, "r"), ConfigDir: filepath.Join(top, "c"), Registries: []string{"npm", "go"},
	}
	o.Workspace = filepath.Join(top, "w")
	if err := os.Mkdir(o.Workspace, 0o755); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Gather(context.Background(), o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMake(b *testing.B) {
	f := loadFacts(b, "testdata/facts.json")
	abs, err := filepath.Abs("testdata/wide.yaml")
	if err != nil {
		b.Fatal(err)
	}
	pol := loadPolicy(b, f, abs, "claude")
	for b.Loop() {
		if _, err := Make(pol, f, fullCaps(), MakeOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
