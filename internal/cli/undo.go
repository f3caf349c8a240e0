package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace"
	"github.com/spf13/cobra"
)

func (a *App) undoCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "undo [NAME] [PATH…]",
		Short:   "take back the last apply, or what a run changed here",
		GroupID: "review",
		Long: `Takes back what the last belljar apply did to the project, or what a newer run changed in
it by itself (in mode live, and where workspace.pass lets something land): each file is
what it was, and what had landed waits again. A file that was changed here since is left
as it is, and named; undo may be said again for it. Said again, it takes back the run or
apply before. Exits 1 when something could not be taken back. Refused while a sandbox
runs in the project.

With NAME, a sandbox, it is about that sandbox's project; without, about the project
that you stand in. PATH selects what lies at or below it; the rest can be taken back later.
`,
		Example:           "  belljar undo\n  belljar undo src/main.go",
		ValidArgsFunction: a.completeNames(true),
		RunE: func(c *cobra.Command, args []string) error {
			return a.undo(c.Context(), args, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON: what became of each file")
	return c
}

func (a *App) undo(ctx context.Context, args []string, asJSON bool) error {
	t, err := a.target(ctx, args, true)
	if err != nil {
		return err
	}
	outcomes := t.recovered // an apply that was killed is the last one
	if len(outcomes) == 0 {
		if err := a.warnOfLost(t); err != nil {
			return err
		}
		if outcomes, err = t.Undo(ctx, t.paths...); err != nil {
			err = t.explain(err)
		}
	}
	if slices.ContainsFunc(outcomes, func(o workspace.Outcome) bool { return o.Status != workspace.Undone }) {
		a.status = 1
	}
	if asJSON {
		return errors.Join(err, a.printJSON(append([]workspace.Outcome{}, outcomes...))) // never null
	}
	for _, o := range outcomes {
		fmt.Fprintln(a.Out, outcomeLine(o))
	}
	if err == nil && len(outcomes) == 0 {
		a.note("nothing to undo")
	}
	return err
}

// warnOfLost says, before anything is done, what undo cannot take back.
func (a *App) warnOfLost(t *target) error {
	r, err := t.LastRun()
	if err != nil || r == nil || !r.Next {
		return err
	}
	for _, c := range r.Lost {
		a.note("cannot be taken back: %s: %s", c.Name(), terminal.Escape(c.Conflict))
	}
	if r.Cut {
		a.note("the run changed more places than are written down: not all can be taken back")
		a.status = 1
	}
	return nil
}

func outcomeLine(o workspace.Outcome) string {
	line := fmt.Sprintf("%s %s", o.Status, o.Change.Name())
	if o.Why != "" {
		line += ": " + o.Why
	}
	return line
}

// recover takes back an apply that was killed, and says so.
func (a *App) recover(t *target) error {
	var err error
	t.recovered, err = t.Recover(context.Background())
	if len(t.recovered) > 0 {
		a.note("an apply or undo was interrupted: what it had changed is taken back, and waits (%d)", len(t.recovered))
	}
	for _, o := range t.recovered {
		if o.Status != workspace.Undone {
			a.note("%s", outcomeLine(o))
		}
	}
	return err
}

// recoverProject is recover before a run: the sandbox is to see the project whole.
func (a *App) recoverProject(p *belljar.Plan) {
	w := &p.Workspace
	if w.Shadow == "" {
		return
	}
	t := &target{Project: workspace.Project{Dir: w.Dir, Shadow: w.Shadow, Hide: w.Hide, Hold: w.Hold}}
	if err := a.recover(t); err != nil {
		a.note("what was interrupted is not taken back yet: %s", terminal.Escape(err.Error()))
	}
}
