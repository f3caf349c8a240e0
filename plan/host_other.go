//go:build !linux

package plan

// fileSystem cannot tell file systems apart on this system.
func fileSystem(string) (name string, network bool) { return "", false }
