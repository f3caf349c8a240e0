package backendtest

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// leavesNothing starts and ends sandboxes one after the other in this process, as a
// server does, and counts what stays: descriptors, goroutines, child processes.
func leavesNothing(t *testing.T, s *box) {
	once := func() {
		x := newBox(t, s.b)
		x.boot()
		x.want("echo here", "here")
		x.stdin.Close()
		if err := x.in.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		select {
		case l := <-x.links:
			l.File.Close()
		default:
		}
	}
	once() // what a process makes once is no leak
	files, children, before := openFiles(t), len(testenv.Children(os.Getpid())), goleak.IgnoreCurrent()
	for range 5 {
		once()
	}
	settled := func(what string, want int, count func() int) {
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if got := count(); got <= want {
				return
			} else if time.Now().After(deadline) {
				t.Errorf("%d %s, before 5 sandboxes %d", got, what, want)
				return
			}
		}
	}
	settled("descriptors", files, func() int { return openFiles(t) })
	settled("child processes", children, func() int { return len(testenv.Children(os.Getpid())) })
	if err := testenv.Leaks(before); err != nil {
		t.Error(err)
	}
}

// openFiles is how many this process has open.
func openFiles(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
