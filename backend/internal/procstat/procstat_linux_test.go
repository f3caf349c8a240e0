package procstat

import (
	"os"
	"testing"
)

// TestKernel: the kernel of this machine writes the line as we read it.
func TestKernel(t *testing.T) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := Parse(b); !ok || s.Parent != os.Getppid() || s.Threads < 1 {
		t.Errorf("%+v, %t; the parent is %d", s, ok, os.Getppid())
	}
}
