//go:build !ablation

package ablate

// Off says whether a layer is switched off.
func Off(string) bool { return false }

// Environ is what a child process of ours needs to know of it.
func Environ() []string { return nil }

// Namespaces are the flags without that of the namespace that is switched off.
func Namespaces(flags uintptr) uintptr { return flags }
