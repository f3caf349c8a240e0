//go:build ablation

package verify_test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"testing"

	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/verify"
)

// guards are, for each layer, rows that nothing but it stops.
var guards = map[string]string{
	ablate.Home: "reads/ssh-key,writes/home", ablate.Mounts: "reads/run", ablate.Etc: "reads/etc-shadow",
	ablate.Env: "reads/environment", ablate.Hide: "reads/dotenv", ablate.Hold: "writes/mcp,git/hook", ablate.Links: "links/left",
	ablate.Review: "review/any-file", ablate.Disk: "limits/disk", ablate.Decide: "network/name,proxy/connect-name",
	ablate.Guard: "network/guard-private", ablate.Target: "network/sni,network/host-header", ablate.Terminal: "terminal/clipboard",
	ablate.Limits: "limits/memfd",
}

// TestAblation: verify notices the removal of every layer, and names it.
func TestAblation(t *testing.T) {
	testenv.Need(t, "fuse", "userns", "netns", "git")
	program := build(t, "-tags", "ablation")
	usable := tiers(t, program)
	for _, layer := range ablate.Layers() {
		if guards[layer] == "" {
			t.Errorf("no row is known to notice the removal of %q", layer)
			continue
		}
		for _, tier := range usable {
			t.Run(layer+"/"+tier, func(t *testing.T) {
				t.Parallel()
				withoutLayer(t, program, layer, tier)
			})
		}
	}
}

func withoutLayer(t *testing.T, program, layer, tier string) {
	out, err := run(t, program, []string{"BELLJAR_ABLATE=" + layer}, "--json", "--tier", tier, "--only", guards[layer])
	var r verify.Report
	if jerr := json.Unmarshal(out, &r); jerr != nil {
		t.Fatalf("%v: %v: %s", jerr, err, out)
	}
	named := slices.ContainsFunc(r.Attacks, func(a verify.Attack) bool { return a.Result == verify.Through && a.Layer == layer })
	var ee *exec.ExitError
	if !errors.As(err, &ee) || ee.ExitCode() != 1 || !named {
		t.Errorf("it is not red by the layer's name: %v: %s", err, out)
	}
}
