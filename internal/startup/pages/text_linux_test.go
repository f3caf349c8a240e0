package pages

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

func TestTrim(t *testing.T) {
	before := mapped(t)
	Trim()
	if after := mapped(t); after >= before {
		t.Errorf("%d KiB of files before, %d after", before, after)
	}
	Trim() // what was let go comes back when it is touched
}

// TestCleanLeavesLibraries: what a loader has written to is not given back.
func TestCleanLeavesLibraries(t *testing.T) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range clean() {
		at := strconv.FormatUint(uint64(s.start), 16)
		for line := range strings.SplitSeq(string(maps), "\n") {
			lo, _, _ := strings.Cut(strings.TrimLeft(line, "0"), "-")
			if lo == at && (!strings.HasSuffix(line, exe) || hasCLibrary && !strings.Contains(line, "r-x")) {
				t.Errorf("given back: %s", line)
			}
		}
	}
	if len(clean()) == 0 {
		t.Error("nothing of the program is given back")
	}
}
