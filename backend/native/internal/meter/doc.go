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
// Outside Linux there is nothing to count.
package meter

// Argv0 is argv[0] of the process that counts.
const Argv0 = "belljar-meter"
