package credential

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/internal/inherited"
)

const fdReader = 3

// Reexec is the process that reads; it does not return when args[0] is [Argv0], and
// returns false otherwise. Called first in main.
func Reexec(args []string) bool {
	if len(args) == 0 || args[0] != Argv0 {
		return false
	}
	unix.CloseOnExec(fdReader)
	if inherited.Close(fdReader) != nil || unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) != nil {
		os.Exit(1)
	}
	readerDone(serveReads(os.NewFile(fdReader, "supervisor")))
	return true
}

// startReader starts the process; end ends it and waits until it is gone.
func startReader() (conn io.ReadWriteCloser, end func() error, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), Argv0)
	defer theirs.Close()
	if err := unix.SetNonblock(fds[0], true); err != nil { // so that Close ends what waits
		unix.Close(fds[0])
		return nil, nil, err
	}
	mine := os.NewFile(uintptr(fds[0]), Argv0)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		mine.Close()
		return nil, nil, err
	}
	defer null.Close()
	gone := make(chan struct{})
	p, err := forkReader(&os.ProcAttr{
		Dir: "/", Env: []string{}, Files: []*os.File{null, null, null, theirs},
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true},
	}, gone)
	if err != nil {
		mine.Close()
		return nil, nil, err
	}
	var once sync.Once
	return mine, func() error {
		once.Do(func() {
			_ = mine.Close()
			_ = p.Kill() // by its pidfd, where the kernel has one
			<-gone
		})
		return nil
	}, nil
}

// forkReader starts the process from a thread that lives until it ends: the death
// signal is tied to the thread.
func forkReader(attr *os.ProcAttr, gone chan struct{}) (p *os.Process, err error) {
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p, err = os.StartProcess("/proc/self/exe", []string{Argv0}, attr)
		close(started)
		if err == nil {
			_, _ = p.Wait()
			close(gone)
		}
	}()
	<-started
	return p, err
}
