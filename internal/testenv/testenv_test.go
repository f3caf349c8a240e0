package testenv

import (
	"os"
	"testing"
)

// Only root's run leaves anything to another, and only when it is told that there is
// one; who runs the tests is demanded by name, never by "all".
func TestOnlyRun(t *testing.T) {
	for _, follows := range []string{"", "yes", "follows"} {
		t.Setenv("BELLJAR_USER_RUN", follows)
		if left := probe("only-run") != nil; left != (os.Geteuid() == 0 && follows == "follows") {
			t.Errorf("BELLJAR_USER_RUN=%q: left to another run: %v", follows, left)
		}
	}
	t.Setenv("BELLJAR_REQUIRE", "all")
	if Required("only-run") {
		t.Error(`"all" demands only-run`)
	}
	t.Setenv("BELLJAR_REQUIRE", "fuse,only-run")
	if !Required("only-run") {
		t.Error("only-run cannot be demanded")
	}
}
