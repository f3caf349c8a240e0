package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/lookup"
)

// Main is the helper's program. It never returns.
func Main(args []string) {
	if len(args) > 1 && args[1] == belljar.HelperConnect {
		os.Exit(connect(args[2:], os.Stdin, os.Stdout))
	}
	if len(args) == 2 && args[1] == anchorMode {
		anchor()
	}
	s, err := Parse(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "belljar: error: guest helper:", err)
		os.Exit(125)
	}
	h := &helper{start: s}
	code, err := h.run()
	if err != nil {
		fmt.Fprintf(h.stderr(), "belljar: error: run %s: %v\r\n", s.Path, err)
	}
	os.Exit(code)
}

// anchor collects every child, as the first process of a system must, for ever.
func anchor() {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	for {
		_, err := unix.Wait4(-1, nil, 0, nil)
		if errors.Is(err, unix.ECHILD) {
			<-children
		}
	}
}

type helper struct {
	start   *Start
	master  *os.File // nil without a terminal
	pid     int
	copying sync.Mutex // held from a read of the terminal's output to its write
}

func (h *helper) stderr() io.Writer {
	if h.start.TTY {
		return os.Stdout
	}
	return os.Stderr
}

func (h *helper) run() (int, error) {
	unix.CloseOnExec(FDControl)
	if err := h.listen(); err != nil {
		return 125, err
	}
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{}}
	var slave *os.File
	if h.start.TTY {
		var err error
		if h.master, slave, err = openTerminal(h.start.Rows, h.start.Cols); err != nil {
			return 125, fmt.Errorf("open a terminal: %w", err)
		}
		attr.Files = []uintptr{slave.Fd(), slave.Fd(), slave.Fd()}
		attr.Sys.Setsid, attr.Sys.Setctty = true, true
	}
	dir, _ := os.Getwd() // without one relative entries of PATH mean nothing
	path, err := lookup.Program(h.start.Path, dir, attr.Env)
	pid := 0
	if err == nil {
		pid, err = syscall.ForkExec(path, h.start.Argv, attr)
	}
	if err != nil {
		return startCode(err), err
	}
	h.pid = pid
	if slave != nil {
		slave.Close()
		h.relay()
	} else {
		// The command's files are its own: end of file must reach it, and the reader
		// of its output must see the end when it ends.
		for fd := range 3 {
			_ = replaceByNull(fd)
		}
	}
	go h.obey()
	ws := h.reap()
	if h.master != nil {
		h.drain()
	}
	return exit(ws), nil
}

func startCode(err error) int {
	if errors.Is(err, syscall.ENOENT) {
		return 127
	}
	return 126
}

func replaceByNull(fd int) error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	return unix.Dup3(null, fd, unix.O_CLOEXEC)
}

// reap collects every child, as the first process of a system must, until the
// command itself ends.
func (h *helper) reap() unix.WaitStatus {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid == h.pid && (ws.Exited() || ws.Signaled()) {
			return ws
		}
	}
}

// exit ends the helper as the command ended; by its signal, if one killed it.
func exit(ws unix.WaitStatus) int {
	if !ws.Signaled() {
		return ws.ExitStatus()
	}
	sig := ws.Signal()
	var deflt [4]uint64 // struct sigaction: SIG_DFL, no flags
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&deflt)), 0, 8, 0, 0)
	_ = unix.Kill(os.Getpid(), sig)
	select {} // the signal is on its way
}

// obey carries out orders until the supervisor is gone.
func (h *helper) obey() {
	control := os.NewFile(FDControl, "control")
	buf := make([]byte, OrderSize)
	for {
		if _, err := io.ReadFull(control, buf); err != nil {
			return
		}
		o, err := Decode(buf)
		if err != nil {
			return
		}
		switch o.Kind {
		case OrderResize:
			h.resize(o.A, o.B)
		case OrderSignal:
			h.signal(unix.Signal(o.A))
		}
	}
}

func (h *helper) signal(sig unix.Signal) {
	if h.master != nil {
		if group, err := unix.IoctlGetInt(int(h.master.Fd()), unix.TIOCGPGRP); err == nil && group > 0 {
			_ = unix.Kill(-group, sig)
			return
		}
	}
	_ = unix.Kill(h.pid, sig)
}
