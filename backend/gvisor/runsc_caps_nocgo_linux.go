//go:build !cgo

package gvisor

// appliesCaps says whether gVisor drops capabilities by itself.
const appliesCaps = true

// startHint goes with every failure to start.
const startHint = ""

// allowCLibrary has nothing to allow: there is no C library.
func allowCLibrary() {}
