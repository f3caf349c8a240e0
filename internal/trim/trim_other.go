//go:build !linux

package trim

// Program does nothing here.
func Program() {}
