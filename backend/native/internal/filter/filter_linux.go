package filter

import (
	"golang.org/x/sys/unix"
)

// newest is the highest number of a call that was looked at; the numbers beyond 423
// are the same on every architecture.
const newest = 470

// Calls without a name in x/sys, and families and flags that it does not have.
const (
	sysOpenTreeAttr  = 467
	inetMPTCP        = 262
	personalityQuery = 0xffffffff
	x32Bit           = 0x40000000
)

// namespaces are the flags of clone and unshare that make a namespace.
// CLONE_NEWTIME shares its bit with the exit signal of clone.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// denied fail with EPERM.
var denied = []uint32{
	// Mounts and roots.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE, sysOpenTreeAttr,
	unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_ACCT,
	// Namespaces of others.
	unix.SYS_SETNS,
	// Keys live outside of every namespace.
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	// Large and often broken parts of the kernel.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK,
	// Files by handle go round every mount.
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT,
	// Descriptors of others.
	unix.SYS_PIDFD_GETFD,
	// The machine.
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_REBOOT, unix.SYS_SYSLOG, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_NFSSERVCTL,
}

// unknown fail with ENOSYS, as if the kernel were older: programs know what to do then.
var unknown = []uint32{
	unix.SYS_CLONE3,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_IO_SETUP,                              // its events are counted for the whole machine
	unix.SYS_MEMFD_SECRET,                          // memory that nobody can count
	unix.SYS_LISTMOUNT, unix.SYS_STATMOUNT, newest, // they tell of mounts; 470 lists namespaces
}

// families are the address families of sockets.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// protocols are those of the internet families; netlink knows only its own zero,
// which is routing.
var protocols = []uint32{0, unix.IPPROTO_ICMP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMPV6, inetMPTCP}

// ioctls type into a terminal, or load a line discipline.
var ioctls = []uint32{unix.TIOCSTI, 0x541c /* TIOCLINUX */, unix.TIOCSETD}

// personalities change nothing but what debuggers and old programs ask for: the
// number itself, addresses without chance, Linux 2.6 as the version, 32 bits.
var personalities = []uint32{0, 0x0040000, 0x0020000, 8, 0x0020008, personalityQuery}

// Program is the filter for this architecture.
func Program(o Options) []unix.SockFilter {
	p := &program{}
	p.load(offArch)
	p.unless(auditArch, unix.ENOSYS)
	p.load(offNr)
	p.atLeast(newest+1, unix.ENOSYS) // also x32, whose bit is higher
	p.masked(unix.SYS_CLONE, namespaces)
	p.masked(unix.SYS_UNSHARE, namespaces|unix.CLONE_NEWTIME)
	p.forbid(unix.SYS_IOCTL, 1, ioctls, unix.EPERM)
	p.permit(unix.SYS_PERSONALITY, 0, personalities, unix.EPERM)
	p.sockets()
	for _, n := range unknown {
		p.refuse(n, unix.ENOSYS)
	}
	for _, n := range append(denied, deniedHere...) {
		p.refuse(n, unix.EPERM)
	}
	if o.Pinned {
		p.refuse(unix.SYS_SCHED_SETAFFINITY, unix.EPERM)
	}
	p.ret(unix.SECCOMP_RET_ALLOW)
	return p.ins
}

// The parts of struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

type program struct{ ins []unix.SockFilter }

func (p *program) add(code uint16, jt, jf int, k uint32) {
	p.ins = append(p.ins, unix.SockFilter{Code: code, Jt: uint8(jt), Jf: uint8(jf), K: k})
}

func (p *program) load(off uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, off) }
func (p *program) ret(k uint32)    { p.add(unix.BPF_RET|unix.BPF_K, 0, 0, k) }
func (p *program) fail(e unix.Errno) {
	p.ret(unix.SECCOMP_RET_ERRNO | uint32(e))
}

// jump goes on by so many instructions.
func (p *program) jump(op uint16, k uint32, jt, jf int) {
	p.add(unix.BPF_JMP|op|unix.BPF_K, jt, jf, k)
}

func (p *program) unless(k uint32, e unix.Errno) {
	p.jump(unix.BPF_JEQ, k, 1, 0)
	p.fail(e)
}

func (p *program) atLeast(k uint32, e unix.Errno) {
	p.jump(unix.BPF_JGE, k, 0, 1)
	p.fail(e)
}

func (p *program) refuse(nr uint32, e unix.Errno) {
	p.jump(unix.BPF_JEQ, nr, 0, 1)
	p.fail(e)
}

// arg loads the low half of an argument: the kernel looks at no more of it for any
// of the calls here.
func (p *program) arg(i uint32) { p.load(offArgs + 8*i + lowHalf) }

// masked refuses a call whose first argument has one of the bits.
func (p *program) masked(nr uint32, bits uint32) {
	p.jump(unix.BPF_JEQ, nr, 0, 4)
	p.arg(0)
	p.jump(unix.BPF_JSET, bits, 0, 1)
	p.fail(unix.EPERM)
	p.ret(unix.SECCOMP_RET_ALLOW)
}

// forbid refuses a call whose argument is one of the values.
func (p *program) forbid(nr, arg uint32, values []uint32, e unix.Errno) {
	p.jump(unix.BPF_JEQ, nr, 0, len(values)+3)
	p.arg(arg)
	for i, v := range values {
		p.jump(unix.BPF_JEQ, v, len(values)-i, 0)
	}
	p.ret(unix.SECCOMP_RET_ALLOW)
	p.fail(e)
}

// permit refuses a call whose argument is none of the values.
func (p *program) permit(nr, arg uint32, values []uint32, e unix.Errno) {
	p.jump(unix.BPF_JEQ, nr, 0, len(values)+3)
	p.arg(arg)
	for i, v := range values {
		p.jump(unix.BPF_JEQ, v, len(values)-i, 0)
	}
	p.fail(e)
	p.ret(unix.SECCOMP_RET_ALLOW)
}

// sockets lets the known families pass, with the known protocols.
func (p *program) sockets() {
	p.permit(unix.SYS_SOCKETPAIR, 0, []uint32{unix.AF_UNIX}, unix.EAFNOSUPPORT)
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
