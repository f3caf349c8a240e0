package early

import (
	"syscall"

	"github.com/belljar-dev/belljar/internal/ahead"
)

// Attr is how the signer is started.
func Attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
}

// Procs is enough for what signs.
const Procs = "GOMAXPROCS=1"

// Child is the signer that was started ahead; nil where none was.
var Child = ahead.Start(ahead.Process{Argv0: Argv0, Attr: Attr(), Env: []string{Procs},
	Before: func() { ahead.CoarseTimers() }, // the thread does nothing else
})
