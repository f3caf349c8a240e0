package seccomp

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The parts of struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// A Program is a filter that is being written. Each method adds a step; a step that
// says nothing of a call leaves it to the next one.
type Program struct{ ins []unix.SockFilter }

// New begins a filter that answers every call of another ABI (i386) with e.
func New(e unix.Errno) *Program {
	p := &Program{}
	p.load(offArch)
	p.jump(unix.BPF_JEQ, auditArch, 1, 0)
	p.fail(e)
	p.load(offNr)
	return p
}

// Allow lets what no step refused pass, and is the filter.
func (p *Program) Allow() []unix.SockFilter {
	p.ret(unix.SECCOMP_RET_ALLOW)
	return p.ins
}

func (p *Program) add(code uint16, jt, jf int, k uint32) {
	p.ins = append(p.ins, unix.SockFilter{Code: code, Jt: uint8(jt), Jf: uint8(jf), K: k})
}

func (p *Program) load(off uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, off) }
func (p *Program) ret(k uint32)    { p.add(unix.BPF_RET|unix.BPF_K, 0, 0, k) }
func (p *Program) fail(e unix.Errno) {
	p.ret(unix.SECCOMP_RET_ERRNO | uint32(e))
}

// jump goes on by so many instructions.
func (p *Program) jump(op uint16, k uint32, jt, jf int) {
	p.add(unix.BPF_JMP|op|unix.BPF_K, jt, jf, k)
}

// arg loads the low half of an argument: the kernel looks at no more of it for any
// of the calls that filters of ours ask about.
func (p *Program) arg(i uint32) { p.load(offArgs + 8*i + lowHalf) }

// AtLeast refuses the calls from a number on: those that are newer than the filter,
// and x32, whose bit is higher.
func (p *Program) AtLeast(nr uint32, e unix.Errno) {
	p.jump(unix.BPF_JGE, nr, 0, 1)
	p.fail(e)
}

// Refuse refuses a call.
func (p *Program) Refuse(nr uint32, e unix.Errno) {
	p.jump(unix.BPF_JEQ, nr, 0, 1)
	p.fail(e)
}

// Masked refuses a call whose argument has one of the bits, and allows it otherwise.
func (p *Program) Masked(nr, arg, bits uint32) {
	p.jump(unix.BPF_JEQ, nr, 0, 4)
	p.arg(arg)
	p.jump(unix.BPF_JSET, bits, 0, 1)
	p.fail(unix.EPERM)
	p.ret(unix.SECCOMP_RET_ALLOW)
}

// Needs refuses a call whose argument has none of the bits, and allows it otherwise.
func (p *Program) Needs(nr, arg, bits uint32) {
	p.jump(unix.BPF_JEQ, nr, 0, 4)
	p.arg(arg)
	p.jump(unix.BPF_JSET, bits, 1, 0)
	p.fail(unix.EPERM)
	p.ret(unix.SECCOMP_RET_ALLOW)
}

// Forbid refuses a call whose argument is one of the values, and allows it otherwise.
func (p *Program) Forbid(nr, arg uint32, values []uint32, e unix.Errno) {
	p.jump(unix.BPF_JEQ, nr, 0, len(values)+3)
	p.arg(arg)
	for i, v := range values {
		p.jump(unix.BPF_JEQ, v, len(values)-i, 0)
	}
	p.ret(unix.SECCOMP_RET_ALLOW)
	p.fail(e)
}

// Permit refuses a call whose argument is none of the values, and allows it otherwise.
func (p *Program) Permit(nr, arg uint32, values []uint32, e unix.Errno) {
	p.jump(unix.BPF_JEQ, nr, 0, len(values)+3)
	p.arg(arg)
	for i, v := range values {
		p.jump(unix.BPF_JEQ, v, len(values)-i, 0)
	}
	p.fail(e)
	p.ret(unix.SECCOMP_RET_ALLOW)
}

// Grant allows a call whose argument is one of the values, and leaves it to the next step
// otherwise.
func (p *Program) Grant(nr, arg uint32, values []uint32) {
	p.jump(unix.BPF_JEQ, nr, 0, len(values)+4)
	p.arg(arg)
	for i, v := range values {
		p.jump(unix.BPF_JEQ, v, len(values)+1-i, 0)
	}
	p.load(offNr)
	p.jump(unix.BPF_JEQ, 0, 1, 1)
	p.ret(unix.SECCOMP_RET_ALLOW)
}

// Unset refuses a call whose argument has one of the bits, and leaves it to the next step
// otherwise.
func (p *Program) Unset(nr, arg, bits uint32, e unix.Errno) {
	p.jump(unix.BPF_JEQ, nr, 0, 4)
	p.arg(arg)
	p.jump(unix.BPF_JSET, bits, 0, 1)
	p.fail(e)
	p.load(offNr)
}

// ForbidBits refuses a call whose argument has the value and whose next argument one of
// the bits, and leaves it to the next step otherwise.
func (p *Program) ForbidBits(nr, arg, value, bits uint32, e unix.Errno) {
	p.jump(unix.BPF_JEQ, nr, 0, 6)
	p.arg(arg)
	p.jump(unix.BPF_JEQ, value, 0, 3)
	p.arg(arg + 1)
	p.jump(unix.BPF_JSET, bits, 0, 1)
	p.fail(e)
	p.load(offNr)
}

// Sockets lets sockets of the families be made, with the protocols; netlink is routing
// only.
func (p *Program) Sockets(families, protocols []uint32) {
	// Not a socket: over all of this.
	size := 1 + len(families) + 1 + 1 + 1 + 2 + 1 + len(protocols) + 2
	p.jump(unix.BPF_JEQ, unix.SYS_SOCKET, 0, size)
	p.arg(0)
	for i, f := range families {
		p.jump(unix.BPF_JEQ, f, len(families)-i, 0)
	}
	p.fail(unix.EAFNOSUPPORT)
	p.jump(unix.BPF_JEQ, unix.AF_NETLINK, 0, 3)
	p.arg(2)
	p.jump(unix.BPF_JEQ, unix.NETLINK_ROUTE, len(protocols)+3, 0)
	p.fail(unix.EPROTONOSUPPORT)
	p.arg(2)
	for i, v := range protocols {
		p.jump(unix.BPF_JEQ, v, len(protocols)-i, 0)
	}
	p.fail(unix.EPROTONOSUPPORT)
	p.ret(unix.SECCOMP_RET_ALLOW)
}

// Install puts a filter on all threads of this process. The calling thread must have
// no_new_privs, or the capability to do without.
func Install(p []unix.SockFilter) error {
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(p)
	switch {
	case errno != 0:
		return fmt.Errorf("install the filter: %w", errno)
	case thread != 0:
		return fmt.Errorf("install the filter: thread %d does not take it", thread)
	}
	return nil
}
