//go:build cgo

package gvisor

// appliesCaps says whether gVisor drops capabilities by itself. In a build with
// cgo it would have to execute itself once more for that, which a dynamically
// linked program cannot do inside an empty root. So there sentry and gofer keep the
// capabilities that they hold in the sandbox's user namespace, behind system call
// filters that let them use none but those for files. Release builds have no cgo.
const appliesCaps = false

// startHint goes with every failure to start: gVisor's filters do not know how the
// C library waits, and kill a process of ours that does, which a busy machine shows.
const startHint = "this belljar was built with cgo, which the sandbox's kernel does not always survive: build it with CGO_ENABLED=0"
