package cli

import (
	"fmt"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

func (a *App) policyExplain() *cobra.Command {
	var f planFlags
	var asJSON bool
	var command string
	c := &cobra.Command{
		Use:   "explain [flags] KIND SUBJECT",
		Short: "say what a run here would make of one path, host, variable, limit, credential or command",
		Long: `KIND is path, host, env, limit, credential or command. Answers from the very plan that a run with these
flags would have: the verdict, the layer, the file and the line that decided, and what
would change it. Without --for, the plan of a shell.
`,
		Example: "  belljar policy explain host api.github.com:443\n  belljar policy explain path .git/hooks/pre-commit",
		Args:    exactly(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.enter(f.paths()...)
			if err != nil {
				return err
			}
			if command == "" {
				command = defaultShell
			}
			f.look = true
			p, err := a.prepare(c.Context(), h, &f, []string{command})
			if err != nil {
				return err
			}
			subject := args[1]
			if args[0] == "path" && subject != "" {
				subject = h.abs(subject)
			}
			e, err := plan.Reasoned{Plan: p.plan, Policy: p.policy, Facts: p.facts}.Explain(args[0], subject)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(e)
			}
			a.printExplanation(&e)
			return nil
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringVar(&command, "for", "", "explain the plan of a run of `COMMAND`")
	return c
}

// defaultShell is what a plan is made for when no command is named.
const defaultShell = "/bin/sh"

func (a *App) printExplanation(e *plan.Explanation) {
	fmt.Fprintf(a.Out, "%s %s: %s\n", e.Kind, terminal.Escape(e.Subject), e.Verdict)
	fmt.Fprintf(a.Out, "  %s\n", terminal.Escape(e.Reason))
	show := func(what string, o *belljar.Origin) {
		if o == nil {
			return
		}
		fmt.Fprintf(a.Out, "  %s: %s\n", what, written(o))
	}
	show("rule", e.Rule)
	show("nearest rule", e.Nearest)
	if e.Fix != "" {
		fmt.Fprintf(a.Out, "  to change it: %s\n", terminal.Escape(e.Fix))
	}
}

// written is a rule with the place where it is written. It holds no control characters.
func written(o *belljar.Origin) string {
	at := o.Layer
	if o.File != "" {
		at += " " + terminal.Escape(o.File)
	}
	if o.Line > 0 {
		at += fmt.Sprintf(":%d", o.Line)
	}
	if o.Text == "" {
		return at
	}
	return terminal.Escape(o.Text) + " (" + at + ")"
}
