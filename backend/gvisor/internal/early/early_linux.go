package early

import (
	"os"

	"github.com/belljar-dev/belljar/backend/gvisor/internal/launch"
)

// The reason for an init function is the package's whole purpose.
func init() { Reexec(os.Args) }

// Reexec runs the role that args[0] names and never returns; it returns false when
// args[0] names none of these.
func Reexec(args []string) bool {
	if len(args) == 0 || args[0] != launch.Name {
		return false
	}
	launch.Main()
	return true
}
