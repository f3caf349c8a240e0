//go:build !linux

package notify

func closeRest() error { return nil }
