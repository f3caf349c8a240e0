package ahead

import (
	"runtime"
	"syscall"
)

// A Process is what is to be started.
type Process struct {
	Argv0  string
	Attr   *syscall.SysProcAttr
	Env    []string
	Stderr bool   // it has our standard error
	Before func() // if not nil, called by the thread that forks
}

// A Child is a helper that is being started ahead. Its methods are safe for concurrent
// use.
type Child struct {
	started chan struct{} // closed when the fields are set
	taken   chan struct{} // holds one value until somebody takes the helper
	pid     int           // 0: there is none
	socket  int
}

// Start starts this program as p.Argv0 when it was called as `belljar run` by an
// ordinary user; else, and when it cannot, [Child.Take] says that there is none. The
// helper has nothing but p.Env as its environment, its end of a SOCK_SEQPACKET pair as
// descriptor 3, and /dev/null as standard input, output and, unless p.Stderr is set,
// error. Start does not wait; the thread that forks lives as long as this process,
// because parent-death signals are tied to threads.
func Start(p Process) *Child {
	if off || syscall.Geteuid() == 0 || syscall.Getuid() == 0 || !runs() {
		return nil
	}
	c := &Child{started: make(chan struct{}), taken: make(chan struct{}, 1)}
	c.taken <- struct{}{}
	all = append(all, c)
	go func() {
		runtime.LockOSThread()
		c.start(p)
		close(c.started)
		select {} // the thread stays
	}()
	return c
}

// all are the helpers that were started, by init functions, which run one by one.
var all []*Child

// DiscardRest ends the helpers that nobody has taken: a run has all that it needs.
func DiscardRest() {
	for _, c := range all {
		c.Discard()
	}
}

func (c *Child) start(p Process) {
	if p.Before != nil {
		p.Before()
	}
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(null)
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return
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
		return
	}
	c.pid, c.socket = pid, pair[0]
}

// Take hands the helper to the caller, the first time: its process, which the caller
// has to wait for, and our end of its socket, close-on-exec. ok is false where there
// is none.
func (c *Child) Take() (pid, socket int, ok bool) {
	if c == nil {
		return 0, -1, false
	}
	select {
	case <-c.taken:
	default:
		return 0, -1, false
	}
	<-c.started
	return c.pid, c.socket, c.pid != 0
}

// Discard ends a helper that nobody needs, and waits for it.
func (c *Child) Discard() {
	pid, socket, ok := c.Take()
	if !ok {
		return
	}
	_ = syscall.Close(socket)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// StartedAsRoot says whether root called and this is what became of it.
func StartedAsRoot() bool {
	_, ok := syscall.Getenv(RootMarker)
	return ok
}

// runs says whether this process was called as `belljar run`.
func runs() bool {
	argv0, rest := next(line)
	word, _ := next(rest)
	return string(word) == "run" && (string(argv0) == WarmArgv0 || !pooled())
}

// pooled says whether a sandbox may wait to be taken, so that no helper is needed: by the
// folder that package sandbox names Pools. Being wrong costs the time to start a helper.
func pooled() bool {
	dir := "/tmp/belljar-" + digits(syscall.Getuid())
	if run, ok := syscall.Getenv("XDG_RUNTIME_DIR"); ok && run != "" {
		dir = run + "/belljar"
	}
	var st syscall.Stat_t
	return syscall.Lstat(dir+"/pools", &st) == nil
}

func digits(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return digits(n/10) + string(rune('0'+n%10))
}

// Flag says whether the command line, as far as the flags of `run` may reach, has
// the flag name with value, in either spelling. It may be wrong about the arguments of
// the command to run, which only costs the time to start a helper.
func Flag(name, value string) bool {
	before := ""
	for rest := line; len(rest) > 0; {
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

var line = commandLine()

// No process of a run looks at its own heap: samples for it, which the linker takes to be
// wanted, would cost each a search of the whole table of functions.
func init() {
	if name, _ := next(line); runs() || len(name) > len(helper) && string(name[:len(helper)]) == helper {
		runtime.MemProfileRate = 0
	}
}

// helper begins the names of our processes.
const helper = "belljar-"

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
