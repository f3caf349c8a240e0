package trim

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// mapped is how much of files this process has in memory, in KiB.
func mapped(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "RssFile:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestProgram(t *testing.T) {
	drop := Program()
	before := mapped(t)
	drop()
	if after := mapped(t); after >= before {
		t.Errorf("%d KiB of files before, %d after", before, after)
	}
	drop() // what was let go comes back when it is touched
}
