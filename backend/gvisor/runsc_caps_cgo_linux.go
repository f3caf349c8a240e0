//go:build cgo

package gvisor

import (
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/seccomp"
	_ "gvisor.dev/gvisor/runsc/boot/filter/config"
	_ "gvisor.dev/gvisor/runsc/fsgofer/filter/config"
)

// appliesCaps says whether gVisor drops capabilities by itself. In a build with
// cgo it would have to execute itself once more for that, which a dynamically
// linked program cannot do inside an empty root. So there sentry and gofer keep the
// capabilities that they hold in the sandbox's user namespace, behind system call
// filters that let them use none but those for files. Release builds have no cgo.
const appliesCaps = false

// startHint goes with every failure to start.
const startHint = "this belljar was built with cgo: CGO_ENABLED=0 gives the build that is released"

//go:linkname sentrySyscalls gvisor.dev/gvisor/runsc/boot/filter/config.allowedSyscalls
var sentrySyscalls seccomp.SyscallRules

//go:linkname goferSyscalls gvisor.dev/gvisor/runsc/fsgofer/filter/config.allowedSyscalls
var goferSyscalls seccomp.SyscallRules

// allowCLibrary lets the C library wait. gVisor's filters know the futex calls of
// Go's runtime only, and kill a process whose C library finds a lock taken, which
// happens on a busy machine. What is added waits on memory of the process itself.
func allowCLibrary() {
	var forms seccomp.Or
	for _, op := range []uintptr{
		linux.FUTEX_WAIT, linux.FUTEX_WAKE,
		linux.FUTEX_WAIT_BITSET, linux.FUTEX_WAIT_BITSET | linux.FUTEX_CLOCK_REALTIME,
	} {
		// The arguments that an operation does not use hold anything.
		forms = append(forms, seccomp.PerArg{seccomp.AnyValue{}, seccomp.EqualTo(op | linux.FUTEX_PRIVATE_FLAG)})
	}
	sentrySyscalls.Add(unix.SYS_FUTEX, forms)
	goferSyscalls.Add(unix.SYS_FUTEX, forms)
}
