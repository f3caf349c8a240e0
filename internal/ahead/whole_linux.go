//go:build !ablation && !cgo

package ahead

const off = false
