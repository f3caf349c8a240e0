package jail

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/backend/internal/processors"
	"github.com/belljar-dev/belljar/backend/internal/stage"
	"github.com/belljar-dev/belljar/backend/internal/wire"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/inherited"
	"github.com/belljar-dev/belljar/internal/startup/pages"
)

// Main is the program of the first process. It never returns.
func Main() {
	// The thread that builds is the one that forks: what it gives up, commands lack.
	runtime.LockOSThread()
	control := os.NewFile(FDControl, "control")
	j := &jail{control: control}
	j.commands, j.kick = map[int]uint64{}, make(chan struct{}, 1)
	if err := j.run(); err != nil {
		_ = wire.Send(control, Report{Err: err.Error()})
		os.Exit(1)
	}
	os.Exit(0)
}

type jail struct {
	control *os.File
	job     Job
	tmpfs   []*os.File
	seal    []int      // mounts that become read-only at the end
	linked  chan error // the network is made, or why not
	spawner
}

func (j *jail) run() error {
	// It may have been born ahead: first, what every sandbox needs.
	unix.CloseOnExec(FDControl)
	if !ablate.Off(ablate.Descriptors) {
		if err := inherited.Close(FDControl); err != nil {
			return err
		}
	}
	// Whatever is sent from inside, but by the kernel, changes nothing: the handlers
	// are there, and children begin with the default ones.
	signal.Notify(make(chan os.Signal, 1))
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	j.linked = make(chan error, 1)
	go func() { j.linked <- j.link() }()
	var ipc []*os.File // of this namespace, whoever reads it
	for _, list := range []string{"shm", "msg", "sem"} {
		if f, err := os.Open("/proc/sysvipc/" + list); err == nil { // there are kernels without
			ipc = append(ipc, f)
		}
	}
	var diag *os.File
	if fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG); err == nil {
		diag = os.NewFile(uintptr(fd), "sockets")
	}
	if _, err := wire.Recv(j.control, &j.job); err != nil {
		return fmt.Errorf("take the job: %w", err)
	}
	if err := j.build(); err != nil {
		return err
	}
	if err := enter(j.job.Root); err != nil {
		return err
	}
	// The kernel kills what is inside before what is beside.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
	procs, err := os.Open("/proc")
	if err != nil {
		return err
	}
	files := slices.Concat([]*os.File{procs}, j.tmpfs, ipc)
	if diag != nil {
		files = append(files, diag)
	}
	// Before it confines itself: then it may have fewer descriptors on their way.
	err = wire.Send(j.control, Report{Counts: true}, files...)
	wire.CloseAll(files)
	if err != nil {
		return err
	}
	if err := j.pin(); err != nil {
		return err
	}
	spareThreads()
	if err := j.confine(); err != nil {
		return err
	}
	if err := wire.Send(j.control, Report{Built: true, Threads: j.threads}); err != nil {
		return err
	}
	go j.reap()
	go pages.TrimSettled()
	return j.obey()
}

// link makes the network and hands out its other end. The kernel takes its time for
// it, in which the root is built.
func (j *jail) link() error {
	link, header, err := network()
	if err != nil {
		return err
	}
	defer link.Close()
	return wire.Send(j.control, Report{Link: true, Header: header}, link)
}

// build makes the root, which is entered when the host's is not needed any more.
func (j *jail) build() error {
	syscall.Umask(0)
	root, err := stage.New(j.job.Root, j.serve)
	if err != nil {
		return err
	}
	defer root.Close()
	for i := range j.job.Steps {
		if err := j.step(root, &j.job.Steps[i]); err != nil {
			return fmt.Errorf("build the root: %w", err)
		}
	}
	if err := j.mask(root); err != nil {
		return fmt.Errorf("mask what is the host's: %w", err)
	}
	if err := j.sealAll(); err != nil {
		return err
	}
	if err := root.Seal(); err != nil {
		return err
	}
	if err := <-j.linked; err != nil {
		return fmt.Errorf("make the network: %w", err)
	}
	// A copy of a mount takes a namespace for a moment, and so does a pair of network
	// devices: from here on there is none.
	if err := j.sysctls(); err != nil {
		return err
	}
	syscall.Umask(0o022)
	return nil
}

// serve has the supervisor serve a view.
func (j *jail) serve(view int, dev *os.File) error {
	if err := wire.Send(j.control, Report{View: &view}, dev); err != nil {
		return err
	}
	var ack Ack
	files, err := wire.Recv(j.control, &ack)
	wire.CloseAll(files)
	return err
}

// enter makes root the root; what was the root before is gone.
func enter(root string) error {
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root: %w", err)
	}
	return unix.Chdir("/")
}

func (j *jail) pin() error {
	if !j.job.Pinned {
		return nil
	}
	_, err := processors.Pin(j.job.CPUs)
	return err
}

// sysctls forbid further namespaces, also to whom the filter would let through.
func (j *jail) sysctls() error {
	for _, n := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		if ablate.Off(ablate.UserLimits) {
			break
		}
		// A kernel that does not let the owner of a namespace write them has the filter.
		_ = os.WriteFile("/proc/sys/user/max_"+n+"_namespaces", []byte("0"), 0)
	}
	shareWatches()
	if err := unix.Sethostname([]byte(j.job.Hostname)); err != nil && !ablate.Off(ablate.NSUTS) {
		return fmt.Errorf("set the host name: %w", err)
	}
	return nil
}
