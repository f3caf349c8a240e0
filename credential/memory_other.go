//go:build !linux

package credential

func mapPages(int) []byte { return nil }

func unmapPages([]byte) {}
