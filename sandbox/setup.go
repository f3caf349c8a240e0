package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/limit"
	"github.com/belljar-dev/belljar/terminal"
)

// stepOutput is how long what a step left behind may hold its outputs.
const stepOutput = 2 * time.Second

// setUp runs the steps of setup, one after the other, and takes back what is allowed only
// while they run. Limits hold as they do for the command.
func (r *run) setUp(ctx context.Context) error {
	defer r.gw.EndSetup()
	if len(r.p.Setup) == 0 {
		return nil
	}
	done := r.marks.read()
	running := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go r.interrupt(ctx)
	var now []string
	for _, s := range r.p.Setup {
		mark := stepMark(s)
		if !s.Each && slices.Contains(done, mark) {
			now = append(now, mark)
			continue
		}
		if err := r.step(ctx, running, s); err != nil {
			return errors.Join(err, r.marks.write(now))
		}
		if !s.Each {
			now = append(now, mark)
		}
	}
	return r.marks.write(now)
}

// step runs one step to its end. What it prints goes to the caller's standard error: the
// command's output is the run's. running is the context of the whole run.
func (r *run) step(ctx, running context.Context, s belljar.SetupStep) error {
	fail := func(kind belljar.Kind, err error, hint string) error {
		return &belljar.Error{Op: "set up: run", ID: terminal.Escape(strings.Join(s.Argv, " ")), Kind: kind, Err: err, Hint: hint}
	}
	session, err := terminal.NewSession(terminal.Options{Stdout: r.o.Err, Stderr: r.o.Err, NoTTY: true})
	if err != nil {
		return fail(belljar.KindInternal, err, "")
	}
	defer session.Close()
	c := &belljar.Command{Exec: belljar.Exec{Path: s.Argv[0], Argv: s.Argv, Dir: r.p.Command.Dir}, Env: r.p.Env}
	session.Command(c)
	proc, err := r.inst.Start(ctx, c)
	if err != nil {
		return fail(belljar.KindOf(err), err, "setup runs inside: the program must be there")
	}
	r.watch(running)
	relay, stopRelay := context.WithCancel(ctx)
	defer stopRelay()
	relayed := make(chan error, 1)
	go func() { relayed <- session.Run(relay, nil) }()
	status, err := proc.Wait(context.WithoutCancel(ctx))
	if end := r.endedBy(); end.Reason != "" {
		return fail(endKind(end), fmt.Errorf("the sandbox ended: %s %s", end.Reason, end.Limit+end.Detail), "")
	}
	if err != nil {
		return fail(belljar.KindInternal, err, "")
	}
	// What stays and holds the outputs does not keep the command from starting for long.
	defer time.AfterFunc(stepOutput, stopRelay).Stop()
	if err := <-relayed; err != nil && !errors.Is(err, context.Canceled) {
		return fail(belljar.KindInternal, err, "")
	}
	if status != (belljar.ExitStatus{}) {
		return fail(belljar.KindInternal, fmt.Errorf("exit status %d", status.Status()), "the command was not started; what it printed is above")
	}
	return nil
}

// interrupt ends the sandbox when the caller asks for the end, until ctx ends. A signal to
// the step alone would not do: a shell waits for its child first.
func (r *run) interrupt(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-r.o.Signals:
			if s != syscall.SIGUSR1 && s != syscall.SIGUSR2 {
				r.finish(belljar.End{Reason: belljar.EndKilled, Detail: "by the caller, who sent " + s.String()})
			}
		}
	}
}

// endedBy is why the sandbox has ended; zero while it has not.
func (r *run) endedBy() belljar.End {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

func endKind(e belljar.End) belljar.Kind {
	switch {
	case e.Reason == belljar.EndLimit && e.Limit == limit.Time:
		return belljar.KindTime
	case e.Reason == belljar.EndLimit && e.Limit == limit.Memory:
		return belljar.KindMemory
	}
	return belljar.KindInternal
}

// stepMark is what a step is known by.
func stepMark(s belljar.SetupStep) string {
	h := sha256.New()
	for _, w := range s.Argv {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// marks say which steps of setup ran in a kept HOME: a file of ours, which nothing inside
// sees, held open because the supervisor is confined when it writes. nil: HOME is not kept.
type marks struct{ f *os.File }

// openMarks opens the marks of the HOME home, before that is made: a HOME that is new has
// none, whatever is left of one that was removed.
func openMarks(state, home string) (*marks, error) {
	rel, err := filepath.Rel(filepath.Join(state, "homes"), home)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, nil
	}
	name := filepath.Join(state, "setup", rel)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(home); errors.Is(err, os.ErrNotExist) {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &marks{f}, nil
}

// read is empty where nothing can be read: then everything runs again.
func (m *marks) read() (l []string) {
	if m == nil {
		return nil
	}
	if json.NewDecoder(io.NewSectionReader(m.f, 0, 1<<20)).Decode(&l) != nil {
		return nil
	}
	return l
}

func (m *marks) write(l []string) error {
	if m == nil {
		return nil
	}
	b, err := json.Marshal(l)
	if err == nil {
		// Cut short by a crash it is no JSON, and everything runs again.
		if err = m.f.Truncate(0); err == nil {
			_, err = m.f.WriteAt(b, 0)
		}
	}
	if err != nil {
		return &belljar.Error{Op: "write down that setup ran", ID: m.f.Name(), Err: err, Hint: "is the disk full?"}
	}
	return nil
}

func (m *marks) close() error { return m.f.Close() }
