// Package early runs the helper of package guest before the rest of the program is
// initialised, which takes long inside a sandbox. It comes later than the packages of
// the same name that tiers have, because the helper needs more.
//
// # Limitations
//
// It is an optimisation: [Reexec] does the same from main when init did not.
package early
