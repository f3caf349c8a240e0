// Package processors restricts which processors a sandbox runs on.
//
// # Limitations
//
// It imports the standard library and x/sys only, and of it little: the first
// processes of sandboxes run before the rest of the program is initialised.
package processors
