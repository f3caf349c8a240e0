// Package early runs the roles of this tier that must start fast, before the rest
// of the program is initialised: linking everything costs every process
// milliseconds of package initialisation.
//
// Go initialises packages in the order of their import paths as far as their own
// imports allow: a package waits for all it imports, and then for every other one that can be
// initialised and whose path sorts before. What jail and meter import is therefore chosen:
// path/filepath, net/netip, regexp, runtime/debug, or belljar itself, which has net/netip, would
// each put two hundred packages before this one. Test TestEarly of internal/e2e looks.
//
// # Limitations
//
// It is an optimisation: [Reexec] runs the same roles from main when init did not.
package early
