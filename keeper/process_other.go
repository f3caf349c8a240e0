//go:build !linux

package keeper

// private has nothing to do here: no tier runs on this system.
func private() error { return nil }
