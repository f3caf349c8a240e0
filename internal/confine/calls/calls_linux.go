package calls

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/internal/seccomp"
)

// newest is the highest number of a call that was looked at; the numbers beyond 423
// are the same on every architecture.
const newest = 470

// denied fail with EPERM.
var denied = []uint32{
	// Programs; processes are refused by the flags of clone.
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	// Other processes.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP,
	unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_OPEN, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
	unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES, unix.SYS_PROCESS_MRELEASE,
	unix.SYS_SETPRIORITY, unix.SYS_IOPRIO_SET, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETATTR,
	// Objects of System V and queues are the whole user's, and a segment can be attached to execute it.
	unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SHMDT, unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL,
	unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_SEMCTL,
	unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK, unix.SYS_MQ_TIMEDSEND, unix.SYS_MQ_TIMEDRECEIVE, unix.SYS_MQ_NOTIFY, unix.SYS_MQ_GETSETATTR,
	// Mounts, roots, namespaces.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE, 467, /* open_tree_attr */
	unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_ACCT,
	// Identities.
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_SETGROUPS, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_CAPSET, unix.SYS_PERSONALITY,
	// Keys live outside of every namespace.
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	// Large and often broken parts of the kernel.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	// Files by handle go round every rule about paths.
	unix.SYS_OPEN_BY_HANDLE_AT,
	// The machine.
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_REBOOT, unix.SYS_SYSLOG, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_NFSSERVCTL,
}

// attributes fail with EPERM but where files are served: what files are beside their
// content, which no rule about paths covers, also of files that are open to be read, and
// watching. For modes by a path see [Options].
var attributes = []uint32{
	unix.SYS_FCHMODAT2, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT, unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR,
	463 /* setxattrat */, 466 /* removexattrat */, 469, /* file_setattr */
	unix.SYS_FCHMOD, unix.SYS_FCHOWN, unix.SYS_FSETXATTR, unix.SYS_FREMOVEXATTR,
	unix.SYS_INOTIFY_ADD_WATCH, unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK, unix.SYS_NAME_TO_HANDLE_AT,
}

// unknown fail with ENOSYS, as if the kernel were older: whoever asks knows what to do then.
var unknown = []uint32{
	unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_IO_SETUP,
}

// Program is the filter for this process on this architecture.
func Program(o Options) []unix.SockFilter {
	p := seccomp.New(unix.ENOSYS)
	p.AtLeast(newest+1, unix.ENOSYS) // also x32, whose bit is higher
	p.Needs(unix.SYS_CLONE, 0, unix.CLONE_THREAD)
	for _, n := range []uint32{unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_PKEY_MPROTECT} {
		p.Masked(n, 2, unix.PROT_EXEC)
	}
	self := []uint32{uint32(os.Getpid())}
	p.Permit(unix.SYS_KILL, 0, self, unix.EPERM)
	p.Permit(unix.SYS_TGKILL, 0, self, unix.EPERM)
	fds := pidfds()
	signals(p, fds)
	for _, n := range []uint32{unix.SYS_PRLIMIT64, unix.SYS_SCHED_SETAFFINITY} {
		p.Permit(n, 0, append(self, 0), unix.EPERM)
	}
	p.Forbid(unix.SYS_PRCTL, 0, []uint32{unix.PR_SET_DUMPABLE, unix.PR_SET_PTRACER, unix.PR_SCHED_CORE}, unix.EPERM)
	// They type into a terminal, load a line discipline, have signals sent to others, or change flags of files.
	p.Forbid(unix.SYS_IOCTL, 1, []uint32{unix.TIOCSTI, 0x541c /* TIOCLINUX */, unix.TIOCSETD, fiosetown, siocspgrp, fioasync, unix.TIOCSIG, unix.FS_IOC_SETFLAGS, fsSetXattr}, unix.EPERM)
	o.attributes(p)
	here(p, fds)
	o.sockets(p)
	for _, n := range unknown {
		p.Refuse(n, unix.ENOSYS)
	}
	for _, n := range append(denied, deniedHere...) {
		p.Refuse(n, unix.EPERM)
	}
	return p.Allow()
}

// Names that x/sys does not have.
const (
	fiosetown, siocspgrp, fioasync = 0x8901, 0x8902, 0x5452
	fSetSig, fNotify               = 10, 1026
	fsSetXattr                     = 0x401c5820 // FS_IOC_FSSETXATTR
)

