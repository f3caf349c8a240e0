package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/internal/ahead"
	"github.com/belljar-dev/belljar/internal/peer"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/terminal"
)

// What the supervisor of a warm sandbox is called by, and what only tells the likeness of
// one that would be made now.
const (
	warmArgv0 = ahead.WarmArgv0
	keyArgv0  = "belljar-warm-key"
)

// fdUnwanted ends when nobody keeps the pool of a warm sandbox any more.
const fdUnwanted = 4

func isWarm() bool {
	name := filepath.Base(os.Args[0])
	return name == warmArgv0 || name == keyArgv0
}

// A memberReport is what a warm sandbox tells its pool: a line of JSON for each step.
type memberReport struct {
	Step      string `json:"step"` // key, ready, taken
	ID        string `json:"id,omitempty"`
	Name      string `json:"name,omitempty"`
	Key       string `json:"key,omitempty"`
	Tier      string `json:"tier,omitempty"`
	Workspace string `json:"workspace,omitempty"`
}

// runWarm is the supervisor of a warm sandbox.
func (a *App) runWarm(ctx context.Context, f *planFlags, args []string) error {
	if _, err := keepInherited(); err != nil {
		return &belljar.Error{Op: "look at what the caller left open", Err: err}
	}
	reports := os.NewFile(fdReport, "report")
	report := func(r memberReport) { _ = json.NewEncoder(reports).Encode(r) } // a pool that has gone hears nothing
	h, err := a.enter(f.paths()...)
	if err != nil {
		return err
	}
	p, err := a.prepare(ctx, h, f, args)
	if err != nil {
		return err
	}
	defer p.logins.close()
	err = p.notPooled(f)
	if err == nil {
		err = checkReceiver(p.policy)
	}
	var like likeness
	if err == nil {
		like, err = p.likeness(h)
	}
	if err != nil {
		return &belljar.Error{Op: "keep a sandbox warm", Kind: belljar.KindUsage, Err: err, Hint: "such runs start cold: belljar run"}
	}
	if filepath.Base(os.Args[0]) == keyArgv0 {
		report(memberReport{Step: "key", Key: like.key})
		return nil
	}
	m := &warmMember{unwanted: make(chan struct{}), errs: a.Err}
	go func() {
		_, _ = os.NewFile(fdUnwanted, "unwanted").Read(make([]byte, 1)) // nobody writes there
		close(m.unwanted)
	}()
	return a.runMember(ctx, h, p, like, m, report)
}

// A warmMember is where the words of a warm sandbox's supervisor go: to who takes it,
// once they have.
type warmMember struct {
	unwanted chan struct{}
	errs     *os.File

	mu     sync.Mutex
	caller *api.Caller
}

// Write implements [io.Writer].
func (m *warmMember) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.caller == nil {
		return m.errs.Write(p)
	}
	_ = m.caller.Say(p) // who has gone hears nothing
	return len(p), nil
}

func (m *warmMember) call(c *api.Caller) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.caller = c
}

func (a *App) runMember(ctx context.Context, h *host, p *prepared, like likeness, m *warmMember, report func(memberReport)) error {
	r, w, err := os.Pipe()
	if err != nil {
		return &belljar.Error{Op: "keep a sandbox warm", Err: err}
	}
	var copied sync.WaitGroup
	copied.Go(func() { _, _ = io.Copy(m, r) })
	signals, done := caught()
	defer done()
	kept, gone := h.keeperWitness(ctx)
	defer gone()
	tell := func(step string) func() {
		return func() {
			report(memberReport{Step: step, ID: p.plan.ID, Name: p.plan.Name, Key: like.key, Tier: p.plan.Tier, Workspace: p.plan.Workspace.Dir})
		}
	}
	res, err := a.runPrepared(ctx, h, p, p.options(h, false, sandbox.Options{
		Err: w, Signals: signals, Confine: true, Witnesses: []event.Witness{kept},
		Warm: &sandbox.Warm{
			Key: like.key, Proof: like.proof, Own: like.own, Unwanted: m.unwanted,
			Ready: tell("ready"), Taken: tell("taken"), Caller: m.call,
		},
	}))
	a.Err = w
	if err = a.ended(p, res, err); err != nil && !errors.Is(err, sandbox.ErrUntaken) {
		a.fail(err)
		a.status = belljar.KindOf(err).ExitStatus()
	}
	a.Err = m.errs
	_ = w.Close()
	copied.Wait()
	if m.caller != nil {
		m.caller.End(a.status)
	}
	return nil
}

