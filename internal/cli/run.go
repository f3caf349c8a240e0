package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/limit"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

func (a *App) runCommand() *cobra.Command {
	var f planFlags
	var number int
	c := &cobra.Command{
		Use:     "run [flags] [--] COMMAND [ARG…]",
		Short:   "run a command under glass",
		GroupID: "run",
		Long: `Runs COMMAND in a new sandbox: a kernel of its own, the project served without its
secrets, only allowed hosts, limits, a record. The preset of COMMAND applies when
it is a known agent, found by its bare name outside the project.

What would run on this host by itself (git hooks and configuration, editor tasks,
.envrc, agent settings) succeeds inside and waits: belljar diff, apply, discard.

With --mode worktree the sandbox works on a branch of its own, belljar/NAME, made from
HEAD, and sees nothing else of the project; belljar merge NAME brings it home. With
-n 4 four of them do so at once.
` + exitStatus,
		Example: "  belljar run claude\n  belljar run --mode review -- npm test\n  belljar run -n 4 --name try -- claude -p 'mend the tests'\n  belljar run --allow docs.example.com --memory 4GiB -- make",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(fmt.Errorf("no command to run"), "belljar run -- COMMAND, for example: belljar run claude")
			}
			if isWarm() {
				return a.runWarm(c.Context(), &f, args)
			}
			if err := a.checkName(c, f.name); err != nil {
				return err
			}
			if c.Flags().Changed("number") {
				return a.runMany(c, &f, number, args)
			}
			if err := a.checkName(c, f.called); err != nil {
				return err
			}
			if f.keep && f.called != "" {
				return usage(errors.New("--keep keeps a name's HOME, and --called is a name without one"), "--keep --name "+f.called)
			}
			if f.keep && f.name == "" {
				f.name = unusedName(args[0])
			}
			f.words = givenFlags(c, "name", "called", "workspace", "number", "keep", "detach", "no-tty")
			return a.runOrDetach(c.Context(), &f, args)
		},
	}
	f.add(c)
	c.Flags().IntVarP(&number, "number", "n", 1, "run `N` sandboxes of COMMAND at once, NAME-1 to NAME-N, each in a worktree of its own")
	c.Flags().StringVar(&f.called, "called", "", "the sandbox's `NAME`, whose HOME is not kept")
	_ = c.Flags().MarkHidden("called")
	c.Flags().BoolVar(&f.keep, "keep", false, "belljar start NAME starts it again, with its HOME and these flags, also after a reboot")
	c.Flags().BoolVar(&f.detach, "detach", false, "run in the background, print the sandbox's name; the mode is review by default then")
	c.Flags().BoolVar(&f.noTTY, "no-tty", false, "with --detach: give the command no terminal, and no input")
	c.Flags().SetInterspersed(false) // flags behind COMMAND are its own
	return c
}

// runOrDetach runs the sandbox, here or in a supervisor of its own.
func (a *App) runOrDetach(ctx context.Context, f *planFlags, args []string) error {
	if f.noTTY && !f.detach {
		return usage(errors.New("--no-tty is for --detach"), "in the foreground the command has a terminal where you have one: redirect its output")
	}
	if f.detach && !isSupervisor() {
		return a.detach(f, args)
	}
	if f.detach {
		var err error
		if a.letGo, err = keepInherited(); err != nil {
			return &belljar.Error{Op: "look at what the caller left open", Err: err}
		}
	}
	return a.run(ctx, f, args)
}

func (a *App) run(ctx context.Context, f *planFlags, args []string) error {
	h, err := a.enter(f.paths()...)
	if err != nil {
		return err
	}
	a.sweep(h)
	p, err := a.prepare(ctx, h, f, args)
	if err != nil {
		return err
	}
	defer p.logins.close()
	if err := errors.Join(checkReceiver(p.policy), checkWebhook(p.policy)); err != nil {
		return err
	}
	if f.name != "" {
		r, runs, err := h.dirs.NameInUse(p.plan.Workspace.Dir, f.name)
		if err == nil && runs {
			err = fmt.Errorf("it runs already, since %s (process %d)", r.Started.Local().Format(time.DateTime), r.PID)
		}
		if err != nil {
			hint := "end it, or choose another --name: two runs cannot share one HOME"
			if f.before != nil {
				hint = "belljar attach " + f.name + ", belljar exec " + f.name + " -- COMMAND, or belljar stop " + f.name
			}
			return &belljar.Error{Op: "start sandbox", ID: f.name, Kind: belljar.KindConflict, Err: err, Hint: hint}
		}
	}
	a.printGaps(p.plan)
	a.noteCommands(p.plan)
	a.hintKey(h, p.plan, p.agent, f.name != "")
	a.hintBase(p.plan)
	a.recoverProject(p.plan)
	a.boundRecords(ctx, h, p.policy.Records())
	if ran, err := a.runPooled(ctx, h, f, p); ran {
		return err
	}
	signals, done := caught()
	defer done()
	kept, done := h.keeperWitness(ctx)
	defer done()
	o := sandbox.Options{
		In: a.In, Out: a.Out, Err: a.Err, Signals: signals, Confine: true, Witnesses: []event.Witness{kept},
	}
	if f.keep {
		if o.Recipe, err = a.recipe(h, f, p, args); err != nil {
			return err
		}
	}
	if f.detach {
		if err := a.supervise(p, h, f.noTTY, &o); err != nil {
			return err
		}
	}
	res, err := a.runPrepared(ctx, h, p, p.options(h, f.name != "", o))
	err = a.ended(p, res, err)
	if f.keep && res.End.Reason != "" {
		a.note("it is kept: belljar start %s", p.plan.Name)
	}
	return err
}

