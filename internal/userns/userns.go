// Package userns says whether this host lets an ordinary user make user
// namespaces, and what to do where it does not.
//
// # Limitations
//
// The checks read files only, so that they cost microseconds: they find the known
// switches (kernel, AppArmor, seccomp of an outer container), not every policy
// that a security module may have.
package userns

// A Problem is why user namespaces cannot be made, and the exact fix.
type Problem struct {
	Reason string
	Remedy string
}
