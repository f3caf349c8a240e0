package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ahead"
	"github.com/belljar-dev/belljar/sandbox"
	"golang.org/x/sys/unix"
)

// supervisorArgv0 is what the supervisor of a detached run is called by.
const supervisorArgv0 = "belljar-supervisor"

// fdReport is where it says that the command runs.
const fdReport = 3

// isSupervisor says whether this process is the supervisor of a detached run.
func isSupervisor() bool { return filepath.Base(os.Args[0]) == supervisorArgv0 }

// report is what a detached supervisor says once the command runs.
type report struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// detach starts the supervisor of a run in a session of its own, and returns when the
// command runs: then the sandbox's name has been printed. What keeps it from running is
// told as in the foreground.
func (a *App) detach(f *planFlags, args []string) error {
	if given(a.In) {
		return usage(errors.New("--detach: a run that nobody watches reads no standard input"), "< /dev/null; what it needs, put into a file of the project")
	}
	h, err := a.enter(f.paths()...)
	if err != nil {
		return err
	}
	ahead.DiscardRest()
	var r report
	runs, err := a.startBehind(behind{supervisorArgv0, "start the supervisor", "the command ran", 4 << 10}, h.dirs.Runtime, &r)
	if runs {
		_, err = fmt.Fprintln(a.Out, r.Name)
	}
	return err
}

// A behind is a process of ours that outlives the caller's terminal.
type behind struct {
	argv0 string
	op    string // what is done, in errors
	until string // what it answers at
	most  int64  // bytes of its answer
}

// startBehind starts this program once more with the same line, as b, in a session of its own,
// and returns when it has written its answer to [fdReport], or has ended. What it printed
// until then is told. Where it ended runs is false, and the status is its own.
func (a *App) startBehind(b behind, runtime string, answer any) (runs bool, err error) {
	fail := func(err error) error { return &belljar.Error{Op: b.op, Err: err} }
	said, say, err := os.Pipe()
	if err != nil {
		return false, fail(err)
	}
	defer said.Close()
	words, err := nameless(runtime)
	if err != nil {
		_ = say.Close()
		return false, fail(err)
	}
	defer words.Close()
	c := &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{b.argv0}, os.Args[1:]...), Env: os.Environ(),
		Stderr: words, ExtraFiles: []*os.File{say}, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = c.Start()
	_ = say.Close()
	if err != nil {
		return false, fail(err)
	}
	runs = json.NewDecoder(io.LimitReader(said, b.most)).Decode(answer) == nil
	if !runs {
		err = c.Wait()
	}
	_, _ = io.Copy(a.Err, io.NewSectionReader(words, 0, maxWords))
	if runs {
		return true, nil
	}
	if a.status = c.ProcessState.ExitCode(); a.status > 0 {
		return false, nil // told
	}
	return false, fail(fmt.Errorf("it ended before %s: %v", b.until, err))
}

// inputWait is what the writer of a pipe gets to show that there is something to read.
const inputWait = 50 * time.Millisecond

// given says whether there is input in f, other than what somebody may type.
func given(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil || fi.Mode().IsRegular() {
		return err == nil && fi.Size() > 0
	}
	if fi.Mode()&os.ModeNamedPipe == 0 {
		return false
	}
	p := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(p, int(inputWait.Milliseconds()))
	return err == nil && n > 0 && p[0].Revents&unix.POLLIN != 0
}

// maxWords bounds what the caller is told before the command runs.
const maxWords = 1 << 20

// nameless is a file for the words of the supervisor until the command runs. A pipe would
// break when the caller has gone, and end those of its helpers that still print there.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "words-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// A detached run's supervisor: where its words go.
type detached struct {
	a      *App
	out    *sandbox.Output
	words  *os.File // what is printed here is kept in out, and told the caller until the command runs
	copied sync.WaitGroup

	mu   sync.Mutex
	from *os.File // the other end of words
	told int      // bytes that the caller was told
	runs bool
}

// copy keeps what is printed, until nobody can print any more. Steps of setup print too:
// what the caller is told of it is bounded.
func (d *detached) copy() {
	buf := make([]byte, 32<<10)
	fds := []unix.PollFd{{Fd: int32(d.from.Fd()), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		}
		if !d.copySome(buf) {
			return
		}
	}
}

// copySome copies what is there. Whoever holds the lock knows that nothing is under way.
func (d *detached) copySome(buf []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.from.Read(buf)
	if n > 0 {
		_, _ = d.out.Write(buf[:n])
		if tell := min(n, maxWords-d.told); tell > 0 && !d.runs {
			d.told += tell
			_, _ = os.Stderr.Write(buf[:tell])
		}
	}
	return err == nil
}

// settle waits, for a moment, until what was printed has been told.
func (d *detached) settle() {
	fds := []unix.PollFd{{Fd: int32(d.from.Fd()), Events: unix.POLLIN}}
	for range 100 {
		d.mu.Lock()
		if n, err := unix.Poll(fds, 0); err == nil && n == 0 {
			d.runs = true
		}
		done := d.runs
		d.mu.Unlock()
		if done {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// supervise gives o what a detached run has in place of a caller.
func (a *App) supervise(p *prepared, h *host, noTTY bool, o *sandbox.Options) error {
	fail := func(err error) error {
		return &belljar.Error{Op: "keep what the sandbox prints", ID: p.plan.Name, Err: err, Hint: "is the disk full?"}
	}
	out, err := sandbox.NewOutput(h.dirs.Output(p.plan.ID))
	if err != nil {
		return fail(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	d := &detached{a: a, out: out, words: w, from: r}
	d.copied.Go(d.copy)
	a.finally = func() {
		_ = w.Close()
		d.copied.Wait()
		_ = out.Close()
	}
	o.In, o.Out, o.Err = nil, nil, w
	o.Detached = &sandbox.Detached{TTY: !noTTY, Log: out}
	o.Started = func() { d.started(report{p.plan.Name, p.plan.ID}) }
	return nil
}

// started tells the caller that the command runs, and lets go of them.
func (d *detached) started(r report) {
	d.settle()
	d.a.Err = d.words
	// What the runtime prints when it crashes, and helpers that are started from now on.
	d.out.Follow(func(fd int) { _ = redirect(fd, 2) })
	d.a.letGo() // a policy that came through it has been read
	b, _ := json.Marshal(r)
	say := os.NewFile(fdReport, "report")
	_, _ = say.Write(b) // a caller who has gone asked for it all the same
	_ = say.Close()
}

// unwatched makes review the mode of a run that nobody watches, unless somebody chose one.
func (a *App) unwatched(h *host, f *planFlags, p *prepared, workspace string) (err error) {
	if !f.detach || f.Mode != "" {
		return nil
	}
	if _, by := p.policy.Mode(); by.Layer != "default" && by.Layer != "preset" {
		return nil
	}
	f.Mode = string(belljar.ModeReview)
	p.policy, err = a.loadPolicy(h, f, workspace, p.agent)
	return err
}
