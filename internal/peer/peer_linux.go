package peer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// soPeerPIDFD is SO_PEERPIDFD (Linux 6.5).
const soPeerPIDFD = 77

// Check says who is at the other end, or why they may not speak.
func Check(c *net.UnixConn) (string, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return "", err
	}
	var cred *unix.Ucred
	var credErr error
	pidfd := -1
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, soPeerPIDFD); err == nil {
			pidfd = n
		}
	})
	if pidfd >= 0 {
		defer unix.Close(pidfd)
	}
	if err := errors.Join(err, credErr); err != nil {
		return "", err
	}
	if int(cred.Uid) != os.Getuid() || cred.Pid <= 0 {
		return "", fmt.Errorf("uid %d", cred.Uid)
	}
	if err := sameNamespaces(int(cred.Pid)); err != nil {
		return "", err
	}
	// The process that was looked at is the one that connected: it has not ended.
	if pidfd >= 0 {
		if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err != nil {
			return "", err
		}
	}
	return name(int(cred.Uid), int(cred.Pid)), nil
}

// sameNamespaces says whether pid lives in our user and PID namespaces, by what the kernel
// tells everybody: a supervisor that has confined itself may not look at /proc/PID/ns. A
// process of a sandbox has a PID namespace below ours, and so more numbers than we; one
// in another user namespace has another map than ours, as we see it.
func sameNamespaces(pid int) error {
	for _, file := range []string{"uid_map", "gid_map"} {
		theirs, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
		if err != nil {
			return err
		}
		ours, err := os.ReadFile("/proc/self/" + file)
		if err != nil || len(ours) == 0 || string(theirs) != string(ours) {
			return errors.Join(errors.New("another user namespace"), err)
		}
	}
	theirs, err := depth(strconv.Itoa(pid))
	if err != nil {
		return err
	}
	ours, err := depth("self")
	if err != nil || theirs != ours {
		return errors.Join(errors.New("another PID namespace"), err)
	}
	return nil
}

// depth is in how many PID namespaces a process has a number.
func depth(pid string) (int, error) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	_, after, found := strings.Cut(string(status), "\nNSpid:")
	line, _, _ := strings.Cut(after, "\n")
	if n := len(strings.Fields(line)); found && n > 0 {
		return n, nil
	}
	return 0, errors.New("the kernel does not tell PID namespaces")
}
