package early

import (
	"syscall"

	"github.com/belljar-dev/belljar/internal/ahead"
)

// Procs gives every worker of a view ([Workers]) a place in Go's scheduler, with two
// to spare, whatever the number of processors: a worker that waits for the kernel
// keeps its place, and when places are short the scheduler takes them away and gives
// them back for every request. More than that many threads never run at the same time.
const Procs = "GOMAXPROCS=8"

// Attr is how the server process is started.
func Attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// Child is the server that was started ahead; nil where none was.
var Child = ahead.Start(ahead.Process{
	Argv0: Argv0, Attr: Attr(), Env: []string{Procs}, Stderr: true,
	Before: func() { ahead.CoarseTimers() }, // the thread does nothing else
})
