//go:build ablation

package confine

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// They name what Attack tries to reach: a file, a process and an abstract socket of the user's.
const (
	variable        = "BELLJAR_CONFINE_ATTACK"
	variableProcess = "BELLJAR_CONFINE_PROCESS"
	variableSocket  = "BELLJAR_CONFINE_SOCKET"
)

// Attack tries what a confined process must not do, where a test asks for it, and prints
// "attack NAME: stopped", "through" or "absent" (no such call, or as if) for each to
// standard error. In a program that is not for tests it does nothing.
func Attack() {
	secret := os.Getenv(variable)
	if secret == "" {
		return
	}
	pid := 0
	_, _ = fmt.Sscan(os.Getenv(variableProcess), &pid)
	for _, a := range []struct {
		name string
		try  func() error
	}{
		{"run a program", program},
		{"fork", fork},
		{"read a file of the user's", func() error { return open(secret, os.O_RDONLY) }},
		{"read it through /proc", func() error { return open(fmt.Sprintf("/proc/%d/root%s", pid, secret), os.O_RDONLY) }},
		{"write beside it", func() error { return open(filepath.Join(filepath.Dir(secret), "planted"), os.O_WRONLY|os.O_CREATE) }},
		{"empty it", func() error { return os.Truncate(secret, 0) }},
		{"remove it", func() error { return os.Remove(secret) }},
		{"trace a process", func() error { return attach(pid) }},
		{"read the memory of a process", func() error { return open(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDONLY) }},
		{"read the environment of a process", func() error { return open(fmt.Sprintf("/proc/%d/environ", pid), os.O_RDONLY) }},
		{"signal a process", func() error { return syscall.Kill(pid, 0) }},
		{"open a process", func() error { return opened(unix.PidfdOpen(pid, 0)) }},
		{"signal it by its folder", func() error { return byFolder(pid) }},
		{"get signals of a socket", func() error { return owned(pid, false) }},
		{"get them by ioctl", func() error { return owned(pid, true) }},
		{"choose a signal", func() error {
			return sockets(func(fd int) error { return ignored(unix.FcntlInt(uintptr(fd), 10 /* F_SETSIG */, 9)) })
		}},
		{"send signals", func() error {
			return sockets(func(fd int) error { return ignored(unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_ASYNC)) })
		}},
		{"limit a process", func() error { return unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 512, Max: 512}, nil) }},
		{"slow a process", func() error { return unix.Setpriority(unix.PRIO_PROCESS, pid, 19) }},
		{"move a process", func() error { return unix.SchedSetaffinity(pid, processors()) }},
		{"change a mode", func() error { return unix.Chmod(filepath.Dir(secret), 0o711) }},
		{"change an owner", func() error { return unix.Lchown(filepath.Dir(secret), os.Getuid(), os.Getgid()) }},
		{"change times", func() error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Dir(secret), make([]unix.Timespec, 2), 0)
		}},
		{"change attributes", func() error { return unix.Setxattr(filepath.Dir(secret), "user.belljar", nil, 0) }},
		{"change a mode by a descriptor", func() error { return readme(func(fd int) error { return unix.Fchmod(fd, 0o644) }) }},
		{"change attributes by a descriptor", func() error { return readme(func(fd int) error { return unix.Fsetxattr(fd, "user.belljar", nil, 0) }) }},
		{"watch", watch},
		{"shared memory", func() error { return sysV(unix.SYS_SHMGET, unix.SYS_SHMCTL, 4096) }},
		{"executable shared memory", shared},
		{"messages", func() error { return sysV(unix.SYS_MSGGET, unix.SYS_MSGCTL, unix.IPC_CREAT|0o600) }},
		{"semaphores", func() error { return sysV(unix.SYS_SEMGET, unix.SYS_SEMCTL, 1) }},
		{"a queue", queue},
		{"executable memory", executable},
		{"type into the terminal", typeInto},
		{"a user namespace", func() error { return unshare(unix.CLONE_NEWUSER) }},
		{"keys", func() error { _, err := unix.KeyctlInt(unix.KEYCTL_GET_KEYRING_ID, -3, 0, 0, 0); return err }},
		{"userfaultfd", func() error { return opened(raw(unix.SYS_USERFAULTFD, 1)) }},
		{"io_uring", func() error { return opened(raw2(unix.SYS_IO_URING_SETUP)) }},
		{"a rare socket", func() error { return opened(unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)) }},
		{"a unix socket", func() error { return opened(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) }},
		{"an abstract socket", func() error { return dial(os.Getenv(variableSocket)) }},
		{"be dumped again", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
	} {
		result := "through"
		switch err := a.try(); {
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.ENOTSUP):
			result = "absent"
		case err != nil:
			result = "stopped"
		}
		fmt.Fprintf(os.Stderr, "attack %s: %s\n", a.name, result)
	}
}

func opened(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func open(path string, flags int) error { return opened(unix.Open(path, flags|unix.O_CLOEXEC, 0o600)) }

func dial(name string) error {
	c, err := net.Dial("unix", name)
	if err == nil {
		c.Close()
	}
	return err
}

func raw(nr, arg uintptr) (int, error) {
	fd, _, errno := unix.Syscall(nr, arg, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

func raw2(nr uintptr) (int, error) {
	var params [120]byte // struct io_uring_params
	fd, _, errno := unix.Syscall(nr, 1, uintptr(unsafe.Pointer(&params[0])), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

func program() error {
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 0"}, nil)
	if err == nil {
		_, err = syscall.Wait4(pid, nil, 0, nil)
	}
	return err
}

// fork makes a child that ends at once.
func fork() error {
	_, err := syscall.ForkExec("/nonexistent", nil, nil)
	if err == unix.ENOENT {
		return nil // the child was there
	}
	return err
}

// attach traces a process, which the end of this one ends.
func attach(pid int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return unix.PtraceSeize(pid)
}

func executable() error {
	b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err == nil {
		_ = unix.Munmap(b)
	}
	return err
}

// typeInto is stopped by EPERM of the filter; without it there is no terminal, which is
// another error.
func typeInto() error {
	c := [1]byte{'x'}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&c[0])))
	if errno == unix.EPERM {
		return errno
	}
	return nil
}

// unshare says EPERM where the filter refuses; a process with several threads gets EINVAL.
func unshare(flags int) error {
	if err := unix.Unshare(flags); err == unix.EPERM {
		return err
	}
	return nil
}
