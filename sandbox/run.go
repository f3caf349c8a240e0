package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/event/otlp"
	"github.com/belljar-dev/belljar/gateway"
	"github.com/belljar-dev/belljar/internal/ahead"
	"github.com/belljar-dev/belljar/notify"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace/gitcommits"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/view"
	"github.com/belljar-dev/belljar/workspace/worktree"
)

// Options say what to run and how it is connected to the caller.
type Options struct {
	Plan       *belljar.Plan
	Witnesses  []event.Witness // of the record's anchors, besides that in Dirs.Runtime; connected already
	Public     *belljar.Plan   // Plan as it may be recorded: without secrets of the caller
	Backend    belljar.Backend
	Dirs       Dirs
	PolicyHash string // of the merged policy, for the record
	// Receiver is where the record is sent to; nil: nowhere.
	Receiver *otlp.Destination
	// Notify says how the user is told of questions and of the end; nil: in lines only.
	Notify   *Notify
	KeepHome bool // HOME outlives the run
	// MadeWorktree says that the sandbox's worktree was made for this run: it goes with one
	// that does not start.
	MadeWorktree bool
	// Recipe is what the sandbox is started from again; nil: it is not kept.
	Recipe *Recipe
	// Repositories were found in the project: commits that are made to them inside are
	// looked at in the end, as are those to the project's own.
	Repositories []rules.Repository
	// Gateway says how the gateway leaves and what it knows that is no part of a plan:
	// UpstreamAuth, Authority, Keys and Roots; Run fills in the rest, and closes Keys.
	Gateway gateway.Options
	// MayGrant says why a rule that somebody allows while the sandbox runs must not be,
	// for the organisation's ceiling; nil: every rule may.
	MayGrant func(belljar.NetRule) error
	// Files are written into the scratch folder, by name, for the plan to mount.
	Files map[string][]byte
	// Confine says that this process is the sandbox's alone, and is confined once the
	// sandbox is there: it starts no process afterwards, for good.
	Confine bool
	// The caller's standard streams. None of them enters the sandbox.
	In, Out, Err *os.File
	// Detached, where it is not nil, takes the place of In and Out: nobody is there.
	Detached *Detached
	// Warm, where it is not nil, has the run wait for who brings its command, in place of
	// In and Out and of the command of Plan.
	Warm *Warm
	// Started is called, where it is not nil, once the command runs.
	Started func()
	// Signals to pass on to the command; the caller owns the channel.
	Signals <-chan os.Signal
}

// A Result is how a run ended.
type Result struct {
	Status  int // what the command line exits with
	End     belljar.End
	Limits  []belljar.LimitEvent // reached, in order
	Summary Summary
	Lost    error // why not all that the command printed reached the caller; nil when they did not want it
}

// A run carries what the steps of [Run] share.
type run struct {
	o      Options
	p      *belljar.Plan
	began  time.Time
	undo   rollback
	rec    *event.Record
	counts counter
	marks  *marks
	repos  []gitcommits.Repository // as they were before the start
	own    *worktree.Info          // of a sandbox with a worktree
	ownErr error
	view   *view.Server
	gw     *gateway.Gateway
	gwGone chan struct{} // closed when the gateway has ended

	commands    *commands // nil: no rule is about them
	lines       *lines    // nil: there are no rules
	questions   *approval.Queue
	notices     chan string    // of new questions, for the user
	notifier    *notify.Sender // nil: nobody is told elsewhere
	bells       chan struct{}  // has room for one
	stopControl func() error   // ends the control socket; nil before it is there

	inst    belljar.Instance
	proc    belljar.Process // nil until the command runs
	session relay
	shared  *terminal.Shared   // session, in a detached run
	runs    chan struct{}      // closed when proc is there
	relayed chan error         // the session's end
	lost    error              // why the caller has not all that the command printed
	unrelay context.CancelFunc // gives up on a caller who does not read

	place  *claim
	takes  chan *taking   // has room for one
	taking *taking        // of a Warm run, once it was taken
	asked  chan os.Signal // by who took it

	watching sync.Once
	unwatch  func() // after watch

	mu        sync.Mutex
	ended     belljar.End // set by whoever ends the run first
	warmth    warmth      // of a Warm run
	maxMemory int64
}

