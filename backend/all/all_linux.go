package all

import (
	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/gvisor"
	"github.com/belljar-dev/belljar/backend/native"
)

// Backends returns every tier that this build knows, the strongest first.
func Backends() []belljar.Backend {
	return []belljar.Backend{gvisor.New(gvisor.Options{}), native.New(native.Options{})}
}

// Reexec runs the role of a backend that args[0] names and then never returns; it
// returns false when args[0] names none.
func Reexec(args []string) bool { return gvisor.Reexec(args) || native.Reexec(args) }
