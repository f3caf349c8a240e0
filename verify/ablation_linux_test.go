//go:build ablation

package verify_test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
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
	ablate.StandIns: "credentials/environment,credentials/anywhere,credentials/other-header", ablate.Places: "credentials/elsewhere,credentials/foreign",
	ablate.Answers: "credentials/answer", ablate.Limits: "limits/memfd",
	ablate.Commands: "denied/direct,denied/loader,denied/copy,denied/link,denied/descriptor",
}

// tierGuards are the same for the layers of which each tier is made. All rows of
// one must be red. What a tier is not named for it does not have, or another kernel
// stands behind it.
var tierGuards = map[string]map[string]string{
	"native": {
		ablate.Filter: "confined/filter,kernel/io-uring,kernel/userfaultfd,kernel/keyctl", ablate.Landlock: "process/oom-score",
		ablate.Capabilities: "confined/capabilities,process/capabilities", ablate.NoNewPrivs: "confined/new-privileges",
		ablate.Descriptors: "confined/descriptors,reads/descriptor", ablate.ProcMask: "kernel/proc-kallsyms,kernel/proc-cmdline",
		ablate.UserLimits: "kernel/namespace-limits", ablate.NSPID: "confined/ns-pid,process/see", ablate.NSNet: "confined/ns-net,network/raw-ip",
		ablate.NSIPC: "confined/ns-ipc,kernel/ipc", ablate.NSUTS: "confined/ns-uts,reads/hostname", ablate.NSCgroup: "process/cgroup-path",
	},
	"gvisor": {
		ablate.Filter: "confined/filter", ablate.Capabilities: "confined/capabilities,confined/new-privileges",
		ablate.Descriptors: "confined/descriptors", ablate.NSPID: "confined/ns-pid", ablate.NSNet: "confined/ns-net",
		ablate.NSIPC: "confined/ns-ipc", ablate.NSUTS: "confined/ns-uts", ablate.Programs: "programs/other,programs/copy",
	},
}

// TestAblation: verify notices the removal of every layer, and names it.
func TestAblation(t *testing.T) {
	testenv.Need(t, "fuse", "userns", "netns", "git")
	program := build(t, "-tags", "ablation")
	usable := tiers(t, program)
	known := map[string]bool{}
	for _, tier := range usable {
		if tierGuards[tier] == nil {
			t.Errorf("no layer of the tier %s is known", tier)
		}
		for layer := range tierGuards[tier] {
			known[layer] = true
		}
	}
	for _, layer := range append(ablate.Layers(), ablate.TierLayers()...) {
		if guards[layer] == "" && !known[layer] && len(usable) == len(tierGuards) {
			t.Errorf("no row is known to notice the removal of %q", layer)
		}
		for _, tier := range usable {
			rows := guards[layer] + tierGuards[tier][layer]
			if rows == "" {
				continue
			}
			t.Run(layer+"/"+tier, func(t *testing.T) {
				t.Parallel()
				withoutLayer(t, program, layer, []string{"--tier", tier, "--only", rows})
			})
		}
	}
}

// withoutLayer: every row is red, but for those that this host excuses, and one names the layer.
func withoutLayer(t *testing.T, program, layer string, args []string) {
	out, err := run(t, program, []string{"BELLJAR_ABLATE=" + layer}, append([]string{"--json"}, args...)...)
	var r verify.Report
	if jerr := json.Unmarshal(out, &r); jerr != nil {
		t.Fatalf("%v: %v: %s", jerr, err, out)
	}
	judged := func(a verify.Attack) bool { return a.Result != verify.NotJudged }
	if err == nil && !slices.ContainsFunc(r.Attacks, judged) {
		t.Logf("this host excuses every row: %s", out)
		return
	}
	named := slices.ContainsFunc(r.Attacks, func(a verify.Attack) bool { return a.Result == verify.Through && strings.Contains(a.Layer, layer) })
	var ee *exec.ExitError
	if !errors.As(err, &ee) || ee.ExitCode() != 1 || !named || slices.ContainsFunc(r.Attacks, func(a verify.Attack) bool { return a.Result == verify.Stopped }) {
		t.Errorf("it is not red by the layer's name: %v: %s", err, out)
	}
}
