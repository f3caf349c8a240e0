//go:build ablation

package confine

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func ignored(_ int, err error) error { return err }

// byFolder signals a process by its folder in /proc, which the kernel takes for a
// descriptor of the process. The signal does nothing to one that runs.
func byFolder(pid int) error {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d", pid), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0)
}

// sockets tries something with one of a pair.
func sockets(try func(fd int) error) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	return try(fds[0])
}

// owned makes a process the one that gets the signals of a socket.
func owned(pid int, byIoctl bool) error {
	return sockets(func(fd int) error {
		if byIoctl {
			return unix.IoctlSetPointerInt(fd, 0x8901 /* FIOSETOWN */, pid)
		}
		return ignored(unix.FcntlInt(uintptr(fd), unix.F_SETOWN, pid))
	})
}

// readme tries something with a file of the project, which may be read.
func readme(try func(fd int) error) error {
	fd, err := unix.Open("README", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return try(fd)
}

// processors are those of this process.
func processors() *unix.CPUSet {
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	return &set
}

func watch() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return ignored(unix.InotifyAddWatch(fd, "/", unix.IN_ATTRIB))
}

// sysV makes a private object and removes it: value is the size, the number or the mode.
func sysV(get, control, value uintptr) error {
	mode := uintptr(0)
	if get != unix.SYS_MSGGET {
		mode = unix.IPC_CREAT | 0o600
	}
	id, _, errno := unix.Syscall(get, unix.IPC_PRIVATE, value, mode)
	if errno != 0 {
		return errno
	}
	// The command of semctl is its third argument.
	second, third := uintptr(unix.IPC_RMID), uintptr(0)
	if get == unix.SYS_SEMGET {
		second, third = 0, unix.IPC_RMID
	}
	_, _, _ = unix.Syscall(control, id, second, third)
	return nil
}

// shared attaches shared memory to execute it.
func shared() error {
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o700)
	if err != nil {
		return err
	}
	defer func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) }()
	const exec = 0o100000 // SHM_EXEC
	at, _, errno := unix.Syscall(unix.SYS_SHMAT, uintptr(id), 0, exec)
	if errno != 0 {
		return errno
	}
	_, _, _ = unix.Syscall(unix.SYS_SHMDT, at, 0, 0)
	return nil
}

// queue makes a queue of messages and removes it.
func queue() error {
	name, err := unix.BytePtrFromString(fmt.Sprintf("belljar-%d", os.Getpid()))
	if err != nil {
		return err
	}
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	unix.Close(int(fd))
	_, _, _ = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)), 0, 0)
	return nil
}
