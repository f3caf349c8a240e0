package calls

import (
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/internal/seccomp/seccomptest"
)

// answer is what the kernel makes of a call.
func answer(t *testing.T, o Options, nr uint32, args ...uint64) uint32 {
	t.Helper()
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	return seccomptest.Answer(t, Program(o), arch, nr, args...)
}

// TestPidfds: what a process may signal are processes, running or ended, and nothing else.
func TestPidfds(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	child := -1
	p, err := os.StartProcess("/proc/self/exe", []string{"x", "-test.run=^$"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{PidFD: &child}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { unix.Close(child) }()
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := pidfds(); !slices.Contains(got, uint32(child)) || slices.Contains(got, uint32(null.Fd())) {
		t.Errorf("%v: want %d, not %d", got, child, null.Fd())
	}
}

// Where /proc is not, the same are found: of three that are open, the middle one is closed again.
func TestPolled(t *testing.T) {
	var fds [3]int
	for i := range fds {
		fd, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds[i] = fd
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[2])
	unix.Close(fds[1])
	got := polled()
	if !slices.Contains(got, fds[0]) || slices.Contains(got, fds[1]) || !slices.Contains(got, fds[2]) {
		t.Errorf("of %d and %d, and not %d, these were found: %d", fds[0], fds[2], fds[1], got)
	}
}

func TestProgram(t *testing.T) {
	const allow = unix.SECCOMP_RET_ALLOW
	no := func(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }
	net, unixToo := Options{Internet: true}, Options{Internet: true, Unix: true}
	thread := uint64(unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD)
	self := uint64(os.Getpid())
	held, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(held)
	child, mend := uint64(held), Options{Mend: true}
	for _, c := range []struct {
		name string
		o    Options
		nr   uint32
		args []uint64
		want uint32
	}{
		{"read", net, unix.SYS_READ, nil, allow},
		{"execve", net, unix.SYS_EXECVE, nil, no(unix.EPERM)},
		{"execveat", net, unix.SYS_EXECVEAT, nil, no(unix.EPERM)},
		{"a thread", net, unix.SYS_CLONE, []uint64{thread}, allow},
		{"a process", net, unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, no(unix.EPERM)},
		{"clone3", net, unix.SYS_CLONE3, nil, no(unix.ENOSYS)},
		{"memory", net, unix.SYS_MMAP, []uint64{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, allow},
		{"executable memory", net, unix.SYS_MMAP, []uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, no(unix.EPERM)},
		{"memory made executable", net, unix.SYS_MPROTECT, []uint64{0, 4096, unix.PROT_EXEC}, no(unix.EPERM)},
		{"a signal to itself", net, unix.SYS_TGKILL, []uint64{self, self, 23}, allow},
		{"a signal to another", net, unix.SYS_KILL, []uint64{self + 1, 9}, no(unix.EPERM)},
		{"a signal to all", net, unix.SYS_KILL, []uint64{1<<64 - 1, 9}, no(unix.EPERM)},
		{"a signal to what is held", net, unix.SYS_PIDFD_SEND_SIGNAL, []uint64{child, 9}, allow},
		{"a signal to its group", net, unix.SYS_PIDFD_SEND_SIGNAL, []uint64{child, 9, 0, 4}, no(unix.EPERM)},
		{"a signal to a folder of /proc", net, unix.SYS_PIDFD_SEND_SIGNAL, []uint64{child + 1, 9}, no(unix.EPERM)},
		{"whether a process is there", net, unix.SYS_PIDFD_SEND_SIGNAL, []uint64{child + 1, 0}, allow},
		{"close what is held", net, unix.SYS_CLOSE, []uint64{child}, no(unix.EPERM)},
		{"close", net, unix.SYS_CLOSE, []uint64{child + 1}, allow},
		{"put a folder in its place", net, unix.SYS_DUP3, []uint64{child + 1, child}, no(unix.EPERM)},
		{"dup3", net, unix.SYS_DUP3, []uint64{child, child + 1}, allow},
		{"which signal a file sends", net, unix.SYS_FCNTL, []uint64{0, fSetSig, 9}, no(unix.EPERM)},
		{"whom a file sends signals", net, unix.SYS_FCNTL, []uint64{0, unix.F_SETOWN, self + 1}, no(unix.EPERM)},
		{"the same, by a structure", net, unix.SYS_FCNTL, []uint64{0, unix.F_SETOWN_EX}, no(unix.EPERM)},
		{"the same, of a socket", net, unix.SYS_IOCTL, []uint64{0, fiosetown}, no(unix.EPERM)},
		{"the same, by another name", net, unix.SYS_IOCTL, []uint64{0, siocspgrp}, no(unix.EPERM)},
		{"that a file sends signals", net, unix.SYS_FCNTL, []uint64{0, unix.F_SETFL, unix.O_ASYNC | unix.O_NONBLOCK}, no(unix.EPERM)},
		{"the same, by ioctl", net, unix.SYS_IOCTL, []uint64{0, fioasync}, no(unix.EPERM)},
		{"flags of a file", net, unix.SYS_IOCTL, []uint64{0, unix.FS_IOC_SETFLAGS}, no(unix.EPERM)},
		{"nonblocking", net, unix.SYS_FCNTL, []uint64{0, unix.F_SETFL, unix.O_NONBLOCK}, allow},
		{"a copy", net, unix.SYS_FCNTL, []uint64{0, unix.F_DUPFD_CLOEXEC, unix.O_ASYNC}, allow},
		{"its limits", net, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_NOFILE}, allow},
		{"limits of another", net, unix.SYS_PRLIMIT64, []uint64{self + 1, unix.RLIMIT_NOFILE}, no(unix.EPERM)},
		{"processors of another", net, unix.SYS_SCHED_SETAFFINITY, []uint64{self + 1}, no(unix.EPERM)},
		{"a mode", net, unix.SYS_FCHMODAT, []uint64{0, 0, 0o644}, no(unix.EPERM)},
		{"mode 0700", net, unix.SYS_FCHMODAT, []uint64{0, 0, 0o700}, no(unix.EPERM)},
		{"a mode where folders are removed", mend, unix.SYS_FCHMODAT, []uint64{0, 0, 0o4700}, no(unix.EPERM)},
		{"mode 0700 where folders are removed", mend, unix.SYS_FCHMODAT, []uint64{0, 0, 0o700}, allow},
		{"a mode where files are served", Options{Serve: true}, unix.SYS_FCHMODAT, []uint64{0, 0, 0o644}, allow},
		{"being dumped", net, unix.SYS_PRCTL, []uint64{unix.PR_SET_DUMPABLE, 1}, no(unix.EPERM)},
		{"a name", net, unix.SYS_PRCTL, []uint64{unix.PR_SET_NAME}, allow},
		{"typing", net, unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}, no(unix.EPERM)},
		{"window size", net, unix.SYS_IOCTL, []uint64{0, unix.TIOCGWINSZ}, allow},
		{"tcp", net, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP}, allow},
		{"multipath tcp", net, unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_STREAM, inetMPTCP}, allow},
		{"raw", net, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, no(unix.EPROTONOSUPPORT)},
		{"addresses of the host", net, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, allow},
		{"other netlink", net, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG}, no(unix.EPROTONOSUPPORT)},
		{"unix", net, unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_STREAM}, no(unix.EAFNOSUPPORT)},
		{"unix where it is needed", unixToo, unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_STREAM}, allow},
		{"a pair", net, unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET | unix.SOCK_CLOEXEC}, allow},
		{"a pair that can be connected", net, unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC}, no(unix.EPERM)},
		{"any socket of a helper", Options{}, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM}, no(unix.EPERM)},
		{"a call of tomorrow", net, newest + 1, nil, no(unix.ENOSYS)},
	} {
		if got := answer(t, c.o, c.nr, c.args...); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
	for _, nr := range append(attributes, attributesHere...) {
		if got := answer(t, mend, nr); got != no(unix.EPERM) {
			t.Errorf("call %d: %#x", nr, got)
		}
		if got := answer(t, Options{Serve: true}, nr); got != allow {
			t.Errorf("call %d where files are served: %#x", nr, got)
		}
	}
	for _, nr := range append(denied, deniedHere...) {
		if got := answer(t, unixToo, nr); got != no(unix.EPERM) {
			t.Errorf("call %d: %#x", nr, got)
		}
	}
}
