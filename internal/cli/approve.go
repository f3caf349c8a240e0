package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/api"
	"github.com/belljar-dev/belljar/approval"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

type approveFlags struct {
	once, sandbox, always bool
	asJSON                bool
}

// scope is the one that the flags name; empty: none.
func (f *approveFlags) scope() approval.Scope {
	switch {
	case f.once:
		return approval.Once
	case f.sandbox:
		return approval.Sandbox
	case f.always:
		return approval.Always
	}
	return ""
}

func (a *App) approveCommand() *cobra.Command {
	var f approveFlags
	c := &cobra.Command{
		Use:     "approve [NAME [ID]]",
		Short:   "answer what a sandbox waits for: allow it",
		GroupID: "run",
		Long: `Allows the question ID of the running sandbox NAME: what waits because a rule asks, once
unless you say otherwise; a rule that something inside proposes, until the sandbox ends unless you
say otherwise. It holds at once. Without an ID it lists what waits, without a NAME in every sandbox.

A query is shown and counts for once; for longer, any query is allowed that the rule which asks takes,
under its conditions. What another rule asks about stays a question of its own.
An answer is about the rule only: addresses that are never dialled stay refused.
` + exitStatus,
		Example: "  belljar approve quiet-otter\n  belljar approve quiet-otter 3\n  belljar approve quiet-otter 3 --always",
		Args:    exactly(cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 2 {
				return a.answer(c.Context(), args[0], args[1], approval.Answer{Allow: true, Scope: f.scope()}, f.asJSON)
			}
			if f.scope() != "" {
				return usage(errors.New("which question? an ID is missing"), usageLine(c))
			}
			return a.listQuestions(c.Context(), first(args), f.asJSON)
		},
	}
	c.Flags().BoolVar(&f.once, "once", false, "for one request")
	c.Flags().BoolVar(&f.sandbox, "sandbox", false, "until the sandbox ends")
	c.Flags().BoolVar(&f.always, "always", false, "from now on: it is written into your own policy as well")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("once", "sandbox", "always")
	c.ValidArgsFunction = a.completeRunning
	return c
}

