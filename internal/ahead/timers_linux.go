package ahead

import "syscall"

const (
	// coarse is how late a timer may be, in nanoseconds. Go's scheduler looks after itself
	// every 20 microseconds while there is work; each look is a timer interrupt and two
	// switches, and together they are up to a quarter of what a helper costs.
	coarse = 500_000
	// Exact is how late timers are by the kernel's own choice.
	Exact = 50_000

	prSetTimerslack = 29 // PR_SET_TIMERSLACK of prctl(2)
)

// CoarseTimers lets the timers of processes that this thread starts be late. The
// caller has locked the thread, and calls the function that it gets. It saves time
// only: without it everything works.
func CoarseTimers() (exact func()) {
	Timers(coarse)
	return func() { Timers(0) } // the thread's own
}

// Timers lets timers of this thread, and of processes that it starts, be late by so many
// nanoseconds.
func Timers(slack uintptr) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerslack, slack, 0)
}
