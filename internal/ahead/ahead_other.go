//go:build !linux

package ahead

// DiscardRest does nothing: no helper is started ahead here.
func DiscardRest() {}
