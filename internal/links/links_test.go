package links

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestHops: every link on the way is named, and where the way ends.
func TestHops(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"a", "b/c", "d"} {
		if err := os.MkdirAll(at(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"a/key": "../b/via/key", "b/via": at("d"), "d/key": "real", "round": "round", "gone": "nowhere/x", "b/c/up": "../../a",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path string
		want []string
	}{
		{"d/real", []string{"d/real"}},
		{"a/key", []string{"a/key", "b/via/key", "b/via", "d/key", "d/real"}},
		{"b/c/up/../b/via/x", []string{"b/c/b/via/x", "b/c/up", "b/via/x", "b/via", "d/x"}},
		{"gone/y", []string{"gone/y", "gone", "nowhere/x/y"}},
		{"round", []string{"round"}},
	} {
		var want []string
		for _, w := range c.want {
			want = append(want, at(w))
		}
		if got := Hops(dir + "/" + c.path); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.path, got, want)
		}
	}
}
