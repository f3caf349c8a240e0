package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestManPages: a page for every command, with every flag, and no line that roff
// would obey by accident.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "man")
	if status, out, errout := say(t, "man", dir); status != 0 || out+errout != "" {
		t.Fatalf("status %d: %s%s", status, out, errout)
	}
	root := (&App{}).root()
	for _, c := range root.Commands() {
		b, err := os.ReadFile(filepath.Join(dir, "belljar-"+c.Name()+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		page := string(b)
		for _, flag := range longFlags(c) {
			if !strings.Contains(page, roff("--"+flag)) {
				t.Errorf("%s: --%s is missing", c.Name(), flag)
			}
		}
		for _, l := range strings.Split(page, "\n") {
			if strings.HasPrefix(l, ".") && !manRequest(l) || strings.HasPrefix(l, "'") {
				t.Errorf("%s: %q", c.Name(), l)
			}
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "belljar-run.1")); err != nil || !strings.Contains(string(b), ".SH EXIT STATUS\nThe command's own;") {
		t.Errorf("belljar-run.1: %v\n%s", err, b)
	}
}

func manRequest(l string) bool {
	for _, r := range []string{".TH ", ".SH ", ".TP", ".B ", ".PP", ".RS", ".RE", ".nf", ".fi"} {
		if l == r || strings.HasPrefix(l, r) && strings.HasSuffix(r, " ") {
			return true
		}
	}
	return false
}
