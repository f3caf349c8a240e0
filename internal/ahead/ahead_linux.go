package ahead

import "syscall"

// A Process is what is to be started.
type Process struct {
	Argv0  string
	Attr   *syscall.SysProcAttr
	Env    []string
	Stderr bool // it has our standard error
}

// A Child is a helper that was started ahead. Its methods are for one goroutine.
type Child struct {
	PID    int
	Socket int // our end of a SOCK_SEQPACKET pair, close-on-exec; the helper has its end as descriptor 3
}

// Start starts this program as argv0 when it was called as `belljar run` by an
// ordinary user; else, and when it cannot, it returns nil. The helper has nothing but
// env as its environment, its socket, and /dev/null as standard input, output and,
// unless p.Stderr is set, error. It must be called while packages are initialised:
// there, the thread is the process's main one, which lives as long as the process,
// and parent-death signals are tied to threads.
func Start(p Process) *Child {
	if off || syscall.Geteuid() == 0 || syscall.Getuid() == 0 || !runs() {
		return nil
	}
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(null)
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(pair[1])
	stderr := uintptr(null)
	if p.Stderr {
		stderr = 2
	}
	pid, _, err := syscall.StartProcess("/proc/self/exe", []string{p.Argv0}, &syscall.ProcAttr{
		Dir: "/", Env: p.Env, Sys: p.Attr, Files: []uintptr{uintptr(null), uintptr(null), stderr, uintptr(pair[1])},
	})
	if err != nil {
		_ = syscall.Close(pair[0])
		return nil
	}
	return &Child{PID: pid, Socket: pair[0]}
}

// StartedAsRoot says whether root called and this is what became of it.
func StartedAsRoot() bool {
	_, ok := syscall.Getenv(RootMarker)
	return ok
}

// Take hands c to the caller, the first time; then, and where nothing was started, it
// returns nil.
func (c *Child) Take() *Child {
	if c == nil || c.PID == 0 {
		return nil
	}
	taken := *c
	c.PID = 0
	return &taken
}

// Discard ends a helper that nobody needs, and waits for it.
func (c *Child) Discard() {
	if c = c.Take(); c == nil {
		return
	}
	_ = syscall.Close(c.Socket)
	_ = syscall.Kill(c.PID, syscall.SIGKILL)
	for {
		if _, err := syscall.Wait4(c.PID, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// runs says whether this process was called as `belljar run`.
func runs() bool {
	_, rest := next(commandLine())
	word, _ := next(rest)
	return string(word) == "run"
}

// Flag says whether the command line, as far as the flags of `run` may reach, has
// the flag name with value, in either spelling. It may be wrong about the arguments of
// the command to run, which only costs the time to start a helper.
func Flag(name, value string) bool {
	before := ""
	for rest := commandLine(); len(rest) > 0; {
		var word []byte
		word, rest = next(rest)
		if string(word) == "--" {
			return false
		}
		if string(word) == name+"="+value || before == name && string(word) == value {
			return true
		}
		before = string(word)
	}
	return false
}

// maxCommandLine bounds what is read of the command line.
const maxCommandLine = 4 << 10

// commandLine is the beginning of this process's arguments, each ended by NUL. Package
// os is not initialised yet.
func commandLine() []byte {
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	b := make([]byte, maxCommandLine)
	n, err := syscall.Read(fd, b)
	if err != nil {
		return nil
	}
	return b[:n]
}

func next(b []byte) (word, rest []byte) {
	for i, c := range b {
		if c == 0 {
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}
