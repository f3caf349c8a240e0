package filter

import (
	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/internal/seccomp"
)

// newest is the highest number of a call that was looked at; the numbers beyond 423
// are the same on every architecture.
const newest = 470

// Calls without a name in x/sys, and families and flags that it does not have.
const (
	sysOpenTreeAttr  = 467
	inetMPTCP        = 262
	personalityQuery = 0xffffffff
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
	p := seccomp.New(unix.ENOSYS)
	p.AtLeast(newest+1, unix.ENOSYS) // also x32, whose bit is higher
	p.Masked(unix.SYS_CLONE, 0, namespaces)
	p.Masked(unix.SYS_UNSHARE, 0, namespaces|unix.CLONE_NEWTIME)
	p.Forbid(unix.SYS_IOCTL, 1, ioctls, unix.EPERM)
	p.Permit(unix.SYS_PERSONALITY, 0, personalities, unix.EPERM)
	p.Permit(unix.SYS_SOCKETPAIR, 0, []uint32{unix.AF_UNIX}, unix.EAFNOSUPPORT)
	p.Sockets(families, protocols)
	for _, n := range unknown {
		p.Refuse(n, unix.ENOSYS)
	}
	for _, n := range append(denied, deniedHere...) {
		p.Refuse(n, unix.EPERM)
	}
	if o.Pinned {
		p.Refuse(unix.SYS_SCHED_SETAFFINITY, unix.EPERM)
	}
	return p.Allow()
}
