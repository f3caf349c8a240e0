package meter

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/backend/internal/wire"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/ahead"
	"github.com/belljar-dev/belljar/internal/confine/calls"
	"github.com/belljar-dev/belljar/internal/inherited"
	"github.com/belljar-dev/belljar/internal/startup/pages"
)

// A Meter is the supervisor's hold on the process that counts. Its methods are safe for
// concurrent use.
type Meter struct {
	files  []*os.File // what is counted by, until the process has it
	others int64

	mu     sync.Mutex
	sock   *os.File // nil before Begin and after Close
	broken error

	mine    *os.File // what becomes sock
	startup error    // why there is no process
	started chan struct{}
	pidfd   int
	exited  chan struct{} // closed when the process is gone
	closed  chan struct{}
	once    sync.Once
}

// setup is what the process is told first.
type setup struct {
	Threads int
	Others  int64
}

type request struct{ Memory int64 }

type reply struct {
	Usage Usage
	Err   string
}

// fdSocket is the process's end of the socket; its end is the end of the process.
const fdSocket = 3

// answerTime bounds the wait for a count, in seconds: until then nobody holds the limit. A
// count takes milliseconds, and less than half a second of processor where the inside makes it
// as slow as it can; a machine with too much to do must not end sandboxes by it.
const answerTime = 3

// New takes over the files by which a sandbox is counted (first its /proc, then memory
// file systems, lists of System V objects, a socket of diagnosis) and begins to start the
// process. ended is called when it ends before Close, and says how.
func New(files []*os.File, ended func(how string)) *Meter {
	m := &Meter{files: files, others: hostShared(), started: make(chan struct{}), exited: make(chan struct{}), closed: make(chan struct{})}
	go m.start(ended)
	return m
}

// start starts the process from a thread that lives until it ends, because the kernel
// ties the death signal to the thread.
func (m *Meter) start(ended func(how string)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	exact := ahead.CoarseTimers() // the process gets them from this thread
	pid, err := m.fork()
	exact()
	m.startup = err
	close(m.started)
	if err != nil {
		return
	}
	var ws unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &ws, 0, nil); err != unix.EINTR {
			break
		}
	}
	close(m.exited)
	select {
	case <-m.closed:
	default:
		ended(how(ws))
	}
}

func (m *Meter) fork() (pid int, err error) {
	mine, theirs, err := wire.Pair()
	if err != nil {
		return 0, err
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		mine.Close()
		return 0, err
	}
	defer null.Close()
	pid, _, err = syscall.StartProcess("/proc/self/exe", []string{Argv0}, &syscall.ProcAttr{
		Dir: "/", Env: append(ablate.Environ(), "GOMAXPROCS=1"), Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), theirs.Fd()},
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true, PidFD: &m.pidfd},
	})
	if err != nil {
		mine.Close()
		return 0, fmt.Errorf("start %s: %w", Argv0, err)
	}
	_ = unix.SetsockoptTimeval(int(mine.Fd()), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerTime})
	m.mine = mine
	return pid, nil
}

// Begin tells the process what it needs; threads are those of the sandbox's first process,
// which do not count. Afterwards this process needs to start nothing for it.
func (m *Meter) Begin(threads int) error {
	<-m.started
	if m.startup != nil {
		return m.startup
	}
	if err := wire.Send(m.mine, setup{threads, m.others}, m.files...); err != nil {
		return fmt.Errorf("%s ended: %w", Argv0, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	wire.CloseAll(m.files)
	m.files, m.sock = nil, m.mine
	return nil
}

func how(ws unix.WaitStatus) string {
	if ws.Signaled() {
		return "was killed by signal " + unix.SignalName(ws.Signal())
	}
	return fmt.Sprintf("ended with status %d", ws.ExitStatus())
}

// Read takes one sample; what is over the limit memory, if there is one, need not be counted
// to its end. Before Begin and after Close nothing is used.
func (m *Meter) Read(memory int64) (Usage, error) {
	none := Usage{Processes: -1}
	if m == nil {
		return none, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sock == nil {
		return none, nil
	}
	if m.broken != nil {
		return none, m.broken
	}
	err := wire.Send(m.sock, request{memory})
	var r reply
	if err == nil {
		var files []*os.File
		files, err = wire.Recv(m.sock, &r)
		wire.CloseAll(files)
	}
	if err != nil {
		m.broken = fmt.Errorf("%s does not answer: %w", Argv0, err) // an answer that comes late is another's
		return none, m.broken
	}
	if r.Err != "" {
		return none, errors.New(r.Err)
	}
	return r.Usage, nil
}

// Close ends the process and waits until it is gone. Idempotent.
func (m *Meter) Close() {
	if m == nil {
		return
	}
	m.once.Do(func() {
		close(m.closed)
		<-m.started
		if m.startup == nil {
			_ = unix.PidfdSendSignal(m.pidfd, unix.SIGKILL, nil, 0)
			<-m.exited // a Read that waits for it ends now
			unix.Close(m.pidfd)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		wire.CloseAll(append(m.files, m.mine))
		m.files, m.sock = nil, nil
	})
}

// Main is the process. It never returns.
func Main() {
	if serve(os.NewFile(fdSocket, "supervisor")) != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(sock *os.File) error {
	unix.CloseOnExec(fdSocket)
	if err := inherited.Close(fdSocket); err != nil {
		return err
	}
	var s setup
	files, err := wire.Recv(sock, &s)
	if err != nil || len(files) == 0 {
		return errors.Join(err, errors.New("there is nothing to count"))
	}
	code := pages.Clean()
	if err := calls.Restrict(calls.Options{}); err != nil {
		return err
	}
	time.AfterFunc(pages.Settled, func() { // what only the start needed is given back
		runtime.GC()
		code.Forget()
	})
	m := newMeter(s, files[0], files[1:])
	for {
		var r request
		if _, err := wire.Recv(sock, &r); err != nil {
			return err
		}
		var a reply
		if a.Usage, err = m.read(r.Memory); err != nil {
			a.Err = err.Error()
		}
		if err := wire.Send(sock, a); err != nil {
			return err
		}
	}
}
