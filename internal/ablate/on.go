//go:build ablation

package ablate

import "os"

const variable = "BELLJAR_ABLATE"

// Off says whether a layer is switched off.
func Off(layer string) bool { return os.Getenv(variable) == layer }

// Environ is what a child process of ours needs to know of it.
func Environ() []string { return []string{variable + "=" + os.Getenv(variable)} }
