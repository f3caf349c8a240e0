//go:build ablation || cgo

package ahead

// With a C library what confines the helpers is not ready so early; and what a test
// build leaves out is told by the environment, which is not read here.
const off = true