// Run runs one sandbox from its first trace on disk to its last. The error says
// that belljar could not do it; how the command ended is in the result. Whatever
// happens, nothing of the run is left but its record and what waits.
func Run(ctx context.Context, o Options) (Result, error) {
	r := &run{o: o, p: o.Plan, began: time.Now(), runs: make(chan struct{}), takes: make(chan *taking, 1), asked: make(chan os.Signal, 8)}
	if o.Gateway.Keys != nil {
		r.undo.add(o.Gateway.Keys.Close)
	}
	if err := r.start(ctx); err != nil {
		if r.notifier != nil {
			r.notifier.Cancel() // whoever started it is told
		}
		end := belljar.End{Reason: belljar.EndCrashed, Detail: err.Error()}
		if by := r.endedBy(); by.Reason == belljar.EndKilled {
			// Who ended it is the reason, not what that looks like to the part that was starting.
			end, err = by, &belljar.Error{Op: "start sandbox", ID: r.p.Name, Err: fmt.Errorf("%s: %s", by.Reason, by.Detail)}
		}
		if errors.Is(err, ErrUntaken) {
			end = belljar.End{Reason: belljar.EndKilled, Detail: ErrUntaken.Error()}
		}
		r.end(belljar.EndEvent{End: end, Status: belljar.KindOf(err).ExitStatus()})
		return Result{}, errors.Join(err, r.undo.run())
	}
	status, end := r.wait(ctx)
	r.tellEnd(status, end)
	r.stop(ctx)
	sum := r.summary()
	res := Result{Status: status, End: end, Limits: r.counts.reached(), Summary: sum, Lost: r.lost}
	recErr := r.end(belljar.EndEvent{
		End: end, Status: status, Passed: sum.Passed, Held: sum.Held, Commands: sum.Commands, MaxMemory: r.maxMemory,
	})
	if err := errors.Join(recErr, r.undo.run()); err != nil {
		return res, &belljar.Error{Op: "clean up after the sandbox", ID: r.p.Name, Err: err}
	}
	return res, nil
}

// end closes the record, if there is one.
func (r *run) end(e belljar.EndEvent) error {
	if r.rec == nil {
		return nil
	}
	if r.taking != nil {
		e.Argv = r.p.Command.Argv
	}
	e.Millis = time.Since(r.began).Milliseconds()
	return r.rec.Close(e)
}

// start builds everything, in the order in which a failure costs least.
func (r *run) start(ctx context.Context) error {
	scratch := filepath.Join(r.o.Dirs.Runtime, r.p.ID)
	home := homeSource(r.p)
	discard := home
	if r.o.KeepHome {
		discard = ""
	}
	c, err := r.o.Dirs.claimRun(Entry{
		ID: r.p.ID, Name: r.p.Name, PID: os.Getpid(), Started: r.began, Tier: r.p.Tier,
		Workspace: r.p.Workspace.Dir, Argv: r.p.Command.Argv, Scratch: scratch, Home: discard, Detached: r.o.Detached != nil,
		Warm: r.o.Warm.key(),
	})
	if err != nil {
		return &belljar.Error{Op: "write down the sandbox", ID: r.p.Name, Err: err, Hint: "is the disk full?"}
	}
	r.place = c
	r.undo.add(c.release) // with the scratch folder and a HOME that is not kept
	if err := r.loadWorktree(); err != nil {
		return err
	}
	if r.o.Detached != nil { // from here on it is not pruned
		if err := r.o.Detached.Log.remake(); err != nil {
			return &belljar.Error{Op: "keep what the sandbox prints", ID: r.p.Name, Err: err, Hint: "is the disk full?"}
		}
	}
	if r.o.Recipe != nil {
		r.o.Recipe.ID = r.p.ID
		if err := r.o.Dirs.saveRecipe(*r.o.Recipe); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return &belljar.Error{Op: "make", ID: scratch, Err: err}
	}
	for name, content := range r.o.Files {
		mode := os.FileMode(0o444)
		if name == plan.SigningKey {
			mode = 0o400
		}
		if err := os.WriteFile(filepath.Join(scratch, name), content, mode); err != nil {
			return &belljar.Error{Op: "write certificates", ID: name, Err: err, Hint: "is the disk full?"}
		}
	}
	if r.o.KeepHome && len(r.p.Setup) > 0 {
		if r.marks, err = openMarks(r.o.Dirs.State, home); err != nil {
			return &belljar.Error{Op: "open what is known of setup", ID: r.p.Name, Err: err}
		}
		if r.marks != nil {
			r.undo.add(r.marks.close)
		}
	}
	if err := r.prepareHome(home); err != nil {
		return err
	}
	if err := r.startRecord(); err != nil {
		return err
	}
	return r.startParts(ctx, scratch)
}

