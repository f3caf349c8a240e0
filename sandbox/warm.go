package sandbox

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
)

// A Warm run has everything up and waits for who takes it, once: they bring its command.
// It is given to nobody who does not know its Key and its Proof.
type Warm struct {
	Key   string // of the plan and of the host as it was; kept where others of this user see it
	Proof string // of the secrets that are no part of Key; in memory only
	// Own are texts of this sandbox alone: its ID, its stand-ins. The environment of who
	// takes it has an [api.Placeholder] for each.
	Own []string
	// Unwanted is closed when it is to end, unless it was taken.
	Unwanted <-chan struct{}
	// Ready is called once it can be taken. Taken is called when it was, before its command
	// starts; Caller once who took it is there.
	Ready, Taken func()
	Caller       func(*api.Caller)
}

// ErrUntaken is the end of a [Warm] run that nobody took and nobody wants any more.
var ErrUntaken = errors.New("nobody took it")

var (
	errWaiting = errors.New("it waits for belljar run, and runs nothing yet")
	errNotYet  = &belljar.Error{Op: "take", Kind: belljar.KindConflict, Err: errors.New("it cannot be taken")}
)

// A warmth is how far a [Warm] run is.
type warmth int

const (
	warming warmth = iota
	waiting
	taken
)

// A taking is a run's being taken.
type taking struct {
	q      api.TakeRequest
	c      *belljar.Command
	by     string
	reply  chan error       // whether the command runs
	proc   belljar.Process  // set before reply
	caller chan *api.Caller // nil: they have gone
}

// key is empty for a run that is not warm.
func (w *Warm) key() string {
	if w == nil {
		return ""
	}
	return w.Key
}

var _ api.Taker = control{}

// Take implements [api.Taker].
func (c control) Take(ctx context.Context, q api.TakeRequest, cmd *belljar.Command, by string) (api.Taken, error) {
	give := func(err error) (api.Taken, error) {
		closeAll(cmd)
		return nil, err
	}
	r, w := c.r, c.r.o.Warm
	if err := q.Check(); err != nil {
		return give(err)
	}
	if w == nil || !same(q.Key, w.Key) || !same(q.Proof, w.Proof) {
		return give(errNotYet)
	}
	env, err := w.fill(q.Env)
	if err != nil {
		return give(err)
	}
	q.Env = env
	t := &taking{q: q, c: cmd, by: by, reply: make(chan error, 1), caller: make(chan *api.Caller, 1)}
	if !r.claimTake() {
		return give(errNotYet)
	}
	r.takes <- t
	// Not with the caller's context: who was taken is told, and ends where nobody is there.
	if err := <-t.reply; err != nil {
		if k := belljar.KindOf(err); k != belljar.KindNotFound && k != belljar.KindRefused {
			err = &belljar.Error{Op: "take", Kind: belljar.KindConflict, Err: err} // nothing runs
		}
		return nil, err
	}
	return t, nil
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// fill puts what is this sandbox's own in place of the placeholders.
func (w *Warm) fill(env []string) ([]string, error) {
	var pairs []string
	for i, own := range w.Own {
		pairs = append(pairs, api.Placeholder(i), own)
	}
	own := strings.NewReplacer(pairs...)
	out := make([]string, len(env))
	for i, e := range env {
		if out[i] = own.Replace(e); strings.ContainsRune(out[i], 0) {
			return nil, &belljar.Error{Op: "take", Kind: belljar.KindUsage, Err: errors.New("a variable holds a zero byte")}
		}
	}
	return out, nil
}

// claimTake says whether the caller is the one who may take it: no other is, from then on.
func (r *run) claimTake() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.warmth != waiting || r.ended.Reason != "" {
		return false
	}
	r.warmth = taken
	return true
}

// waits says whether it is warm, and was not taken.
func (r *run) waits() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.o.Warm != nil && r.warmth != taken
}

// Signal implements [belljar.Process].
func (t *taking) Signal(s belljar.Signal) error { return t.proc.Signal(s) }

// Resize implements [belljar.Process].
func (t *taking) Resize(w belljar.WindowSize) error { return t.proc.Resize(w) }

// Wait implements [belljar.Process].
func (t *taking) Wait(ctx context.Context) (belljar.ExitStatus, error) { return t.proc.Wait(ctx) }

// Caller implements [api.Taken].
func (t *taking) Caller(c *api.Caller) { t.caller <- c }

