package gvisor

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/backend/internal/contract"
	"github.com/belljar-dev/belljar/backend/internal/guest"
	"github.com/belljar-dev/belljar/backend/internal/wire"
)

// A process is a command inside.
type process struct {
	in   *instance
	pid  int32         // 0: the init process
	help *guest.Helper // nil: the command was started directly

	done   chan struct{}
	status belljar.ExitStatus // once done is closed
}

var _ belljar.Process = (*process)(nil)

// init starts the first command as the sandbox's init process.
func (in *instance) init(ctx context.Context, c *belljar.Command) (*process, error) {
	files, done, err := contract.Stdio(c)
	if err != nil {
		return nil, err
	}
	defer done()
	help, run, err := guest.NewHelper(c, contract.LocalhostPorts(in.plan))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, in.launcher.kill) // until it runs
	defer stop()
	p := &process{in: in, help: help, done: make(chan struct{})}
	if err := in.waitStaged(in.bootSentry(c, run, files, help)); err != nil {
		help.Close()
		return nil, err
	}
	if help == nil {
		if err := in.recordStart(ctx, 1, 0, c.Exec); err != nil {
			return nil, err
		}
	}
	if err := in.ctl.startRoot(); err != nil && !in.ranAlready() {
		help.Close()
		return nil, in.startError(err)
	}
	go p.await()
	return p, nil
}

// waitStaged waits for the root, which is made while the sentry boots. Where it could
// not be made, that is the reason why the sentry did not start either.
func (in *instance) waitStaged(bootErr error) error {
	<-in.staged
	if in.stageErr != nil {
		return in.stageErr
	}
	return bootErr
}

// ranAlready says, when the sentry did not answer, whether the command was so short
// that everything has ended by now.
func (in *instance) ranAlready() bool {
	select {
	case <-in.ended:
		return in.initStatus != nil
	case <-time.After(2 * time.Second):
		return false
	}
}

// bootSentry gives the waiting sentry its specification and descriptors and
// returns when it is up.
func (in *instance) bootSentry(c *belljar.Command, run belljar.Exec, stdio []*os.File, help *guest.Helper) error {
	in.mu.Lock()
	sock, files, flags := in.sentry, in.boot, in.bootFDs
	in.sentry, in.boot = nil, nil
	in.mu.Unlock()
	if sock == nil {
		return errClosed
	}
	defer sock.Close()
	defer wire.CloseAll(files)
	spec, err := specFile(withProcess(in.base, in.plan, initExec(run, in.env(c)), in.env(c), help.Processes()))
	if err != nil {
		return err
	}
	files = append(files, spec)
	flags = append(flags, "spec-fd", "stdio-fds", "stdio-fds", "stdio-fds")
	m := childMsg{
		Global: configFlags(in.o, filepath.Dir(in.base.Root.Path)),
		Args:   bootArgs(in.plan, in.confs),
		FDs:    flags,

		Localhost: contract.LocalhostPorts(in.plan),
	}
	send := append(files[:len(files):len(files)], stdio...)
	if help != nil {
		m.FDs = append(m.FDs, "pass-fd:"+strconv.Itoa(guest.FDControl))
		send = append(send, help.Control())
	}
	err = wire.Send(sock, m, send...)
	wire.CloseAll(files)
	files = nil
	if err != nil {
		return err
	}
	help.Started()
	if _, err := io.ReadFull(in.startup, make([]byte, 1)); err != nil {
		return errSentry
	}
	if err := in.events.wait(); err != nil {
		return err
	}
	if err := in.ctl.setNetwork(in.link); err != nil {
		return fmt.Errorf("set up the network: %w", err)
	}
	memory, err := in.ctl.memoryFile()
	if err != nil {
		return fmt.Errorf("open the memory file: %w", err)
	}
	in.mu.Lock()
	in.memory = memory
	in.mu.Unlock()
	return nil
}

func (in *instance) env(c *belljar.Command) []string {
	if c.Env != nil {
		return c.Env
	}
	return in.plan.Env
}

// initExec keeps argv[0] as the user wrote it where gVisor, which looks the init
// process up by it, finds the same file; elsewhere argv[0] is the path.
func initExec(e belljar.Exec, env []string) belljar.Exec {
	name := e.Argv[0]
	found := path.IsAbs(name) && path.Clean(name) == e.Path ||
		!path.IsAbs(name) && strings.Contains(name, "/") && path.Join(e.Dir, name) == e.Path
	if !strings.Contains(name, "/") && name == path.Base(e.Path) {
		for _, kv := range env {
			if dirs, ok := strings.CutPrefix(kv, "PATH="); ok {
				first, _, _ := strings.Cut(dirs, ":")
				found = first == path.Dir(e.Path) || within(dirs, path.Dir(e.Path))
			}
		}
	}
	if found {
		return e
	}
	out := e
	out.Argv = append([]string{e.Path}, e.Argv[1:]...)
	return out
}

