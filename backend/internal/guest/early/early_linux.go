package early

import (
	"os"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/guest"
	"github.com/belljar-dev/belljar/internal/agenthook"
)

// The reason for an init function is the package's whole purpose.
func init() { Reexec(os.Args) }

// Reexec runs the helper, or the hook of an agent, where args[0] says so, and never returns;
// else it returns false, as for what serves files, which needs the whole program.
func Reexec(args []string) bool {
	if len(args) == 0 || args[0] != guest.Path || len(args) == 2 && args[1] == belljar.HelperFiles {
		return false
	}
	agenthook.Reexec(args)
	guest.Main(args)
	return true
}
