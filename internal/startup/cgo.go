//go:build cgo

package startup

const hasCLibrary = true
