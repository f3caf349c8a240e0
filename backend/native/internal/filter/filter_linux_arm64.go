package filter

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	lowHalf   = 0
)

// deniedHere are calls that this architecture alone has.
var deniedHere []uint32
