package gvisor

import (
	_ "embed"
	"encoding/json"
	"runtime"
	_ "unsafe" // for go:linkname

	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	sentryfilter "gvisor.dev/gvisor/runsc/boot/filter"
	goferfilter "gvisor.dev/gvisor/runsc/fsgofer/filter"
)

// seccompPrograms are the system call filters that gVisor would compile at every
// start (10 ms), compiled ahead by TestSeccompProgramsUpdate. TestSeccompVersion fails when
// they are not those of the version in go.mod.
//
//go:embed seccomp_amd64.json
var seccompPrograms []byte

// gVisor's own build fills these maps by generated code that its Go modules lack.
//
//go:linkname sentryPrograms gvisor.dev/gvisor/runsc/boot/filter.precompiledPrograms
var sentryPrograms map[string]precompiledseccomp.Program

//go:linkname goferPrograms gvisor.dev/gvisor/runsc/fsgofer/filter.precompiledPrograms
var goferPrograms map[string]precompiledseccomp.Program

// programs are filters by the options that they were compiled for.
type programs struct {
	Version       string // of gVisor
	Sentry, Gofer map[string]precompiledseccomp.Program
}

// registerPrecompiled makes the programs known. Without it, or with programs for
// other options, gVisor compiles its filters itself.
func registerPrecompiled() {
	if runtime.GOARCH != "amd64" {
		return
	}
	var p programs
	if err := json.Unmarshal(seccompPrograms, &p); err != nil {
		return
	}
	sentryfilter.ListPrecompiled() // fills the maps once, with nothing
	goferfilter.ListPrecompiled()
	sentryPrograms, goferPrograms = p.Sentry, p.Gofer
}
