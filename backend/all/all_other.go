//go:build !linux

package all

import "github.com/belljar-dev/belljar"

// Backends returns every tier that this build knows, the strongest first.
func Backends() []belljar.Backend { return nil }

// Reexec runs the role of a backend that args[0] names and then never returns; it
// returns false when args[0] names none.
func Reexec([]string) bool { return false }
