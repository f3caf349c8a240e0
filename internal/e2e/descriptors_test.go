package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWalkOfEverything: who looks at many files, where the host gives few descriptors, does
// not use up those of the processes that serve files, and nothing fails afterwards.
func TestWalkOfEverything(t *testing.T) {
	w := newWorld(t)
	for i := range 2000 {
		dir := filepath.Join(w.proj, fmt.Sprint("d", i%200), "of", "some", "depth")
		if i < 200 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.write("walk.sh", `
find /usr -type f -print0 2>/dev/null | head -z -n 4000 | xargs -0 stat > /dev/null && echo walked the system
find . -type f -exec stat {} + > /dev/null && find . -type f | wc -l
for i in 1 2 3 4 5 6 7 8 9 10; do cat /etc/passwd README d$i/of/some/depth/f$i /usr/bin/env > /dev/null || exit 9; done
echo made > made && cat made
`)
	// A soft limit below the hard one is what many systems start programs with.
	c := w.cmd(t.Context(), "run", "--", "sh", "walk.sh")
	c.Args = append([]string{"sh", "-c", `ulimit -Sn 256 && ulimit -Hn 1024 && exec "$0" "$@"`}, append([]string{c.Path}, c.Args[1:]...)...)
	c.Path = "/bin/sh"
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "walked the system") || !strings.Contains(string(out), "made") || strings.Contains(string(out), "Too many") {
		t.Fatalf("%v\n%s", err, out)
	}
}
