//go:build !cgo

package pages

const hasCLibrary = false
