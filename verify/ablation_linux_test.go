//go:build ablation

package verify_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"testing"

	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/verify"
)

// guards are, for each layer, rows that nothing but it stops.
var guards = map[string]string{
	ablate.Home: "reads/ssh-key,writes/home", ablate.Mounts: "reads/other-tmp,reads/run", ablate.Etc: "reads/etc-shadow",
	ablate.Env: "reads/environment", ablate.Hide: "reads/dotenv", ablate.Hold: "writes/mcp,git/hook", ablate.Links: "links/left",
	ablate.Review: "review/any-file", ablate.Disk: "limits/disk", ablate.Decide: "network/name,proxy/connect-name",
	ablate.Guard: "network/guard-private", ablate.Target: "network/sni,network/host-header", ablate.Terminal: "terminal/clipboard",
	ablate.Limits: "limits/memfd",
}

// TestAblation: verify notices the removal of every layer, and names it.
func TestAblation(t *testing.T) {
	testenv.Need(t, "fuse", "userns", "netns", "git")
	program := build(t, "-tags", "ablation")
	for _, layer := range ablate.Layers() {
		if guards[layer] == "" {
			t.Errorf("no row is known to notice the removal of %q", layer)
			continue
		}
		for _, tier := range tiers(t, program) {
			out, err := run(t, program, []string{"BELLJAR_ABLATE=" + layer}, "--json", "--tier", tier, "--only", guards[layer])
			var r verify.Report
			if jerr := json.Unmarshal(out, &r); jerr != nil {
				t.Errorf("%s, tier %s: %v: %v: %s", layer, tier, jerr, err, out)
				continue
			}
			var ee *exec.ExitError
			named := slices.ContainsFunc(r.Attacks, func(a verify.Attack) bool { return a.Result == verify.Through && a.Layer == layer })
			if !asExit(err, &ee) || ee.ExitCode() != 1 || !named {
				t.Errorf("without %q tier %s is not red by its name: %v: %s", layer, tier, err, out)
			}
		}
	}
}
