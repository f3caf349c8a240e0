package filter

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/internal/seccomp/seccomptest"
)

// archs are the audit numbers of architectures.
var archs = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// run answers a call as the kernel would.
func run(t *testing.T, o Options, arch, nr uint32, args ...uint64) uint32 {
	t.Helper()
	return seccomptest.Answer(t, Program(o), arch, nr, args...)
}

func TestProgram(t *testing.T) {
	const allow = unix.SECCOMP_RET_ALLOW
	no := func(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }
	for _, c := range []struct {
		name string
		nr   uint32
		args []uint64
		want uint32
	}{
		{"read", unix.SYS_READ, nil, allow},
		{"execve", unix.SYS_EXECVE, nil, allow},
		{"ptrace", unix.SYS_PTRACE, nil, allow},
		{"seccomp", unix.SYS_SECCOMP, nil, allow},
		{"mount", unix.SYS_MOUNT, nil, no(unix.EPERM)},
		{"mount_setattr", unix.SYS_MOUNT_SETATTR, nil, no(unix.EPERM)},
		{"bpf", unix.SYS_BPF, nil, no(unix.EPERM)},
		{"the last denied", deniedLast(), nil, no(unix.EPERM)},
		{"clone3", unix.SYS_CLONE3, nil, no(unix.ENOSYS)},
		{"io_uring", unix.SYS_IO_URING_SETUP, nil, no(unix.ENOSYS)},
		{"a newer call", newest + 1, nil, no(unix.ENOSYS)},
		{"x32", 0x40000000 | unix.SYS_READ, nil, no(unix.ENOSYS)},
		{"fork", unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, allow},
		{"thread", unix.SYS_CLONE, []uint64{0x3d0f00}, allow},
		{"clone a user namespace", unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, no(unix.EPERM)},
		{"unshare files", unix.SYS_UNSHARE, []uint64{unix.CLONE_FILES}, allow},
		{"unshare time", unix.SYS_UNSHARE, []uint64{unix.CLONE_NEWTIME}, no(unix.EPERM)},
		{"unshare mounts", unix.SYS_UNSHARE, []uint64{unix.CLONE_NEWNS | unix.CLONE_FS}, no(unix.EPERM)},
		{"window size", unix.SYS_IOCTL, []uint64{1, unix.TIOCGWINSZ}, allow},
		{"TIOCSTI", unix.SYS_IOCTL, []uint64{1, unix.TIOCSTI}, no(unix.EPERM)},
		{"TIOCSTI with a high half", unix.SYS_IOCTL, []uint64{1, 1<<32 | unix.TIOCSTI}, no(unix.EPERM)},
		{"TIOCLINUX", unix.SYS_IOCTL, []uint64{1, 0x541c}, no(unix.EPERM)},
		{"TIOCSETD", unix.SYS_IOCTL, []uint64{1, unix.TIOCSETD}, no(unix.EPERM)},
		{"no random addresses", unix.SYS_PERSONALITY, []uint64{0x40000}, allow},
		{"query the personality", unix.SYS_PERSONALITY, []uint64{0xffffffff}, allow},
		{"readable is executable", unix.SYS_PERSONALITY, []uint64{0x400000}, no(unix.EPERM)},
		{"unix", unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}, allow},
		{"tcp", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP}, allow},
		{"tcp6", unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_STREAM, 0}, allow},
		{"routes", unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, allow},
		{"audit", unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}, no(unix.EPROTONOSUPPORT)},
		{"sctp", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, 132}, no(unix.EPROTONOSUPPORT)},
		{"vsock", unix.SYS_SOCKET, []uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, no(unix.EAFNOSUPPORT)},
		{"packets", unix.SYS_SOCKET, []uint64{unix.AF_PACKET, unix.SOCK_RAW, 0}, no(unix.EAFNOSUPPORT)},
		{"crypto", unix.SYS_SOCKET, []uint64{unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, no(unix.EAFNOSUPPORT)},
		{"socketpair", unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX}, allow},
		{"socketpair of TIPC", unix.SYS_SOCKETPAIR, []uint64{unix.AF_TIPC}, no(unix.EAFNOSUPPORT)},
		{"affinity", unix.SYS_SCHED_SETAFFINITY, nil, allow},
	} {
		if got := run(t, Options{}, archs[runtime.GOARCH], c.nr, c.args...); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
	if got := run(t, Options{Pinned: true}, archs[runtime.GOARCH], unix.SYS_SCHED_SETAFFINITY); got != no(unix.EPERM) {
		t.Errorf("affinity when pinned: %#x", got)
	}
	if got := run(t, Options{}, unix.AUDIT_ARCH_I386, 11); got != no(unix.ENOSYS) {
		t.Errorf("i386: %#x", got)
	}
}

func deniedLast() uint32 {
	all := append(append([]uint32{}, denied...), deniedHere...)
	return all[len(all)-1]
}
