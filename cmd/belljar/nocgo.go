//go:build !cgo || !linux

package main

// unfit says why this build starts no sandbox: it does.
const unfit = ""
