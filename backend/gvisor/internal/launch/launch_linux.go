package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/backend/internal/processors"
	"github.com/belljar-dev/belljar/backend/internal/stage"
	"github.com/belljar-dev/belljar/backend/internal/wire"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/confine/calls"
	"github.com/belljar-dev/belljar/internal/inherited"
	"github.com/belljar-dev/belljar/internal/startup/pages"
)

// childCaps are what gofer and sentry hold, in the sandbox's user namespace, until
// they have set up their own roots; then they keep those for files only.
var childCaps = []uintptr{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID,
	unix.CAP_SYS_CHROOT, unix.CAP_SETPCAP, unix.CAP_SYS_ADMIN,
}

// Caps are the capabilities that the launcher itself needs in its user namespace.
var Caps = childCaps

// Main is the launcher's program. It never returns.
func Main() {
	pages.TrimSettled()
	syscall.Umask(0)
	control := os.NewFile(FDControl, "control")
	l := &launcher{control: control}
	if err := l.run(); err != nil {
		_ = wire.Send(control, Report{Err: err.Error()})
		os.Exit(1)
	}
	os.Exit(0)
}

type launcher struct {
	control *os.File
	job     Job
}

func (l *launcher) run() error {
	if err := l.read(); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	// The sentry starts first: its start takes longest and needs no file of ours.
	sentry, err := l.child(NameSentry, FDSentry, l.job.CPUs)
	if err != nil {
		return err
	}
	if err := l.stage(); err != nil {
		return fmt.Errorf("stage the root: %w", err)
	}
	gofer, err := l.child(NameGofer, FDGofer, 0)
	if err != nil {
		return err
	}
	dir, err := unix.Open(l.job.Control, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the folder of the sentry's socket: %w", err)
	}
	confine()
	if err := l.staged(sentry); err != nil {
		return err
	}
	// From here on it waits, and tells how that ended.
	if !ablate.Off(ablate.Capabilities) { // the filter forbids new privileges, too
		if err := calls.Restrict(calls.Options{Unix: true}); err != nil {
			return err
		}
	}
	go l.watch()
	go dial(os.NewFile(FDDial, "dial"), dir)
	return l.reap(map[int]string{sentry: NameSentry, gofer: NameGofer})
}

// confine gives up, on all threads, what nothing needs once the children run. They
// are confined by themselves; in a build with cgo, where Go does not reach the
// threads, this second line is missing.
func confine() {
	if ablate.Off(ablate.Capabilities) {
		return
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, _ = syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
	_, _, _ = syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&none)), 0)
}

// stage builds the root.
func (l *launcher) stage() error {
	root, err := stage.New(l.job.Root, l.serve)
	if err != nil {
		return err
	}
	defer root.Close()
	for i := range l.job.Ops {
		if err := root.Do(&l.job.Ops[i]); err != nil {
			return err
		}
	}
	return root.Seal()
}

// serve has the supervisor serve a view.
func (l *launcher) serve(view int, dev *os.File) error {
	if err := wire.Send(l.control, Report{View: &view}, dev); err != nil {
		return err
	}
	var ack Ack
	files, err := wire.Recv(l.control, &ack)
	wire.CloseAll(files)
	return err
}

// staged reports that all is ready, with a descriptor of the sentry, whose number
// means nothing outside of this namespace.
func (l *launcher) staged(sentry int) error {
	fd, err := unix.PidfdOpen(sentry, 0)
	if err != nil {
		return fmt.Errorf("open the sentry's descriptor: %w", err)
	}
	f := os.NewFile(uintptr(fd), "sentry")
	defer f.Close()
	return wire.Send(l.control, Report{Staged: true}, f)
}

func (l *launcher) read() error {
	f := os.NewFile(FDJob, "job")
	defer f.Close()
	b, err := wire.ReadMemory(f)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &l.job); err != nil {
		return fmt.Errorf("decode the job: %w", err)
	}
	for _, fd := range []int{FDControl, FDSentry, FDGofer, FDDial} {
		unix.CloseOnExec(fd)
	}
	if ablate.Off(ablate.Descriptors) {
		return nil
	}
	return inherited.Close(FDDial)
}

// watch ends the launcher, and with PID 1 every process of the sandbox, when the
// supervisor is gone or says nothing more.
func (l *launcher) watch() {
	for {
		var none struct{}
		files, err := wire.Recv(l.control, &none)
		wire.CloseAll(files)
		if err != nil {
			os.Exit(0)
		}
	}
}

// dial makes a connection to the sentry for each message of the supervisor, which cannot
// say where to.
func dial(asked *os.File, dir int) {
	for {
		var none struct{}
		files, err := wire.Recv(asked, &none)
		wire.CloseAll(files)
		if err != nil {
			return
		}
		conn, err := connect(dir)
		if err != nil {
			err = wire.Send(asked, Dialled{Err: err.Error()})
		} else {
			err = wire.Send(asked, Dialled{}, conn)
			conn.Close()
		}
		if err != nil {
			return
		}
	}
}

// connect goes by the descriptor of the folder: its path may be too long for an address.
func connect(dir int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + ControlSocket}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "connection"), nil
}

// reap waits until one of the named children ends and reports it.
func (l *launcher) reap(named map[int]string) error {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for children: %w", err)
		}
		name, ok := named[pid]
		if name == NameGofer && ws == 0 {
			continue // the sentry let go of it, which is how the sentry's own end begins
		}
		if ok {
			return wire.Send(l.control, Report{Ended: name, Status: int(ws)})
		}
	}
}

// noRoot are the secure bits by which uid 0 means nothing, and cannot again.
const noRoot = 1<<0 | 1<<1

// child starts a process of this program in a mount and a PID namespace of its own.
func (l *launcher) child(name string, sock uintptr, cpus int) (int, error) {
	f := os.NewFile(sock, name)
	defer f.Close()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	stderr := null
	if l.job.Debug {
		stderr = os.Stderr
	}
	runtime.LockOSThread() // the affinity belongs to the thread that forks
	defer runtime.UnlockOSThread()
	// Were the user root inside, executing would give it every capability of its
	// namespace, beyond those that are named here.
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noRoot, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("lock the secure bits: %w", err)
	}
	restore, err := processors.Pin(cpus)
	if err != nil {
		return 0, err
	}
	defer restore()
	p, err := os.StartProcess("/proc/self/exe", []string{name}, &os.ProcAttr{
		Dir: "/",
		// The second one is for builds with cgo. The C library must not count processors
		// for its allocator once the filter is there, and its restartable sequences
		// do not survive in systrap's stub processes.
		Env:   append([]string{"TMPDIR=" + l.job.Tmp, "GLIBC_TUNABLES=glibc.pthread.rseq=0:glibc.malloc.arena_max=1"}, ablate.Environ()...),
		Files: []*os.File{null, null, stderr, f},
		Sys: &syscall.SysProcAttr{
			Setsid:      true,
			Cloneflags:  unix.CLONE_NEWNS | unix.CLONE_NEWPID,
			AmbientCaps: childCaps,
		},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", name, err)
	}
	pid := p.Pid
	_ = p.Release() // reaped by number
	return pid, nil
}
