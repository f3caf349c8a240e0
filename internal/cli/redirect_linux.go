package cli

import (
	"github.com/belljar-dev/belljar/internal/inherited"
	"golang.org/x/sys/unix"
)

// redirect has descriptor to be what from is.
func redirect(from, to int) error { return unix.Dup3(from, to, 0) }

// keepInherited keeps what the caller left open from everything that a supervisor starts;
// letGo closes it, but for fdReport.
func keepInherited() (letGo func(), err error) { return inherited.Keep(2, fdReport) }
