//go:build cgo

package gvisor

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// appliesCaps says whether gVisor drops capabilities by itself. In a build with
// cgo it would have to execute itself once more, which a dynamically linked
// program cannot do inside an empty root; so it is told not to. In the sentry
// dropCaps does it, for the threads of C too. The gofer, where nothing of ours runs
// at the right moment, keeps them, in the sandbox's user namespace and behind its
// system call filter, which lets it use none but those for files.
const appliesCaps = false

// fileCaps are what remains: access to files of the one identity that is mapped.
var fileCaps = []uintptr{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID,
}

// dropCaps drops every capability but those for files, in all threads.
func dropCaps() error {
	mask := uint32(0)
	for _, c := range fileCaps {
		mask |= 1 << c
	}
	const highest = 63
	for c := uintptr(0); c <= highest; c++ {
		if c < 32 && mask&(1<<c) != 0 {
			continue
		}
		if _, _, e := psx.Syscall3(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0); e != 0 && e != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", c, e)
		}
	}
	if _, _, e := psx.Syscall3(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); e != 0 {
		return fmt.Errorf("clear the ambient capabilities: %w", e)
	}
	head := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := &[2]unix.CapUserData{{Effective: mask, Permitted: mask}}
	if _, _, e := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(head)), uintptr(unsafe.Pointer(&data[0])), 0); e != 0 {
		return fmt.Errorf("set the capabilities: %w", e)
	}
	return nil
}
