// Package namespaces says how the first process of a sandbox of this tier is born:
// which namespaces, identities and capabilities it gets. Where the command line asks
// for this tier it is born ahead (see package ahead), because making namespaces takes
// the kernel milliseconds.
//
// # Limitations
//
// Outside Linux there is nothing to start.
package namespaces

// Argv0 is argv[0] of the first process.
const Argv0 = "belljar-init"
