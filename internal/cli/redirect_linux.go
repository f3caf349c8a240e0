package cli

import "golang.org/x/sys/unix"

// redirect has descriptor to be what from is.
func redirect(from, to int) error { return unix.Dup3(from, to, 0) }
