package peer

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// maxName is how long the name of a socket may be on every system.
const maxName = 100

// Reach is a name of the socket that is called name in dir which is short enough for
// every system; done gives it back.
func Reach(dir, name string) (path string, done func(), err error) {
	path = filepath.Join(dir, name)
	if len(path) <= maxName {
		return path, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return "/proc/self/fd/" + strconv.Itoa(int(d.Fd())) + "/" + name, func() { _ = d.Close() }, nil
}

// Listen makes the socket that is called name in dir, which is private. It is not removed
// when the listener is closed: by that name it may be another's then.
func Listen(dir, name string) (*net.UnixListener, error) {
	at, done, err := Reach(dir, name)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(filepath.Join(dir, name), 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// Self is what [Check] says of this process.
func Self() string { return name(os.Getuid(), os.Getpid()) }

func name(uid, pid int) string {
	return "uid " + strconv.Itoa(uid) + ", process " + strconv.Itoa(pid)
}
