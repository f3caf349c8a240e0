// Package contract holds what every tier does in the same way before it acts: it
// checks a plan and the descriptors of a command, chooses processors and says of
// what kind an error is.
//
// # Limitations
//
// It imports the standard library, x/sys and the root package only, because it
// also runs before the rest of the program is initialised.
package contract
