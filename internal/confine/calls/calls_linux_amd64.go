package calls

import (
	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/internal/seccomp"
)

// deniedHere are calls that this architecture alone has.
var deniedHere = []uint32{
	unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_USELIB, unix.SYS_USTAT, unix.SYS_SYSFS,
	unix.SYS__SYSCTL, unix.SYS_CREATE_MODULE, unix.SYS_GET_KERNEL_SYMS, unix.SYS_QUERY_MODULE,
}

// attributesHere are further ones of attributes.
var attributesHere = []uint32{unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_UTIME, unix.SYS_UTIMES, unix.SYS_FUTIMESAT}

// modesHere and here are steps about calls that this architecture alone has.
func modesHere(p *seccomp.Program, modes []uint32) { p.Permit(unix.SYS_CHMOD, 1, modes, unix.EPERM) }

func here(p *seccomp.Program, fds []uint32) {
	if len(fds) > 0 {
		p.Forbid(unix.SYS_DUP2, 1, fds, unix.EPERM)
	}
}
