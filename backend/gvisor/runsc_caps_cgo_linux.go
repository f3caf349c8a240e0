//go:build cgo

package gvisor

// appliesCaps says whether gVisor drops capabilities by itself. In a build with
// cgo it would have to execute itself once more for that, which a dynamically
// linked program cannot do inside an empty root. So there sentry and gofer keep the
// capabilities that they hold in the sandbox's user namespace, behind system call
// filters that let them use none but those for files. Release builds have no cgo.
const appliesCaps = false