func (r *run) startRecord() error {
	host, _ := os.Hostname()
	rec, err := event.Create(event.CreateOptions{
		State: r.o.Dirs.State,
		Plan:  r.o.Public,
		Apart: true,

		MaxBytes:  r.p.Limits.Log,
		Secrets:   recordSecrets(r.p, r.o.Public),
		Witnesses: append([]event.Witness{event.WitnessFile(r.o.Dirs.Runtime)}, r.o.Witnesses...),
		Start: belljar.StartEvent{
			ID: r.p.ID, Name: r.p.Name, Argv: r.p.Command.Argv, Workspace: r.p.Workspace.Dir, Tier: r.p.Tier,
			Version: belljar.Version, Binary: ProgramHash(r.o.Dirs.State), Policy: r.o.PolicyHash, UID: os.Getuid(), Host: host,
			Warm: r.o.Warm != nil,
		},
	})
	if err != nil {
		return &belljar.Error{Op: "open the record", ID: r.p.Name, Err: err, Hint: "nothing runs without a record; is the disk full?"}
	}
	r.rec = rec
	if err := r.send(); err != nil {
		return err
	}
	r.counts.next, r.counts.published = rec, make(chan belljar.NetEvent, len(r.p.Network.Publish))
	return nil
}

func (r *run) startParts(ctx context.Context, scratch string) error {
	v := startView(ctx, view.Options{Plan: r.p, Events: &r.counts})
	r.undo.add(v.close)
	r.repos = repositories(ctx, &r.p.Workspace, borrowed(r.p), r.o.Repositories) // while the server starts
	o := r.o.Gateway
	r.startQuestions(ctx)
	if err := r.startNotify(); err != nil {
		return err
	}
	o.Tokens, o.Notice = r.p.Limits.Tokens, r.notice
	o.Network, o.Events, o.Name, o.Questions = &r.p.Network, &r.counts, r.p.Name, r.questions
	var err error
	if r.lines, err = r.newLines(); err != nil {
		return err
	}
	if r.lines != nil {
		o.JudgeLine = r.lines.judge
	}
	o.Opened, o.Denied = r.opened, r.p.Denied
	gw, err := gateway.New(o)
	if err != nil {
		return err
	}
	r.gw = gw
	r.runGateway(ctx)
	if err := r.serveControl(ctx, scratch); err != nil {
		return err
	}
	spec := &belljar.Spec{Plan: r.p, Dir: scratch, View: v, Attach: gw.Attach, Events: &r.counts, Early: r.o.Warm == nil, Stays: r.stays()}
	if r.commands, err = r.newCommands(); err != nil {
		return err
	}
	if r.commands != nil {
		spec.MayExec = r.commands.mayExec
	}
	if err := r.detachKeys(); err != nil {
		return err
	}
	inst, err := r.o.Backend.Start(ctx, spec)
	if err != nil {
		return v.why(err)
	}
	r.mu.Lock()
	r.inst = inst
	early := r.ended // a part may be gone already, and had nothing to end then
	r.mu.Unlock()
	r.undo.add(inst.Close)
	if early.Reason != "" {
		return &belljar.Error{Op: "start sandbox", ID: r.p.Name, Err: errors.New(early.Detail)}
	}
	if r.view, err = v.wait(); err != nil {
		return err
	}
	ahead.DiscardRest()
	if err := r.confine(); err != nil {
		return err
	}
	if err := r.setUp(ctx); err != nil {
		return v.why(err)
	}
	if err := r.warm(ctx); err != nil {
		return v.why(err)
	}
	if err := r.startCommand(ctx); err != nil {
		return v.why(err)
	}
	return nil
}

