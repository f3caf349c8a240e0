package gvisor

import (
	"encoding/json"
	"flag"
	"os"
	"runtime"
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	sentryfilter "gvisor.dev/gvisor/runsc/boot/filter"
	sentryconfig "gvisor.dev/gvisor/runsc/boot/filter/config"
	goferfilter "gvisor.dev/gvisor/runsc/fsgofer/filter"
	goferconfig "gvisor.dev/gvisor/runsc/fsgofer/filter/config"
)

var update = flag.Bool("update", false, "write the compiled filters")

// choose keeps the filters for the options that this package uses.
func choose(all []precompiledseccomp.Program, want ...string) map[string]precompiledseccomp.Program {
	out := map[string]precompiledseccomp.Program{}
next:
	for _, p := range all {
		for _, w := range want {
			if !strings.Contains(p.Name, w) {
				continue next
			}
		}
		out[p.Name] = p
	}
	return out
}

// asFirst replaces this process's PID, which gVisor's rules contain, by that of
// the sentry, which is always the first process of its namespace.
func asFirst(b []uint32) {
	for i := range b {
		if b[i] == uint32(os.Getpid()) {
			b[i] = 1
		}
	}
}

// TestSeccompProgramsUpdate writes the file. It compiles every combination of
// options that gVisor has, which takes a minute.
func TestSeccompProgramsUpdate(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	s, err := sentryconfig.PrecompiledPrograms()
	if err != nil {
		t.Fatal(err)
	}
	g, err := goferconfig.PrecompiledPrograms()
	if err != nil {
		t.Fatal(err)
	}
	p := programs{
		Version: gvisorVersion(t),
		Sentry: choose(s, "systrap", "HostNetwork=false", "HostNetworkRawSockets=false", "HostFilesystem=true", "ProfileEnable=false",
			"NVProxy=false", "TPUProxy=false", "RDMAProxy=false", "CgoEnabled=false", "PluginNetwork=false"),
		Gofer: choose(g, "UDSOpenEnabled=false", "UDSCreateEnabled=false", "CgoEnabled=false", "DirectFS=true"),
	}
	for _, m := range []map[string]precompiledseccomp.Program{p.Sentry, p.Gofer} {
		for _, f := range m {
			asFirst(f.Bytecode32)
		}
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("seccomp_amd64.json", b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func gvisorVersion(t *testing.T) string {
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "gvisor.dev/gvisor" {
			return f[1]
		}
	}
	t.Fatal("go.mod names no gVisor")
	return ""
}

// TestSeccompVersion notices a change of gVisor without a new compilation.
func TestSeccompVersion(t *testing.T) {
	var got programs
	if err := json.Unmarshal(seccompPrograms, &got); err != nil {
		t.Fatal(err)
	}
	if want := gvisorVersion(t); got.Version != want {
		t.Errorf("the filters are those of gVisor %s, go.mod has %s: run the tests with -update", got.Version, want)
	}
}

// TestSeccompProgramsAreFound notices when the linked variables move.
func TestSeccompProgramsAreFound(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the filters are kept for amd64 only")
	}
	registerPrecompiled()
	for name := range sentryPrograms {
		if _, ok := sentryfilter.GetPrecompiled(name); !ok {
			t.Errorf("the sentry does not find %q", name)
		}
	}
	for name := range goferPrograms {
		if _, ok := goferfilter.GetPrecompiled(name); !ok {
			t.Errorf("the gofer does not find %q", name)
		}
	}
	if len(sentryPrograms)*len(goferPrograms) == 0 {
		t.Error("no programs")
	}
}
