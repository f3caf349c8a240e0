package testenv

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Leaks waits until no goroutine is left but those that o leaves out. Its error tells which are
// left after a minute: goleak itself waits for half a second, in which a busy machine may not
// come to what is about to end.
func Leaks(o ...goleak.Option) error {
	for late := time.Now().Add(time.Minute); ; {
		if err := goleak.Find(o...); err == nil || time.Now().After(late) {
			return err
		}
	}
}

// RunWithoutLeaks runs the tests of a package, which fail where they leave goroutines behind,
// and returns the status to exit with.
func RunWithoutLeaks(m *testing.M) int {
	status := m.Run()
	if status != 0 {
		return status
	}
	if err := Leaks(); err != nil {
		fmt.Fprintln(os.Stderr, "the tests leave goroutines behind:", err)
		return 1
	}
	return 0
}
