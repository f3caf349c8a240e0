// Package early runs the roles of this tier that must start fast, before the rest
// of the program is initialised: linking everything costs every process
// milliseconds of package initialisation.
//
// Go initialises packages in the order of their import paths as far as their own
// imports allow; this one imports the standard library and x/sys only.
//
// # Limitations
//
// It is an optimisation: [Reexec] runs the same roles from main when init did not.
package early
