// Package startup makes the first seconds of a process cheap.
//
// What belljar's processes allocate while they start lives on, so that collecting
// garbage then costs time and frees nothing; what they used only to start is given
// back to the system when they have settled.
//
// # Limitations
//
// It changes settings of the whole process and is called once, first thing.
package startup

import (
	"runtime/debug"
	"time"

	"github.com/belljar-dev/belljar/internal/startup/pages"
)

const (
	// enough is the heap at which garbage is collected all the same.
	enough = 128 << 20
	// percent is how much garbage may gather afterwards, of what lives.
	percent = 100
)

// DelayGC keeps the collector off until the process has settled, unless the heap
// grows beyond all measure, and then gives unused memory back, the program's own
// code that only the start needed included. A lean process lets less garbage gather where
// much lives, so that it stays small with many connections; others are as fast as they can.
func DelayGC(lean bool) {
	code := pages.Clean() // before /proc is out of reach
	debug.SetGCPercent(-1)
	limit := debug.SetMemoryLimit(enough)
	time.AfterFunc(pages.Settled, func() {
		debug.SetGCPercent(percent)
		if lean {
			follow(percent)
		}
		debug.SetMemoryLimit(limit)
		debug.FreeOSMemory()
		code.Forget()
	})
}
