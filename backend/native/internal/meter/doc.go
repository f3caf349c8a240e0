// Package meter counts what a sandbox of this tier uses: memory of every kind,
// processes, processor time. It does so in a process of its own, belljar-meter, because
// the supervisor, once confined, may not look into other processes.
//
// The process has descriptors of the sandbox's own /proc and memory file systems, a
// socket to the supervisor, and nothing else; it starts nothing, connects nowhere, and
// ends with the supervisor. Its death ends the sandbox.
//
// # Limitations
//
// Outside Linux there is nothing to count. The package imports what is initialised early only,
// because the process starts before the rest of the program is: see package early beside it.
package meter

import "time"

// Argv0 is argv[0] of the process that counts.
const Argv0 = "belljar-meter"

// Usage is a [belljar.Usage].
//
// [belljar.Usage]: https://pkg.go.dev/github.com/belljar-dev/belljar#Usage
type Usage struct {
	Memory    int64
	Processes int // -1: unknown
	CPU       time.Duration
}
