package view

import (
	"os"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/fstest"
)

// TestConformance runs the suite on names that pass, on names that are held (all of
// them, in review) and below a folder that is held in live.
func TestConformance(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	must(t, err)
	for _, c := range []struct {
		name string
		mode belljar.Mode
		dir  string
	}{{"live", belljar.ModeLive, ""}, {"review", belljar.ModeReview, ""}, {"held", belljar.ModeLive, "/.vscode"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{mode: c.mode, disk: 64 << 30, seed: func(h string) { must(t, os.Mkdir(h+"/.vscode", 0o755)) }}) // room for sparse private files
			fstest.Run(t, w.in+c.dir, fstest.Options{Exe: exe, OpenFolders: true})                                                        // the server must get into them
		})
	}
}

// TestDifferential does the same random operations in a view and in a plain
// directory.
func TestDifferential(t *testing.T) {
	t.Parallel()
	for _, mode := range []belljar.Mode{belljar.ModeLive, belljar.ModeReview} {
		for seed := range uint64(many(2, 6)) {
			w := newWorld(t, worldOptions{mode: mode})
			fstest.Differential(t, w.in, t.TempDir(), seed, 1500)
		}
	}
}
