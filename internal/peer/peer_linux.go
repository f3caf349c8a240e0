package peer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

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
	theirs, err := os.Readlink("/proc/" + strconv.Itoa(int(cred.Pid)) + "/ns/user")
	if err != nil {
		return "", err
	}
	ours, err := os.Readlink("/proc/self/ns/user")
	if err != nil || theirs != ours {
		return "", errors.Join(errors.New("another user namespace"), err)
	}
	// The process that was looked at is the one that connected: it has not ended.
	if pidfd >= 0 {
		if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("uid %d, process %d", cred.Uid, cred.Pid), nil
}
