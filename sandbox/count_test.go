package sandbox

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestCountedFiles: the closing lines name what has changed in the end. What the run
// made and removed again is not worth a word; what the host had always is.
func TestCountedFiles(t *testing.T) {
	for events, want := range map[string]string{
		"create a":                                "a",
		"create a, remove a":                      "",
		"create a, write a, remove a":             "",
		"create a, remove a, create a":            "a",
		"mkdir d, create d/a, remove d/a":         "d",
		"create tmp, rename tmp>a":                "a",
		"create tmp, rename tmp>a, remove a":      "a", // the host may have had it
		"write a, remove a":                       "a",
		"write a, remove a, create a":             "a",
		"write a, remove a, create a, remove a":   "a",
		"rename a>b":                              "a",
		"remove a":                                "a",
		"symlink l, remove l, link h, remove h":   "",
		"mkdir d, rename d>e":                     "e",
		"create x, create y, rename x>y, write z": "y z",
	} {
		var c counter
		for _, e := range strings.Split(events, ", ") {
			op, path, _ := strings.Cut(e, " ")
			path, to, _ := strings.Cut(path, ">")
			c.file(belljar.FileEvent{Op: op, Path: path, To: to, Verdict: "pass"})
		}
		if got := strings.Join(slices.Sorted(maps.Keys(c.files)), " "); got != want {
			t.Errorf("%s: %q, want %q", events, got, want)
		}
	}
}

// What waits after a rename has the new name, and is the run's.
func TestRenameOfHeldIsOurs(t *testing.T) {
	var c counter
	c.file(belljar.FileEvent{Op: "rename", Path: "f", To: ".envrc", Verdict: "hold"})
	if !c.changed("f") || !c.changed(".envrc") {
		t.Errorf("not this run's: %v", c.files)
	}
}
