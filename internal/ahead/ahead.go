// Package ahead starts the helper processes of a run before the program knows what
// they will have to do: while its own packages are still being initialised, which
// takes longer than everything that a run computes. A helper started ahead does what
// does not depend on the plan, and waits on its socket for the rest.
//
//	var child = ahead.Start(ahead.Process{Argv0: "belljar-view", …}) // a package variable
//	if pid, socket, ok := child.Take(); ok { … send the plan over socket … }
//
// # Limitations
//
// It imports packages runtime and syscall only, so that a package that imports nothing else is
// initialised before almost all others (Go initialises packages in the order of their
// import paths as far as their imports allow). It is an optimisation: whoever takes a
// helper can start one, and does where there is none.
package ahead

// RootMarker is the variable by which a process that was started as root tells itself
// so, after it became the sandbox identity (package rootid).
const RootMarker = "BELLJAR_STARTED_AS_ROOT"

// WarmArgv0 is what the supervisor of a sandbox that waits in a pool is called by.
const WarmArgv0 = "belljar-warm"