// stays says that the sandbox does not end with the first command that runs in it.
func (r *run) stays() bool { return len(r.p.Setup) > 0 || r.o.Warm != nil }

// opened says which program inside opened a connection.
func (r *run) opened(ctx context.Context, from, to netip.AddrPort, began time.Time) (belljar.Opened, error) {
	r.mu.Lock()
	inst := r.inst
	r.mu.Unlock()
	if o, ok := inst.(belljar.Opener); ok {
		return o.Opened(ctx, from, to, began)
	}
	return belljar.Opened{}, errors.New("the tier does not tell which program opened a connection")
}

// detachKeys has sources of credentials be read outside this process, if it is to be
// confined.
func (r *run) detachKeys() error {
	if r.o.Gateway.Keys == nil || !r.o.Confine {
		return nil
	}
	stop, err := r.o.Gateway.Keys.Detach()
	if err == nil {
		r.undo.add(stop)
	}
	return err
}

// runGateway runs the gateway until stopGateway; its end is the sandbox's end.
func (r *run) runGateway(ctx context.Context) {
	r.gwGone = make(chan struct{})
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer close(r.gwGone)
		err := r.gw.Run(ctx)
		r.finish(belljar.End{Reason: belljar.EndCrashed, Detail: fmt.Sprintf("the gateway ended: %v", err)})
	}()
	r.undo.add(r.stopGateway)
}

func (r *run) stopGateway() error {
	err := r.gw.Close()
	<-r.gwGone
	return err
}

func (r *run) startCommand(ctx context.Context) error {
	if r.taking != nil {
		return r.startTaken(ctx)
	}
	s, err := r.newRelay()
	if err != nil {
		return &belljar.Error{Op: "relay the terminal", Err: err}
	}
	r.undo.add(s.Close)
	c := &belljar.Command{Exec: r.p.Command}
	s.Command(c)
	proc, err := r.inst.Start(ctx, c)
	if err != nil {
		return err
	}
	r.counts.printPublished(ctx, r.o.Err) // before anything that the command prints
	r.relay(ctx, proc, s)
	return nil
}

// relay begins to relay between the command, which runs, and who is outside.
func (r *run) relay(ctx context.Context, proc belljar.Process, s relay) {
	r.proc, r.session, r.relayed = proc, s, make(chan error, 1)
	ctx, r.unrelay = context.WithCancel(context.WithoutCancel(ctx))
	go func() { r.relayed <- s.Run(ctx, proc.Resize) }()
	close(r.runs)
	if r.o.Started != nil {
		r.o.Started()
	}
}

// finish notes why the run ends, the first time, and ends it. It does not wait.
func (r *run) finish(e belljar.End) {
	r.mu.Lock()
	first := r.ended.Reason == ""
	if first {
		r.ended = e
	}
	inst := r.inst
	r.mu.Unlock()
	if first && inst != nil {
		go inst.Close()
	}
}

// rollback undoes steps in reverse order.
type rollback struct {
	mu    sync.Mutex
	steps []func() error
}

func (b *rollback) add(f func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.steps = append(b.steps, f)
}

// run undoes everything, once.
func (b *rollback) run() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for i := len(b.steps) - 1; i >= 0; i-- {
		errs = append(errs, b.steps[i]())
	}
	b.steps = nil
	return errors.Join(errs...)
}
