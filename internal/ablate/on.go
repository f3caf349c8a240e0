//go:build ablation

package ablate

import "os"

const variable = "BELLJAR_ABLATE"

// Off says whether a layer is switched off.
func Off(layer string) bool { return os.Getenv(variable) == layer }

// Environ is what a child process of ours needs to know of it.
func Environ() []string { return []string{variable + "=" + os.Getenv(variable)} }

// Namespaces are the flags without that of the namespace that is switched off.
func Namespaces(flags uintptr) uintptr {
	// The numbers are those of Linux: this package is portable.
	for layer, flag := range map[string]uintptr{
		NSPID: 0x20000000, NSNet: 0x40000000, NSIPC: 0x08000000, NSUTS: 0x04000000, NSCgroup: 0x02000000,
	} {
		if Off(layer) {
			flags &^= flag
		}
	}
	return flags
}
