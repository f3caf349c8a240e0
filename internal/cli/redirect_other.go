//go:build !linux

package cli

import "golang.org/x/sys/unix"

// redirect has descriptor to be what from is.
func redirect(from, to int) error { return unix.Dup2(from, to) }

// keepInherited has nothing to do here: no tier runs on this system.
func keepInherited() (letGo func(), err error) { return func() {}, nil }
