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

// coarse is how late a timer of the server may be, in nanoseconds. Go's scheduler
// looks after itself every 20 microseconds while there is work; each look is a timer
// interrupt and two switches, and together they were a quarter of the server's time.
const coarse = 500_000

const prSetTimerslack = 29 // PR_SET_TIMERSLACK of prctl(2)

// Attr is how the server process is started.
func Attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// CoarseTimers lets the timers of processes that this thread starts be late. The
// caller has locked the thread, and calls the function that it gets. It saves time
// only: without it everything works.
func CoarseTimers() (exact func()) {
	slack := func(ns uintptr) { _, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerslack, ns, 0) }
	slack(coarse)
	return func() { slack(0) } // the thread's own
}

// Child is the server that was started ahead; nil where none was.
var Child = ahead.Start(ahead.Process{
	Argv0: Argv0, Attr: Attr(), Env: []string{Procs}, Stderr: true,
	Before: func() { CoarseTimers() }, // the thread does nothing else
})
