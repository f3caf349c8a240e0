// Package lookup finds a program by its name, inside the sandbox.
//
// It imports the standard library and x/sys only: the first process of a sandbox uses it
// before the rest of the program is initialised.
package lookup
