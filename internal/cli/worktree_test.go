package cli

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWorkTop(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sub := filepath.Join(top, "home/src/app/sub")
	for _, d := range []string{sub, filepath.Join(top, "home/src/app/.git"), filepath.Join(top, "home/.git"), filepath.Join(top, "home/plain")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(top, "home")
	for dir, want := range map[string]string{
		sub: filepath.Join(home, "src/app"), filepath.Join(home, "src/app"): filepath.Join(home, "src/app"),
		filepath.Join(home, "plain"): "", home: "", filepath.Join(top, "missing"): "",
	} {
		if got := workTop(dir, home); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}
