package credential

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unsafe"
)

// TestNotInDumps: the memory of a value is marked to be left out of core dumps and of
// children.
func TestNotInDumps(t *testing.T) {
	s := secretOf([]byte(testKey))
	b := s.region().b
	at := fmt.Sprintf("%x-", uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	// Mappings that are alike and side by side are one line.
	_, rest, found := strings.Cut(string(maps), "\n"+at)
	if !found {
		own := regexp.MustCompile(`(?m)^VmFlags:.*\bdd\b`)
		if !own.Match(maps) {
			t.Fatal("no memory is left out of core dumps")
		}
		return
	}
	flags := regexp.MustCompile(`(?m)^VmFlags:(.*)$`).FindString(rest)
	for _, flag := range []string{"dd", "wf"} {
		if !strings.Contains(flags+" ", " "+flag+" ") {
			t.Errorf("the value's memory lacks %s: %s", flag, flags)
		}
	}
	s.wipe()
}