func within(list, dir string) bool {
	for d := range strings.SplitSeq(list, ":") {
		if path.Clean(d) == dir {
			return true
		}
	}
	return false
}

// recordStart records a program that is started from outside, which the sentry
// does not tell.
func (in *instance) recordStart(ctx context.Context, pid, parent int, e belljar.Exec) error {
	argv, cut := cutArgv(e.Argv, maxArgv)
	return in.spec.Events.Record(ctx, belljar.Event{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{
		PID: pid, Parent: parent, Path: e.Path, Argv: argv, Dir: e.Dir, Truncated: cut,
	}})
}

// exec starts a further command.
func (in *instance) exec(ctx context.Context, c *belljar.Command) (*process, error) {
	files, done, err := contract.Stdio(c)
	if err != nil {
		return nil, err
	}
	defer done()
	help, run, err := guest.NewHelper(c, nil)
	if err != nil {
		return nil, err
	}
	fds := map[int]*os.File{0: files[0], 1: files[1], 2: files[2]}
	if help != nil {
		fds[guest.FDControl] = help.Control()
	}
	pid, err := in.ctl.execute(in.plan.Identity, &execution{path: run.Path, argv: run.Argv, env: in.env(c), dir: c.Dir, fds: fds})
	if err != nil {
		help.Close()
		return nil, in.startError(err)
	}
	help.Started()
	p := &process{in: in, pid: pid, help: help, done: make(chan struct{})}
	go p.await()
	if help == nil {
		return p, in.recordStart(ctx, int(pid), 0, c.Exec)
	}
	return p, nil
}

// startError names the reason for which gVisor, whose errors cross its RPC as
// text only, could not start a command.
func (in *instance) startError(err error) error {
	for _, known := range []unix.Errno{unix.ENOENT, unix.EACCES, unix.ENOEXEC, unix.ENOTDIR, unix.ELOOP} {
		if strings.Contains(err.Error(), known.Error()) {
			return fmt.Errorf("%w (%s)", known, err)
		}
	}
	return err
}

// await waits for the end; that of the init process ends the sandbox.
func (p *process) await() {
	var ws unix.WaitStatus
	var err error
	if p.pid == 0 {
		ws, err = p.in.ctl.waitInit()
	} else {
		ws, err = p.in.ctl.waitPID(p.pid)
	}
	status := exitStatus(ws)
	p.help.Close()
	if p.pid == 0 && err == nil {
		p.in.finish(belljar.End{Reason: belljar.EndExited})
	}
	if p.pid == 0 || err != nil {
		<-p.in.ended // everything is on record
	}
	if err != nil {
		status = belljar.ExitStatus{Signal: belljar.Signal(unix.SIGKILL)}
		if p.pid == 0 && p.in.initStatus != nil {
			status = *p.in.initStatus
		}
	}
	p.status = status
	close(p.done)
}

// Wait implements [belljar.Process].
func (p *process) Wait(ctx context.Context) (belljar.ExitStatus, error) {
	select {
	case <-p.done:
		return p.status, nil
	case <-ctx.Done():
		return belljar.ExitStatus{}, ctx.Err()
	}
}

// Signal implements [belljar.Process].
func (p *process) Signal(s belljar.Signal) error {
	if p.help != nil {
		return p.help.Order(guest.Order{Kind: guest.OrderSignal, A: uint16(s)})
	}
	if err := p.in.ctl.signal(p.pid, s); err != nil {
		return &belljar.Error{Op: "signal", Kind: belljar.KindInternal, Err: err}
	}
	return nil
}

// SignalGroup sends s to the process that was started directly, which is the helper where
// there is one, and to its process group.
func (p *process) SignalGroup(s belljar.Signal) error {
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
	}
	if p.pid == 0 || p.in.ctl.signalGroup(p.pid, s) != nil {
		return p.in.ctl.signal(p.pid, s)
	}
	return nil
}

// Resize implements [belljar.Process].
func (p *process) Resize(w belljar.WindowSize) error {
	if p.help == nil {
		return nil
	}
	return p.help.Order(guest.Order{Kind: guest.OrderResize, A: w.Rows, B: w.Cols})
}
