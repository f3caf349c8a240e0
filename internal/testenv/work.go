package testenv

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Work is the processor time that f takes, with whatever else this process does meanwhile: it
// is about as long on a busy machine as on an idle one. A bound of what an algorithm may take
// is one of its work.
func Work(t testing.TB, f func()) time.Duration {
	t.Helper()
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	f()
	return used() - before
}