// signals leaves the signals to processes of which this one holds descriptors, fds. A
// folder of /proc is as good as such a descriptor to the kernel, so their numbers stay
// what they are. A file's owner, who gets its signals, cannot be set.
func signals(p *seccomp.Program, fds []uint32) {
	p.Unset(unix.SYS_PIDFD_SEND_SIGNAL, 3, ^uint32(0), unix.EPERM) // to a group
	p.Grant(unix.SYS_PIDFD_SEND_SIGNAL, 1, []uint32{0})            // asks only
	p.Permit(unix.SYS_PIDFD_SEND_SIGNAL, 0, fds, unix.EPERM)
	if len(fds) > 0 {
		p.Forbid(unix.SYS_CLOSE, 0, fds, unix.EPERM)
		p.Forbid(unix.SYS_DUP3, 1, fds, unix.EPERM)
	}
	p.Refuse(unix.SYS_CLOSE_RANGE, unix.EPERM)
	p.ForbidBits(unix.SYS_FCNTL, 1, unix.F_SETFL, unix.O_ASYNC, unix.EPERM)
	p.Forbid(unix.SYS_FCNTL, 1, []uint32{fSetSig, unix.F_SETOWN, unix.F_SETOWN_EX, unix.F_SETLEASE, fNotify}, unix.EPERM)
}

// pidfds are the descriptors of processes that are open: those that the kernel takes for
// the question whether their process is there.
func pidfds() []uint32 {
	var fds []uint32
	for _, fd := range open() {
		switch err := unix.PidfdSendSignal(fd, 0, nil, 0); err {
		case nil, unix.ESRCH, unix.EPERM:
			if len(fds) < maxPidfds {
				fds = append(fds, uint32(fd))
			}
		}
	}
	return fds
}

// open are the descriptors that are open; where /proc is not, those of the first 1024.
func open() []int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return polled()
	}
	var fds []int
	for _, e := range list {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			fds = append(fds, n)
		}
	}
	return fds
}

// polled asks the kernel, once, which of the first 1024 descriptors are open; where it
// does not say, all could be. One of O_PATH is none to it, as to pidfd_send_signal(2).
func polled() []int {
	asked := make([]unix.PollFd, 1024)
	for n := range asked {
		asked[n].Fd = int32(n)
	}
	_, err := unix.Poll(asked, 0)
	var fds []int
	for n, a := range asked {
		if err != nil || a.Revents&unix.POLLNVAL == 0 {
			fds = append(fds, n)
		}
	}
	return fds
}

// maxPidfds is far more than a process of ours has, and what a step of the filter takes.
const maxPidfds = 100

// attributes refuses changes to what files are beside their content.
func (o Options) attributes(p *seccomp.Program) {
	if o.Serve {
		return
	}
	var modes []uint32
	if o.Mend {
		modes = append(modes, 0o700)
	}
	p.Permit(unix.SYS_FCHMODAT, 2, modes, unix.EPERM)
	modesHere(p, modes)
	for _, n := range append(attributes, attributesHere...) {
		p.Refuse(n, unix.EPERM)
	}
}

// inetMPTCP is a protocol that x/sys does not have; Go asks for it.
const inetMPTCP = 262

func (o Options) sockets(p *seccomp.Program) {
	if o.Unix {
		p.Permit(unix.SYS_SOCKETPAIR, 0, []uint32{unix.AF_UNIX}, unix.EAFNOSUPPORT)
	} else {
		// A pair of datagram sockets could be connected to a path afterwards.
		const dgram = unix.SOCK_DGRAM
		p.Forbid(unix.SYS_SOCKETPAIR, 1, []uint32{
			dgram, dgram | unix.SOCK_CLOEXEC, dgram | unix.SOCK_NONBLOCK, dgram | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK,
			unix.SOCK_RAW, unix.SOCK_RAW | unix.SOCK_CLOEXEC, unix.SOCK_RAW | unix.SOCK_NONBLOCK, unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, // another name for them
		}, unix.EPERM)
	}
	var families []uint32
	if o.Internet {
		families = append(families, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK)
	}
	if o.Unix {
		families = append(families, unix.AF_UNIX)
	}
	if len(families) == 0 {
		p.Refuse(unix.SYS_SOCKET, unix.EPERM)
		return
	}
	p.Sockets(families, []uint32{0, unix.IPPROTO_TCP, unix.IPPROTO_UDP, inetMPTCP})
}

// Restrict installs the filter on all threads of this process. It switches core dumps
// and the reading of its memory by other processes of the user off, and cannot be undone.
func Restrict(o Options) error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switch core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide the memory: %w", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	return seccomp.Install(Program(o)) // the other threads get no_new_privs with it
}
