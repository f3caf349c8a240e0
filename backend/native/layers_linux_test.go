package native_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/backendtest"
	"github.com/belljar-dev/belljar/backend/native"
	"github.com/belljar-dev/belljar/internal/testenv"
)

// TestLayers: each layer holds something that nothing else holds, so that its
// absence shows.
func TestLayers(t *testing.T) {
	if backendtest.AsOrdinaryUser(t) {
		return
	}
	testenv.Need(t, "userns")
	const script = `grep -q '^Seccomp:.2' /proc/self/status || echo filter
grep -q '^CapBnd:.0000000000000000' /proc/self/status || echo capabilities
(echo 100 > /proc/self/oom_score_adj) 2>/dev/null && echo landlock
true`
	for _, without := range []string{"", "filter", "landlock", "capabilities"} {
		t.Run("without "+without, func(t *testing.T) {
			if got := runScript(t, native.Options{Without: without}, script); got != without {
				t.Errorf("missing layers %q, want %q", got, without)
			}
		})
	}
}

// runScript runs a script as the first command of a sandbox and returns its trimmed output.
func runScript(t *testing.T, o native.Options, script string) string {
	t.Helper()
	p := smallPlan()
	p.Command = belljar.Exec{Path: "/usr/bin/sh", Argv: []string{"sh", "-c", script}, Dir: "/"}
	in, err := native.New(o).Start(t.Context(), &belljar.Spec{Plan: p, Dir: t.TempDir(), Events: noEvents{}})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := in.Start(t.Context(), &belljar.Command{Exec: p.Command, Stdout: w}); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
