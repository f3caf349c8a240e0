package keeper

import (
	"github.com/belljar-dev/belljar/internal/inherited"
	"golang.org/x/sys/unix"
)

// private keeps other processes, and core dumps, from the memory, and this one from what
// whoever started it left open.
func private() error {
	if err := closeRest(2); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

// closeRest closes what whoever started this process left open beyond last.
func closeRest(last int) error { return inherited.Close(last) }
