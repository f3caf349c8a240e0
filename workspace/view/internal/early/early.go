// Package early starts the file server of a run ahead: see package ahead.
//
// # Limitations
//
// Outside Linux there is none.
package early

// Argv0 is the name under which the server process runs.
const Argv0 = "belljar-view"

// Workers is how many requests of one view are answered at the same time.
const Workers = 6
