//go:build !linux

package startup

type span struct{}

func clean() []span { return nil }

func forget([]span) {}
