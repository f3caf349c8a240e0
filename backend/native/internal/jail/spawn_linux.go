package jail

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar/backend/internal/lookup"
	"github.com/belljar-dev/belljar/backend/internal/wire"
)

// A spawner starts commands and collects what ends.
type spawner struct {
	threads int // ours

	mu       sync.Mutex // held from the fork until the command is known
	commands map[int]uint64
	limited  bool
	kick     chan struct{} // there is something to wait for again
}

// obey carries out requests, on the confined thread, until the supervisor is gone.
func (j *jail) obey() error {
	for {
		var r Request
		files, err := wire.Recv(j.control, &r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.Signal != 0 {
			wire.CloseAll(files)
			j.signal(r)
			continue
		}
		if err := j.spawn(&r, files); err != nil {
			return err
		}
	}
}

// spawn starts a command. An error means that the supervisor is gone.
func (j *jail) spawn(r *Request, files []*os.File) error {
	defer wire.CloseAll(files)
	if err := j.limitProcesses(r.Extra); err != nil {
		return wire.Send(j.control, Report{ID: r.ID, Errno: int(unix.EPERM)})
	}
	attr := &syscall.ProcAttr{Dir: r.Dir, Env: r.Env, Sys: &syscall.SysProcAttr{Setsid: true}}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	path, err := lookup.Program(r.Path, r.Dir, r.Env)
	pid := 0
	if err == nil {
		pid, err = syscall.ForkExec(path, r.Argv, attr)
	}
	if err != nil {
		errno := unix.EINVAL
		errors.As(err, &errno)
		return wire.Send(j.control, Report{ID: r.ID, Errno: int(errno)})
	}
	j.commands[pid] = r.ID
	select {
	case j.kick <- struct{}{}:
	default:
	}
	return wire.Send(j.control, Report{ID: r.ID, Started: true, PID: pid})
}

// limitProcesses sets the limit once: that of the plan, our own threads, and what
// the first command's helper needs.
func (j *jail) limitProcesses(extra int) error {
	if j.limited {
		return nil
	}
	j.limited = true
	return lower(unix.RLIMIT_NPROC, func(uint64) uint64 { return uint64(j.job.Processes + j.threads + extra) })
}

func (j *jail) signal(r Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for pid, id := range j.commands {
		if id == r.ID {
			if r.Group {
				pid = -pid // it leads a session
			}
			_ = unix.Kill(pid, unix.Signal(r.Signal))
		}
	}
}

// reap collects every process that ends and reports commands.
func (j *jail) reap() {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, unix.ECHILD) {
			<-j.kick // nothing runs: only a command can bring more
			continue
		}
		if err != nil {
			continue
		}
		j.mu.Lock()
		id, ok := j.commands[pid]
		delete(j.commands, pid)
		j.mu.Unlock()
		if ok && wire.Send(j.control, Report{ID: id, Ended: true, Status: int(ws)}) != nil {
			os.Exit(0)
		}
	}
}
