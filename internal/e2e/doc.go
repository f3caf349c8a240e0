// Package e2e holds the tests of the whole program: they build it once and drive
// the real binary with real tools, as whoever runs the tests, root or not.
//
// # Limitations
//
// Traffic stays on the loopback and inside namespaces that the tests make.
package e2e
