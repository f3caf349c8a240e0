//go:build !linux

package keeper

// private and closeRest have nothing to do here: no tier runs on this system.
func private() error { return nil }

func closeRest(int) error { return nil }
