package gvisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/gvisor/internal/launch"
	"github.com/belljar-dev/belljar/backend/internal/wire"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/idmap"
)

// A launcherProcess is the supervisor's hold on the launcher.
type launcherProcess struct {
	dir     string
	control *os.File
	pid     int
	pidfd   int
	exited  chan struct{}
	status  unix.WaitStatus
	sentry  *unix.WaitStatus // how the sentry ended, when it ended first
	statm   *os.File         // the sentry's own memory, as /proc shows it
}

const launcherFlags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET

// startLauncher starts the launcher with its job, the children's sockets and the one by
// which it is asked for connections.
func startLauncher(dir string, id belljar.Identity, job *launch.Job, sentry, gofer, dial *os.File) (*launcherProcess, error) {
	body, err := json.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("encode the job: %w", err)
	}
	mem, err := wire.Memory("job", body)
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	mine, theirs, err := wire.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		mine.Close()
		return nil, err
	}
	defer null.Close()
	stderr := null
	if job.Debug {
		stderr = os.Stderr
	}
	l := &launcherProcess{dir: dir, control: mine, exited: make(chan struct{})}
	attr := idmap.Attr(idmap.Map{HostUID: id.HostUID, HostGID: id.HostGID, UID: id.UID, GID: id.GID}, ablate.Namespaces(launcherFlags), launch.Caps)
	attr.Setsid = true
	attr.Pdeathsig = syscall.SIGKILL
	attr.PidFD = &l.pidfd
	proc := &os.ProcAttr{Dir: "/", Env: append([]string{}, ablate.Environ()...), Sys: attr, Files: []*os.File{null, null, stderr, theirs, mem, sentry, gofer, dial}}
	if err := l.start(proc); err != nil {
		mine.Close()
		return nil, fmt.Errorf("start %s: %w", launch.Name, err)
	}
	return l, nil
}

// start forks from a thread that lives until the launcher ends, because the kernel
// ties the death signal to the thread; the launcher also watches its socket.
func (l *launcherProcess) start(attr *os.ProcAttr) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p, err := os.StartProcess("/proc/self/exe", []string{launch.Name}, attr)
		if err != nil {
			started <- err
			return
		}
		l.pid = p.Pid
		started <- nil
		st, err := p.Wait()
		if err == nil {
			ws, _ := st.Sys().(syscall.WaitStatus)
			l.status = unix.WaitStatus(ws)
		}
		close(l.exited)
	}()
	return <-started
}

// kill ends the launcher and with it, because it is PID 1, everything inside.
func (l *launcherProcess) kill() {
	_ = unix.PidfdSendSignal(l.pidfd, unix.SIGKILL, nil, 0)
}

// staged answers the launcher's requests for servers until the root is ready.
func (l *launcherProcess) staged(view belljar.FileView) error {
	for {
		var r launch.Report
		files, err := wire.Recv(l.control, &r)
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%s ended", launch.Name)
		case err != nil:
			return err
		case r.Err != "":
			wire.CloseAll(files)
			return errors.New(r.Err)
		case r.Ended != "":
			wire.CloseAll(files)
			return fmt.Errorf("%s ended while it started", r.Ended)
		case r.Staged:
			defer wire.CloseAll(files)
			if len(files) != 1 {
				return errors.New("the sentry has no descriptor")
			}
			l.statm, err = openStatm(files[0])
			return err
		case r.View == nil || len(files) != 1 || view == nil:
			wire.CloseAll(files)
			return errors.New("a view has no server")
		}
		if err := view.Serve(*r.View, files[0]); err != nil {
			return fmt.Errorf("serve view %d: %w", *r.View, err)
		}
		if err := wire.Send(l.control, launch.Ack{}); err != nil {
			return err
		}
	}
}

// openStatm opens the memory counts of the process behind a pidfd. An open file of
// /proc belongs to the process that it was opened for, even when the number is
// used again.
func openStatm(pidfd *os.File) (*os.File, error) {
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(pidfd.Fd())))
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if pid, ok := strings.CutPrefix(line, "Pid:"); ok {
			return os.Open("/proc/" + strings.TrimSpace(pid) + "/statm")
		}
	}
	return nil, errors.New("the sentry has no PID here")
}

// private is the memory that the sentry itself uses: pipes, sockets and caches of
// the sandbox are in it. 0 when it is unknown.
func (l *launcherProcess) private() int64 {
	buf := make([]byte, 128)
	n, err := l.statm.ReadAt(buf, 0)
	if err != nil && n == 0 {
		return 0
	}
	f := strings.Fields(string(buf[:n]))
	if len(f) < 3 {
		return 0
	}
	resident, err1 := strconv.ParseInt(f[1], 10, 64)
	shared, err2 := strconv.ParseInt(f[2], 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return (resident - shared) * int64(os.Getpagesize())
}

// wait waits until nothing of the sandbox runs any more and says which process
// ended first.
func (l *launcherProcess) wait() belljar.End {
	var last launch.Report
	for {
		var r launch.Report
		files, err := wire.Recv(l.control, &r)
		wire.CloseAll(files)
		if err != nil {
			break
		}
		last = r
	}
	<-l.exited
	l.control.Close()
	unix.Close(l.pidfd)
	if l.statm != nil {
		l.statm.Close()
	}
	end := belljar.End{Reason: belljar.EndCrashed}
	switch {
	case last.Ended != "":
		ws := unix.WaitStatus(last.Status)
		end.Detail = last.Ended + " " + describe(ws)
		if last.Ended == launch.NameSentry {
			l.sentry = &ws
		}
	case last.Err != "":
		end.Detail = launch.Name + ": " + last.Err
	default:
		end.Detail = launch.Name + " " + describe(l.status)
	}
	return end
}

func describe(ws unix.WaitStatus) string {
	if ws.Signaled() {
		return "was killed by signal " + unix.SignalName(ws.Signal())
	}
	return fmt.Sprintf("ended with status %d", ws.ExitStatus())
}
