//go:build !cgo

package gvisor

// appliesCaps says whether gVisor drops capabilities by itself.
const appliesCaps = true
