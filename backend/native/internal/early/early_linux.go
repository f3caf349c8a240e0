package early

import (
	"os"

	"github.com/belljar-dev/belljar/backend/native/internal/jail"
	"github.com/belljar-dev/belljar/backend/native/internal/meter"
)

// The reason for an init function is the package's whole purpose.
func init() { Reexec(os.Args) }

// Reexec runs the role that args[0] names and never returns; it returns false when
// args[0] names none of these.
func Reexec(args []string) bool {
	if len(args) == 0 {
		return false
	}
	switch args[0] {
	case jail.Name:
		jail.Main()
	case meter.Argv0:
		meter.Main()
	default:
		return false
	}
	return true
}
