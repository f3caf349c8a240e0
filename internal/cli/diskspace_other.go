//go:build !linux

package cli

// diskSpace is not known on this system.
func diskSpace(string) (free, size int64) { return 0, 0 }
