package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/spf13/cobra"
)

func (a *App) stopCommand() *cobra.Command {
	grace := 10 * time.Second
	c := &cobra.Command{
		Use:     "stop NAME…",
		Short:   "end sandboxes",
		GroupID: "run",
		Long: `Sends SIGTERM to the command of each sandbox (with a terminal, to its foreground
processes), and ends what is still there after a grace of ten seconds. Returns when
nothing is left of them but their records and what waits.
`,
		Args: exactly(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if grace < 0 || grace > time.Hour {
				return usage(errors.New("--grace is not between 0 and 1h"), usageLine(c))
			}
			return a.stop(c.Context(), args, grace)
		},
	}
	c.Flags().DurationVar(&grace, "grace", grace, "kill after `TIME`, such as 30s")
	c.ValidArgsFunction = a.completeRunning
	return c
}

func (a *App) stop(ctx context.Context, names []string, grace time.Duration) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	a.sweep(h)
	var ending []sandbox.Entry
	var errs []error
	for _, name := range names {
		e, err := a.running(h, name)
		if err == nil {
			err = stopOne(ctx, h.dirs, e, grace)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ending = append(ending, e)
	}
	for _, e := range ending {
		if err := h.dirs.Await(ctx, e); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 1 {
		return errs[0] // with its kind
	}
	return errors.Join(errs...)
}

// stopAgain is how long a sandbox whose supervisor does not answer is given to end, before
// it is asked again: it may be so new that it does not answer yet, or so old.
const stopAgain = 50 * time.Millisecond

// stopOne asks e to end. That it has ended by itself meanwhile is what was asked for.
func stopOne(ctx context.Context, dirs sandbox.Dirs, e sandbox.Entry, grace time.Duration) error {
	for {
		err := e.Control().Stop(ctx, grace)
		if belljar.KindOf(err) != belljar.KindNoSuch && !errors.Is(err, api.ErrBroke) {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, stopAgain)
		err = dirs.Await(wait, e)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}

func (a *App) waitCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "wait NAME",
		Short:   "wait for the end of a sandbox, with the exit status of its command",
		GroupID: "run",
		Long: `Waits until the sandbox NAME has ended and exits with the status that its run
had; at once where it has ended already.
` + exitStatus,
		Args:              exactly(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeRunning,
		RunE:              func(c *cobra.Command, args []string) error { return a.wait(c.Context(), args[0]) },
	}
}

func (a *App) wait(ctx context.Context, name string) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	a.sweep(h)
	id := name
	if e, err := a.running(h, name); err == nil {
		id = e.ID
		if err := h.dirs.Await(ctx, e); err != nil {
			return err
		}
	} else if belljar.KindOf(err) != belljar.KindNoSuch {
		return err
	}
	info, err := event.Find(h.dirs.State, id)
	if err != nil {
		return a.noSandbox(h, name, "no sandbox of that name runs or is on record")
	}
	if info.End == nil {
		return &belljar.Error{Op: "wait for sandbox", ID: info.Name, Err: fmt.Errorf("its record has no end (%s)", info.Status), Hint: "it was killed: belljar log " + info.Name + " tells what it did"}
	}
	a.status = info.End.Status
	return nil
}
