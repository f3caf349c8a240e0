// Package early runs the roles that must start fast and need little, before the
// rest of the program is initialised: linking a kernel costs every process 3 ms of
// package initialisation, and inside a sandbox ten times that.
//
// Go initialises packages in the order of their import paths as far as their own
// imports allow. This one imports the standard library and x/sys only, so its turn
// comes before gVisor's packages.
//
// # Limitations
//
// It is an optimisation: [Reexec] runs the same roles from main when init did not.
package early