// warm gets ready what a command needs, and waits until somebody takes the sandbox.
func (r *run) warm(ctx context.Context) error {
	w := r.o.Warm
	if w == nil {
		return nil
	}
	if in, ok := r.inst.(belljar.Warmer); ok {
		if err := in.Warm(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := make(chan belljar.End, 1)
	go func() {
		if end, err := r.inst.Wait(ctx); err == nil {
			gone <- end
		}
	}()
	r.mu.Lock()
	r.warmth = waiting
	r.mu.Unlock()
	w.Ready()
	for {
		var why error
		select {
		case t := <-r.takes:
			return r.taken(ctx, t, gone)
		case end := <-gone:
			why = fmt.Errorf("it ended before it was taken: %s %s", end.Reason, end.Detail)
		case <-r.view.Done():
			why = fmt.Errorf("the view server ended: %w", errors.Join(r.view.Err(), ErrUntaken))
		case <-r.rec.Full():
			why = r.rec.Err()
		case <-w.Unwanted:
			why = ErrUntaken
		case s := <-r.o.Signals:
			if s == syscall.SIGUSR1 || s == syscall.SIGUSR2 {
				continue
			}
			why = ErrUntaken
		}
		if r.unclaim() {
			if end := r.endedBy(); end.Reason == belljar.EndKilled {
				why = ErrUntaken
			}
			return &belljar.Error{Op: "wait to be taken", ID: r.p.Name, Err: why}
		}
		// Somebody was faster: what is wrong shows when the command starts.
		return r.taken(ctx, <-r.takes, gone)
	}
}

// unclaim keeps others from taking it, unless somebody did.
func (r *run) unclaim() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.warmth == taken {
		return false
	}
	r.warmth = warming
	return true
}

// taken makes the run that of who took it.
func (r *run) taken(ctx context.Context, t *taking, gone <-chan belljar.End) error {
	made := r.began
	r.taking, r.began = t, time.Now()
	r.p.Command = belljar.Exec{Path: t.q.Path, Argv: t.q.Argv, Dir: t.q.Dir}
	r.p.Env = t.q.Env
	r.counts.restart()
	fail := func(err error) error {
		closeAll(t.c)
		t.reply <- err
		return err
	}
	select { // what has just ended is not begun with
	case <-gone:
		return fail(errors.New("it ended before it was taken"))
	case <-r.view.Done():
		return fail(errors.New("the view server ended before it was taken"))
	default:
	}
	// What was committed while it waited was not committed inside.
	r.repos = repositories(ctx, &r.p.Workspace, borrowed(r.p), r.o.Repositories)
	e := belljar.Event{Kind: belljar.EventTake, Take: &belljar.TakeEvent{
		Argv: t.q.Argv, Dir: t.q.Dir, Made: made, By: t.by,
	}}
	if err := r.counts.Record(ctx, e); err != nil {
		return fail(&belljar.Error{Op: "write the record of", ID: r.p.Name, Err: err, Hint: "nothing runs without a record; is the disk full?"})
	}
	r.place.entry.Argv, r.place.entry.Warm, r.place.entry.Taken = t.q.Argv, "", r.began
	if err := writeRun(r.place.dir, written{Entry: r.place.entry}); err != nil {
		return fail(&belljar.Error{Op: "write down the sandbox", ID: r.p.Name, Err: err, Hint: "is the disk full?"})
	}
	r.o.Warm.Taken()
	return nil
}

func closeAll(c *belljar.Command) {
	for _, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// startTaken starts the command of who took the sandbox.
func (r *run) startTaken(ctx context.Context) error {
	t := r.taking
	t.c.Exec, t.c.Env = r.p.Command, r.p.Env
	var err error
	if t.proc, err = r.inst.Start(ctx, t.c); err != nil {
		t.reply <- err
		return err
	}
	t.reply <- nil
	caller := <-t.caller
	if caller == nil {
		return &belljar.Error{Op: "start the command of", ID: r.p.Name, Err: errors.New("its caller has gone")}
	}
	r.o.Warm.Caller(caller)
	go r.hear(caller)
	r.counts.printPublished(ctx, r.o.Err)
	r.relay(ctx, t.proc, callerRelay{caller})
	return nil
}

// hear passes on the signals of who took the sandbox, and ends it when they have gone.
func (r *run) hear(c *api.Caller) {
	for {
		select {
		case s := <-c.Signals():
			select {
			case r.asked <- syscall.Signal(s):
			default:
			}
		case <-c.Gone():
			r.finish(belljar.End{Reason: belljar.EndKilled, Detail: "its caller has gone"})
			return
		}
	}
}

// A callerRelay is a [relay] to who took the sandbox; terminals are theirs.
type callerRelay struct{ c *api.Caller }

// Command implements [relay].
func (callerRelay) Command(*belljar.Command) {}

// Run implements [relay].
func (c callerRelay) Run(ctx context.Context, _ func(belljar.WindowSize) error) error {
	return c.c.Run(ctx)
}

// Note implements [relay].
func (c callerRelay) Note(line string) { _ = c.c.Say([]byte(line + "\n")) }

// Ring implements [relay]: runs that ring their caller's bell start cold.
func (callerRelay) Ring() {}

// Dropped implements [relay].
func (c callerRelay) Dropped() map[string]int { return c.c.Dropped() }

// Close implements [relay].
func (callerRelay) Close() error { return nil }

// WarmRuns lists the sandboxes that can be taken by key, the oldest first. One that was
// taken meanwhile is among them.
func (d Dirs) WarmRuns(key string) ([]Entry, error) {
	runs, err := d.Runs()
	var out []Entry
	for _, e := range runs {
		if e.Warm != "" && e.Warm == key {
			out = append(out, e)
		}
	}
	return out, err
}