// caught are the signals that are passed on to the command.
func caught() (signals chan os.Signal, done func()) {
	signals = make(chan os.Signal, 8)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2} {
		if !signal.Ignored(s) { // nohup belljar run … outlives its terminal
			signal.Notify(signals, s)
		}
	}
	return signals, func() { signal.Stop(signals) }
}

// ended tells how a run ended; err says that belljar could not do it.
func (a *App) ended(p *prepared, res sandbox.Result, err error) error {
	if err != nil && res.End.Reason == "" {
		return err
	}
	a.printEnd(res)
	a.ring(p.policy)
	a.noteAsked(p.gateway.Keys)
	a.status = res.Status
	if res.Lost != nil {
		fmt.Fprintf(a.Err, "belljar: error: what the command printed did not arrive: %s\n", terminal.Escape(res.Lost.Error()))
		if a.status == 0 {
			a.status = belljar.KindInternal.ExitStatus()
		}
	}
	if res.End.Limit == "log" {
		return nil // printed; that the record has no end follows from it
	}
	return err
}

// options completes o, which has the caller's streams and signals.
func (p *prepared) options(h *host, keepHome bool, o sandbox.Options) sandbox.Options {
	o.Plan, o.Public, o.Backend, o.Dirs = p.plan, p.public, p.backend, h.dirs
	o.PolicyHash, o.KeepHome, o.Repositories = p.policy.Hash(), keepHome, p.repos
	o.Receiver, o.Notify = receiver(p.policy), notifications(h, p.policy)
	o.Gateway, o.Files, o.MayGrant = p.gateway, p.files, p.policy.MayGrant
	return o
}

// noteCommands says where rules that allow commands count in a run: for lines only.
func (a *App) noteCommands(p *belljar.Plan) {
	if p.Commands == nil || !slices.ContainsFunc(p.Commands.Rules, func(r belljar.CommandRule) bool { return r.Verdict == "allow" }) {
		return
	}
	a.note("rules that allow commands count for the lines that known agents run, not for what programs run")
}

// printGaps says what --best-effort leaves open.
func (a *App) printGaps(p *belljar.Plan) {
	if !p.BestEffort {
		return
	}
	for _, d := range p.Denied {
		if d.Gap != "" {
			a.note("not enforced here: %s: the rule %s: %s", belljar.ReqCommands, terminal.Escape(d.Pattern), terminal.Escape(d.Gap))
		}
	}
	for _, e := range p.Enforcement {
		asked := true
		switch e.Requirement {
		case belljar.ReqCommands, belljar.ReqDenied:
			asked = false // said above, rule by rule
		case belljar.ReqPrograms:
			asked = plan.ForPrograms(p.Network.Credentials)
		}
		if e.Level == belljar.None && asked {
			a.note("not enforced here: %s: %s", e.Requirement, terminal.Escape(e.Gap))
		}
	}
}

// printEnd says which limits were reached and what happened, in three lines.
func (a *App) printEnd(res sandbox.Result) {
	for _, e := range res.Limits {
		msg, hint := limit.Message(e)
		if e.Limit == "log" && e.Ended {
			msg = "the run was ended, as nothing runs without a record: " + terminal.Escape(res.End.Detail)
			hint = "a record may have what limits.log allows, and the disk must have room: belljar log summary tells what filled it"
		}
		fmt.Fprintf(a.Err, "belljar: error: %s\n", msg)
		if hint != "" {
			fmt.Fprintf(a.Err, "belljar: hint: %s\n", hint)
		}
	}
	if res.End.Reason == belljar.EndCrashed {
		fmt.Fprintf(a.Err, "belljar: error: the sandbox ended: %s\n", terminal.Escape(res.End.Detail))
	}
	for _, l := range res.Summary.Lines() {
		a.note("%s", l)
	}
}
