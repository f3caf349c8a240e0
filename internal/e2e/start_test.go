package e2e

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestEarly: what has to start fast does so before most of the program is initialised, which is
// the greater part of what a process of ours costs. One import too many, anywhere below it,
// moves it behind hundreds of packages.
func TestEarly(t *testing.T) {
	c := exec.Command(binary, "version")
	c.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, _ := c.CombinedOutput()
	var order []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "init" {
			order = append(order, f[1])
		}
	}
	const module = "github.com/belljar-dev/belljar/"
	for hook, most := range map[string]int{ // in hundredths of all
		"event/internal/early":          10,
		"workspace/view/internal/early": 10,
		"backend/native/internal/early": 30,
		"backend/gvisor/internal/early": 30,
		"event/internal/sign":           60,
		"workspace/view":                65,
	} {
		switch i := slices.Index(order, module+hook); {
		case i < 0:
			t.Errorf("%s is not among the %d packages that are initialised", hook, len(order))
		case i*100 > most*len(order):
			t.Errorf("%s is initialised after %d of %d packages, the last of them %s", hook, i, len(order), order[i-1])
		}
	}
}

// TestTimers: the first process of a sandbox lets its own timers be late, and not those of what
// it starts.
func TestTimers(t *testing.T) {
	if ownKernel() {
		t.Skip("a kernel of its own has timers of its own")
	}
	w := newWorld(t)
	out, err := w.cmd(t.Context(), "run", "--", "cat", "/proc/self/timerslack_ns").Output()
	if err != nil || string(out) != "50000\n" {
		t.Errorf("they may be late by %q ns, %v", out, err)
	}
}
