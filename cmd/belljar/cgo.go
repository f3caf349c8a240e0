//go:build cgo && linux

package main

// unfit says why this build starts no sandbox. A C library in the processes of a
// sandbox makes calls that their filters do not know, and makes threads at moments
// when they are being confined; some of them die at random.
const unfit = "it was built with cgo, and a C library does not survive in the processes of a sandbox"
