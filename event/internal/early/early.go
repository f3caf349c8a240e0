// Package early starts the process that signs for a run before the program is initialised:
// see package ahead. It imports nothing else, so that it is among the first.
package early

// Argv0 is the name by which the program is the signer.
const Argv0 = "belljar-sign"