func (a *App) denyCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "deny NAME ID",
		Short:   "answer what a sandbox waits for: refuse it",
		GroupID: "run",
		Long:    "Refuses the question ID of the running sandbox NAME, and the same question until the sandbox ends.\n" + exitStatus,
		Args:    exactly(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.answer(c.Context(), args[0], args[1], approval.Answer{}, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.ValidArgsFunction = a.completeRunning
	return c
}

// completeRunning offers the sandboxes that run.
func (a *App) completeRunning(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	if h, err := a.enter(); err == nil && len(args) == 0 {
		runs, _ := h.dirs.Runs()
		for _, e := range runs {
			if strings.HasPrefix(e.Name, word) {
				out = append(out, e.Name)
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// minPrefix is how much of an ID names a sandbox at least.
const minPrefix = 8

// running finds the running sandbox of that name, or whose ID begins so: the one of this project where there
// are several.
func (a *App) running(h *host, name string) (sandbox.Entry, error) {
	runs, err := h.dirs.Runs()
	var named, here, begun []sandbox.Entry
	for _, e := range runs {
		if e.Name != name && e.ID != name {
			if len(name) >= minPrefix && strings.HasPrefix(e.ID, name) {
				begun = append(begun, e)
			}
			continue
		}
		named = append(named, e)
		if rel, err := filepath.Rel(e.Workspace, h.cwd); err == nil && filepath.IsLocal(rel) {
			here = append(here, e)
		}
	}
	switch {
	case len(here) == 1:
		return here[0], nil
	case len(named) == 1:
		return named[0], nil
	case len(named) == 0 && len(begun) == 1:
		return begun[0], nil
	case len(named) == 0 && len(begun) > 1:
		return sandbox.Entry{}, &belljar.Error{Op: "find sandbox", ID: name, Kind: belljar.KindConflict, Err: errors.New("the IDs of several begin so"), Hint: "write more of it"}
	case len(named) > 1:
		return sandbox.Entry{}, &belljar.Error{Op: "find sandbox", ID: name, Kind: belljar.KindConflict, Err: errors.New("several of that name run"), Hint: "go to the project that you mean"}
	case err != nil:
		return sandbox.Entry{}, err
	}
	return sandbox.Entry{}, a.noSandbox(h, name, "no sandbox of that name runs")
}

// A waiting question, with the sandbox that asks.
type waiting struct {
	Sandbox string `json:"sandbox"`
	approval.Question
}

// listQuestions lists what waits in one sandbox, or in all.
func (a *App) listQuestions(ctx context.Context, name string, asJSON bool) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	var runs []sandbox.Entry
	if name != "" {
		e, err := a.running(h, name)
		if err != nil {
			return err
		}
		runs = []sandbox.Entry{e}
	} else if runs, err = h.dirs.Runs(); err != nil {
		return err
	}
	all := []waiting{} // never null
	for _, e := range runs {
		l, err := e.Control().Questions(ctx)
		if err != nil && (name != "" || belljar.KindOf(err) != belljar.KindNoSuch) {
			return err
		}
		for _, q := range l {
			all = append(all, waiting{e.Name, q})
		}
	}
	if asJSON {
		return a.printJSON(all)
	}
	if len(all) == 0 {
		a.note("nothing waits")
		return nil
	}
	return printQuestions(a.Out, all)
}

// printQuestions shows what waits, each with the rule that asks: two rules may ask about
// one request.
func printQuestions(out io.Writer, all []waiting) error {
	return table(out, "SANDBOX\tID\tSINCE\tWAITS\tFOR", func(w io.Writer) {
		for _, q := range all {
			state := fmt.Sprint(q.Waiting)
			if q.Proposed {
				state = "proposed"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", terminal.Escape(q.Sandbox), terminal.Escape(q.ID), q.Asked.Local().Format(time.TimeOnly), state, sandbox.Asked(q.Subject))
			if q.Rule != nil {
				fmt.Fprintf(w, "\t\t\t\tasked by: %s\n", written(q.Rule))
			}
			if q.Note != "" {
				fmt.Fprintf(w, "\t\t\t\tit says: %s\n", strconv.Quote(terminal.Escape(q.Note)))
			}
		}
	})
}

// answer answers one question, and writes what is for good into the user's policy.
func (a *App) answer(ctx context.Context, name, id string, ans approval.Answer, asJSON bool) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	e, err := a.running(h, name)
	if err != nil {
		return err
	}
	g, err := e.Control().Answer(ctx, id, ans)
	if err != nil {
		return err
	}
	if g.Scope == approval.Always && g.Rule != nil {
		err = a.keepRule(h, *g.Rule, e.Name)
	}
	if asJSON {
		return errors.Join(err, a.printJSON(g))
	}
	a.note("%s", granted(g, e.Name))
	return err
}

// granted is what an answer came to, for people.
func granted(g api.Granted, name string) string {
	if g.Allowed && g.Scope == approval.Once {
		return "allowed once: " + sandbox.Asked(g.Question.Subject)
	}
	of := g.Question.Subject
	of.Query = ""
	what := sandbox.Asked(of)
	if of.Method != "" {
		what += ", with any query"
	}
	if !g.Allowed {
		return "denied: " + what
	}
	return "allowed until " + terminal.Escape(name) + " ends: " + what
}

// userPolicy is the user's own policy file.
func (h *host) userPolicy() string { return filepath.Join(h.dirs.Config, "policy.yaml") }

// keepRule writes a rule into the user's own policy, never into a project's file.
func (a *App) keepRule(h *host, rule belljar.NetRule, name string) error {
	file := h.userPolicy()
	added, err := policy.AddRule(file, rule, "approved "+time.Now().Format(time.DateOnly)+", asked by sandbox "+name)
	switch {
	case err != nil:
		return err
	case added:
		a.note("from now on, for every sandbox of yours: %s", terminal.Escape(file))
	default:
		a.note("%s had it already", terminal.Escape(file))
	}
	return nil
}
