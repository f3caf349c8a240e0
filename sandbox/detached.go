package sandbox

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
	"github.com/belljar-dev/belljar/terminal"
)

// A Detached run has no caller: what its command prints goes to a log, and people come
// and go ([api.Control] Attach).
type Detached struct {
	TTY bool // the command has a terminal, which is whoever attaches
	Log *Output
}

var errForeground = errors.New("it runs in the foreground of another terminal")

// firstSize is a terminal's size until somebody attaches.
var firstSize = belljar.WindowSize{Rows: 24, Cols: 80}

// Output is the folder of what the detached sandbox id printed. It outlives the run.
func (d Dirs) Output(id string) string { return filepath.Join(d.State, "output", id) }

// A relay stands between the command and who is outside.
type relay interface {
	Command(*belljar.Command)
	Run(ctx context.Context, resize func(belljar.WindowSize) error) error
	Note(line string)
	Ring()
	Dropped() map[string]int
	Close() error
}

func (r *run) newRelay() (relay, error) {
	d := r.o.Detached
	if d == nil {
		return terminal.NewSession(terminal.Options{Stdin: r.o.In, Stdout: r.o.Out, Stderr: r.o.Err})
	}
	s, err := terminal.NewShared(terminal.SharedOptions{TTY: d.TTY, Size: firstSize, Log: d.Log})
	if err != nil {
		return nil, err
	}
	r.shared = s
	return s, nil
}

// Status implements [api.Control].
func (c control) Status(ctx context.Context) (api.Status, error) {
	r := c.r
	s := api.Status{ID: r.p.ID, Name: r.p.Name, Waiting: len(r.questions.List())}
	select {
	case <-r.runs:
	default:
		s.State = api.Starting
		r.mu.Lock()
		warm := r.warmth == waiting
		r.mu.Unlock()
		if warm {
			s.State = api.Warm
			if u, err := r.inst.Usage(ctx); err == nil {
				s.Usage = u
			}
		}
		return s, nil
	}
	s.State = api.Running
	r.mu.Lock()
	if r.ended.Reason != "" {
		s.State = api.Ending
	}
	r.mu.Unlock()
	if u, err := r.inst.Usage(ctx); err == nil { // else it is ending
		s.Usage = u
	}
	s.Refused, s.Doing, s.Since = r.counts.now()
	if r.shared != nil {
		s.Detached, s.Viewers = true, r.shared.Viewers()
	}
	return s, nil
}

// Stop implements [api.Control].
func (c control) Stop(ctx context.Context, grace time.Duration) error {
	r := c.r
	select {
	case <-r.runs:
	default: // nothing yet that could heed a signal: setup runs, or less
		r.finish(belljar.End{Reason: belljar.EndKilled, Detail: "it was stopped before its command ran"})
		return nil
	}
	if err := r.awaitCommand(ctx); err != nil {
		return err
	}
	_ = r.proc.Signal(belljar.Signal(syscall.SIGTERM)) // it may have ended meanwhile
	time.AfterFunc(grace, func() { r.finish(belljar.End{Reason: belljar.EndKilled, Detail: "it was stopped"}) })
	return nil
}

// Attach implements [api.Control].
func (c control) Attach(ctx context.Context, q api.AttachRequest) (api.Viewer, error) {
	if err := c.r.awaitCommand(ctx); err != nil {
		return nil, err
	}
	if c.r.shared == nil {
		return nil, &belljar.Error{
			Op: "attach", Kind: belljar.KindConflict, Err: errForeground, Hint: "belljar exec " + c.r.p.Name + " -- COMMAND runs a further command in it",
		}
	}
	return viewer{c.r.shared.Attach(terminal.ViewOptions{Size: q.Size, ReadOnly: q.ReadOnly, Take: q.Take}), c.r}, nil
}

// A viewer is an [api.Viewer].
type viewer struct {
	*terminal.Viewer
	r *run
}

// Status implements [api.Viewer].
func (v viewer) Status(ctx context.Context) (belljar.ExitStatus, error) { return v.r.proc.Wait(ctx) }