// runPooled gives the run of p to a sandbox that is warm for exactly it. ran is false where
// there is none: then nothing was started, and the run starts cold.
func (a *App) runPooled(ctx context.Context, h *host, f *planFlags, p *prepared) (ran bool, err error) {
	if _, err := os.Lstat(h.dirs.Pools()); err != nil || p.notPooled(f) != nil {
		return false, nil
	}
	like, err := p.likeness(h)
	if err != nil {
		return false, nil
	}
	list, _ := h.dirs.WarmRuns(like.key) // what cannot be read is not taken
	for _, e := range list {
		if ran, err := a.takeOne(ctx, h, e, p, &like); ran {
			if p.gateway.Keys != nil {
				_ = p.gateway.Keys.Close() // the sandbox has its own
			}
			return true, err
		}
	}
	if len(list) == 0 {
		h.askPools(p.plan.Workspace.Dir)
	}
	return false, nil
}

// takenGrace is what a sandbox that was taken gets to end itself, as one that starts cold
// does five seconds after whoever called asked twice.
const takenGrace = 15 * time.Second

// takeOne takes e, if it is there to be taken.
func (a *App) takeOne(ctx context.Context, h *host, e sandbox.Entry, p *prepared, like *likeness) (ran bool, err error) {
	s, ours, done, err := a.session()
	if err != nil {
		return true, err
	}
	defer done()
	c := p.plan.Command
	q := api.TakeRequest{Key: like.key, Proof: like.proof, Path: c.Path, ExecRequest: api.ExecRequest{
		Argv: c.Argv, Dir: c.Dir, Env: like.env, TTY: ours.TTY, Size: ours.Size,
	}}
	words := &takenWords{session: s, errs: a.Err}
	stream, err := e.Control().Take(ctx, q, words.note)
	if err != nil {
		return h.notTaken(ctx, e, c.Path, err)
	}
	defer stream.Close()
	ahead.DiscardRest()
	status, err := a.relay(ctx, stream, s, ours, leaving{on: []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP}, after: takenGrace})
	words.print()
	if a.status != 0 {
		return true, nil
	}
	a.status = status.Status()
	return true, err
}

// notTaken says whether err, of a take, is the end of the run. Where nobody knows whether
// the command ran it is: nothing is run twice.
func (h *host) notTaken(ctx context.Context, e sandbox.Entry, command string, err error) (ran bool, _ error) {
	var told *belljar.Error
	switch k := belljar.KindOf(err); {
	case k == belljar.KindConflict || k == belljar.KindNoSuch: // nothing was started
		return false, nil
	case errors.As(err, &told) && (k == belljar.KindNotFound || k == belljar.KindRefused):
		return true, &belljar.Error{Op: "start command", ID: command, Kind: k, Err: told.Err, Hint: told.Hint}
	case h.ranNothing(ctx, e):
		return false, nil
	}
	return true, &belljar.Error{Op: "run in warm sandbox", ID: e.Name, Err: err, Hint: "whether the command ran is told by: belljar log " + e.Name}
}

// goneWait is how long a sandbox that broke off is given to end.
const goneWait = 10 * time.Second

// ranNothing says that the sandbox e, which broke off while it was to be taken by this
// process, was not taken by it: who takes one is on record before the command starts, and no
// kill takes that back.
func (h *host) ranNothing(ctx context.Context, e sandbox.Entry) bool {
	if by, ok := h.taker(e); ok && by != "" {
		return by != peer.Self()
	}
	ctx, cancel := context.WithTimeout(ctx, goneWait)
	defer cancel()
	if h.dirs.Await(ctx, e) != nil {
		return false
	}
	by, ok := h.taker(e)
	return ok && by != peer.Self()
}

// taker is who took the sandbox e, by its record; empty: nobody. It is not ok where the
// record cannot tell.
func (h *host) taker(e sandbox.Entry) (by string, ok bool) {
	info, err := event.Find(h.dirs.State, e.ID)
	if err != nil || info.ID != e.ID || info.Start == nil {
		return "", false
	}
	for x, err := range event.Read(info.Path, event.Filter{Kinds: []belljar.EventKind{belljar.EventTake}}) {
		if err != nil || x.Take == nil || x.Take.By == "" {
			return "", false
		}
		return x.Take.By, true
	}
	return "", true
}

// takenWords are what the supervisor of a sandbox that was taken tells: at once while the
// command runs, and behind all that it printed.
type takenWords struct {
	session *terminal.Session
	errs    io.Writer

	mu   sync.Mutex
	late strings.Builder
}

// maxTakenWords bounds what is kept until the end.
const maxTakenWords = 4 << 20

func (w *takenWords) note(words string, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if late {
		if w.late.Len() < maxTakenWords {
			w.late.WriteString(words)
		}
		return
	}
	for _, line := range strings.Split(strings.TrimSuffix(words, "\n"), "\n") {
		w.session.Note(terminal.Escape(line))
	}
}

func (w *takenWords) print() {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprint(w.errs, terminal.EscapeText(w.late.String()))
}
