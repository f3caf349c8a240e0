//go:build !cgo

package view

import "os"

// The server process starts here, and so before the packages that it does not need
// are initialised, which takes longer than all else in its start. [Reexec] in main
// does the same where the order of initialisation is another. Not with a C library:
// what confines the process (package psx) is not ready for it yet.
func init() { Reexec(os.Args) }
