package rootid

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTopmost(t *testing.T) {
	d := t.TempDir()
	got := topmost([]string{"/usr/lib", "/usr", d, "", "/does/not/exist", "/usr", d})
	if diff := cmp.Diff([]string{"/usr", d}, got); diff != "" {
		t.Error(diff)
	}
}
